"""Hashes of code from outside edgeship that determines results: custom layers, metrics, students, plug-ins.

Nothing is imported or run here: a module is found as Python would find it, and its files are read. A module of the
user's own stands for all Python files below the folder it is found in, because it may import any of them; an installed
one for everything that is installed.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import distributions
from pathlib import Path

#: A folder with more entries than this below it is no folder of code.
_MAX_ENTRIES = 20_000
_MAX_BYTES = 64 << 20
_SOURCES = (".py", ".pyx", ".so", ".pyd", ".mjs")
_SKIPPED = ("__pycache__", "node_modules", "site-packages", "dist-packages")
#: What the version of the interpreter and `cache.code_version` stand for.
_KNOWN = {"edgeship", "edgeship_converters", "edgeship_benchmarks", *sys.stdlib_module_names}


def code_sha256(modules: Iterable[str]) -> str | None:
    """Hash of all code that the modules (`module` or `module:name`) may run; empty without any; None: not found."""
    roots: set[Path] = set()
    names = {module.partition(":")[0].partition(".")[0] for module in modules}
    for name in names - _KNOWN:
        found = [root for root in map(_root, _candidates(name)) if root is not None]
        if not found:
            return None
        roots |= set(found)
    if not roots:
        return ""
    digest = hashlib.sha256(_environment().encode())
    for root in sorted(roots - _installed()):
        if not _update(digest, root):
            return None
    return digest.hexdigest()


def code_of(*plugins: object) -> str | None:
    """Hash of the code of plug-ins, their base classes included; empty for ours; None: not found."""
    return code_sha256(cls.__module__ for plugin in plugins for cls in type(plugin).__mro__)


def _candidates(name: str) -> Iterator[ModuleSpec]:
    """Where a child may find a top-level module: on the path, or in the working directory, whichever comes first."""
    for path in (sys.path, [str(Path.cwd())]):
        spec = PathFinder.find_spec(name, path)
        if spec is not None:
            yield spec
    for finder in sys.meta_path:  # editable installs
        if finder is not PathFinder:
            spec = finder.find_spec(name, None)
            if spec is not None:
                yield spec


def _root(spec: ModuleSpec) -> Path | None:
    """The folder that a module or package lies in; None for one without files."""
    places = list(spec.submodule_search_locations or ())
    if not places and not (spec.has_location and spec.origin):
        return None
    return Path(places[0] if places else str(spec.origin)).resolve().parent


def _installed() -> set[Path]:
    """Folders whose content is known by what is installed there."""
    return {Path(path).resolve() for path in sysconfig.get_paths().values()} | {
        Path(path).resolve() for path in sys.path if Path(path).name in ("site-packages", "dist-packages")
    }


@functools.cache
def _environment() -> str:
    """Hash of what is installed: each distribution with its version and the hashes of its files (RECORD)."""
    lines = [f"{d.name} {d.version} {d.read_text('RECORD') or ''}" for d in distributions()]
    return hashlib.sha256("\0".join(sorted(lines)).encode()).hexdigest()


def _update(digest: hashlib._Hash, root: Path) -> bool:
    """Add all source files below a folder; False where it is too large to be one of code."""
    size = 0
    files = _files(root)
    if files is None:
        return False
    for file in files:
        try:
            size += file.stat().st_size
            if size > _MAX_BYTES:
                return False
            content = file.read_bytes()
        except OSError:
            return False
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + hashlib.sha256(content).digest())
    return True


def _files(root: Path) -> Sequence[Path] | None:
    """Source files below a folder, sorted, without hidden folders and virtual environments."""
    seen = 0
    found: list[Path] = []
    for place, folders, names in os.walk(root):
        seen += len(folders) + len(names)
        if seen > _MAX_ENTRIES:
            return None
        if "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        found += [Path(place, name) for name in names if name.endswith(_SOURCES)]
    return sorted(found)
