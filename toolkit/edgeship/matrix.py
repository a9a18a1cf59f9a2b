"""What can be made of what: sources x formats x variants, by the rules that conversions themselves go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgeship import plugins
from edgeship.pipeline.exports import nearest, needs_ranges
from edgeship.source.kinds import KINDS, NO_SOURCES, why_no_layers


@dataclass(frozen=True)
class SourceRow:
    """A kind of model, and what can be done with it beside converting.

    Attributes:
        trains: empty where recipes may train it, else why not.
    """

    kind: str
    what: str
    trains: str


@dataclass(frozen=True)
class Cell:
    """One variant of one format, made of one kind of source.

    Attributes:
        state: `yes`, `as` (another variant stands for it, which keeps its own name) or `no`.
        made: the variant that is made; empty for `no`.
        needs: what must be given or installed.
        why: for `no`; what the error says.
    """

    source: str
    format: str
    variant: str
    state: Literal["yes", "as", "no"]
    made: str = ""
    needs: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Matrix:
    """All cells, the sources, and what is no source: (what, why, what to do)."""

    sources: tuple[SourceRow, ...]
    cells: tuple[Cell, ...]
    refused: tuple[tuple[str, str, str], ...]


def matrix() -> Matrix:
    """The matrix for the converters that are installed. Loads plug-ins, no ML framework."""
    rows = tuple(SourceRow(name, kind.what, why_no_layers(name)) for name, kind in KINDS.items())
    refused = tuple((what, *reasons) for what, reasons in NO_SOURCES.items())
    return Matrix(rows, tuple(_cells()), refused)


def _cells() -> Iterator[Cell]:
    from edgeship.types import VARIANTS

    for kind in KINDS:
        for name in plugins.names("converters"):
            refusal = plugins.refusal(name, kind)
            for variant in VARIANTS:
                yield Cell(kind, name, variant, "no", why=refusal[0]) if refusal else _cell(kind, name, variant)


def _cell(kind: str, name: str, variant: str) -> Cell:
    converter = plugins.converter(name)
    made = nearest(name, variant)
    if made is None:
        why = f"{name} has no {variant}"
        reason = plugins.why_not_more(name)
        return Cell(kind, name, variant, "no", why=f"{why}: {reason}" if reason else why)
    needs = [f"--to {name}"] if getattr(converter, "on_request", False) else []
    needs += ["--data"] if needs_ranges(made) else []
    needs += [f"pip install {package}" for package in converter.missing()]
    return Cell(kind, name, variant, "yes" if made == variant else "as", made, tuple(needs))
