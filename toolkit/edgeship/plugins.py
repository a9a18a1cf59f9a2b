"""Converters, runtimes and targets, found through entry points; ours come through the same door as anyone's.

A plug-in is a class in one of the groups `edgeship.converters`, `edgeship.runtimes` and `edgeship.targets` that fulfils
the Protocol of that name in `edgeship.contracts`. It is constructed without arguments; a target with the part of its
address behind the scheme.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, TypeVar

from edgeship.contracts import Converter, Runtime, Target
from edgeship.errors import EdgeshipError, InputError, MissingPackageError, UnsupportedModelError
from edgeship.source.kinds import KINDS, NO_GRAPH
from edgeship.types import Artifact, ConvertOptions, Source

T = TypeVar("T")


@functools.cache
def _entries(kind: str) -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=f"edgeship.{kind}"), key=lambda e: e.name):
        if entry.name in found and found[entry.name].value != entry.value:
            raise EdgeshipError(
                f"two plug-ins are called {entry.name!r} in edgeship.{kind}: {found[entry.name].value}, {entry.value}",
                remedy="Uninstall one of the two packages.",
            )
        found[entry.name] = entry
    return found


def _load(kind: str, name: str, contract: type[T], *arguments: str) -> T:
    entries = _entries(kind)
    if name not in entries:
        raise InputError(f"no {kind[:-1]} is called {name!r}", remedy=f"Installed: {', '.join(entries) or 'none'}.")
    try:
        plugin: Any = entries[name].load()(*arguments)
    except EdgeshipError:
        raise
    except Exception as error:
        raise EdgeshipError(
            f"the {kind[:-1]} {name} ({entries[name].value}) cannot be loaded: {type(error).__name__}: {error}",
            remedy="Repair or uninstall the package that it belongs to.",
        ) from error
    if not isinstance(plugin, contract):
        raise EdgeshipError(f"{entries[name].value} does not fulfil {contract.__module__}.{contract.__name__}")
    return plugin


def origin(kind: str, name: str) -> str:
    """`module:Class` of a plug-in."""
    return _entries(kind)[name].value


def names(kind: str) -> tuple[str, ...]:
    """Names of the installed plug-ins of a kind: `converters`, `runtimes` or `targets`. Loads none of them."""
    return tuple(_entries(kind))


@functools.cache
def converter(name: str) -> Converter:
    """The converter for a format. Raises InputError with the installed ones."""
    return _load("converters", name, Converter)  # type: ignore[type-abstract] # a Protocol stands for its classes


@functools.cache
def runtime(name: str) -> Runtime:
    """A runtime by name. Raises InputError with the installed ones."""
    return _load("runtimes", name, Runtime)  # type: ignore[type-abstract] # a Protocol stands for its classes


@functools.cache
def target(address: str) -> Target:
    """A target by its address, `SCHEME` or `SCHEME:REST`; it may or may not be there.

    `ssh://pi@board` has the scheme `ssh` and the rest `pi@board`. Raises InputError with the installed schemes, or for
    an address that means nothing to its scheme.
    """
    scheme, _, rest = address.partition(":")
    return _load("targets", scheme, Target, rest.removeprefix("//"))  # type: ignore[type-abstract] # a Protocol


def addresses(scheme: str) -> tuple[str, ...]:
    """Addresses of a scheme to show and to test, the one that stands for it first."""
    return tuple(_entries("targets")[scheme].load().examples)


def runtimes_for(format_name: str) -> tuple[Runtime, ...]:
    """All runtimes that open a format, the fastest (no sample limit) first."""
    found = [r for r in map(runtime, names("runtimes")) if format_name in r.formats]
    return tuple(sorted(found, key=lambda r: (r.sample_limit is not None, r.name)))


def refusal(format_name: str, kind: str) -> tuple[str, str] | None:
    """Why a format cannot be made of a kind of source, and what to do; None where it can."""
    made_of = getattr(converter(format_name), "files", ())
    return None if KINDS[kind].graph or kind in made_of else NO_GRAPH


def why_not_more(format_name: str) -> str:
    """Why a format has no other variants than it has; empty where its converter does not say."""
    return str(getattr(converter(format_name), "why_not_more", ""))


def convert(format_name: str, source: Source, variant: str, options: ConvertOptions, out_dir: Path) -> Artifact:
    """Run one converter here; meant for a worker child (`worker.call(plugins.convert, ...)`)."""
    plugin = converter(format_name)
    missing = plugin.missing()
    if missing:
        raise MissingPackageError(
            f"{format_name} needs {', '.join(missing)}", remedy="Get it: pip install 'edgeship[all]'"
        )
    if variant not in plugin.variants:
        raise InputError(f"{format_name} has no variant {variant!r}", remedy=f"It has: {', '.join(plugin.variants)}.")
    refused = refusal(format_name, source.kind)
    if refused is not None:
        raise UnsupportedModelError(f"{source.path.name}: {refused[0]}", remedy=refused[1])
    return plugin.convert(source, variant, options, out_dir)
