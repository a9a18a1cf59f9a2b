"""What agents answer. They may run on a board or in a page that nobody here trusts: all of it is checked here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edgeship.codec import from_data
from edgeship.errors import ChildCrashed, InputError
from edgeship.types import TensorSpec

T = TypeVar("T")

#: Bounds of what an agent says in words.
_MOST_TEXTS, _LONGEST_TEXT = 10_000, 2_000


@dataclass(frozen=True)
class Loaded:
    """What the agent says about a file that it opened.

    Attributes:
        import_ms: import of NumPy and the runtime, or the start of the runtime in Node.
        load_ms: from the file's name to a model that is ready to run.
        versions: package -> version of the runtime.
        batch: the batch that the file fixes; None where it is dynamic.
        warnings: with their remedy.
        arena_bytes: the smallest arena that the file runs in, and did run in; of TensorFlow Lite Micro only.
        operations: what this agent can do beyond what all can: `processing`, `throughput`, and for a profile `trace`
            or `prefixes`.
    """

    import_ms: float
    load_ms: float
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    warnings: tuple[str, ...] = ()
    arena_bytes: int | None = None
    operations: tuple[str, ...] = ()


@dataclass(frozen=True)
class WarmUp:
    """`runs` inferences were made until latency was stable, or (`stable` False) the limit was reached."""

    first_inference_ms: float
    runs: int
    stable: bool


@dataclass(frozen=True)
class Processing:
    """Median milliseconds for one sample, before and after an inference."""

    preprocessing_ms: float
    postprocessing_ms: float


@dataclass(frozen=True)
class Trace:
    """What a runtime says about operators, in milliseconds of each round.

    Attributes:
        operators: name, type and times of each, in the order in which they ran, and its multiply-accumulates for a
            sample where the agent can tell.
        traced_ms, whole_ms: of an inference, while it is traced and while it is not.
    """

    operators: tuple[tuple[str, str, tuple[float, ...], float | None], ...]
    traced_ms: tuple[float, ...]
    whole_ms: tuple[float, ...]


def text(value: Any) -> str:
    """A text that has an end."""
    return str(value)[:_LONGEST_TEXT]


def texts(answer: Any, key: str) -> dict[str, str]:
    """Texts by name in an agent's answer, which may come from a board or a page that nobody here trusts."""
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, dict) or len(found) > _MOST_TEXTS:
        raise ChildCrashed(f"the agent gave no {key}")
    return {text(name): text(value) for name, value in found.items()}


def number(value: Any) -> float:
    """A number that can be: finite and not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ChildCrashed(f"the agent gave {str(value)[:100]!r} for a number")
    return float(value)


def times(answer: Any, key: str = "latency_ms") -> tuple[float, ...]:
    """Milliseconds, one or more."""
    found = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(found, list) or not found:
        raise ChildCrashed("the agent gave no times")
    return tuple(map(number, found))


def value(kind: type[T], answer: Any) -> T:
    """A value of ours whose numbers can be."""
    try:
        found = from_data(kind, answer)
    except InputError as error:
        raise ChildCrashed(f"the agent's answer is {error.message}") from error
    for item in vars(found).values():
        if isinstance(item, int | float) and not isinstance(item, bool):
            number(item)
    return found


def trace(answer: Any) -> Trace:
    """What a runtime said about operators."""
    found = answer.get("operators") if isinstance(answer, dict) else None
    if not isinstance(found, list) or not 0 < len(found) <= _MOST_TEXTS:
        raise ChildCrashed("the agent gave no operators")
    rows = []
    for row in found:
        if not isinstance(row, dict):
            raise ChildCrashed("the agent gave no operators")
        name, kind = (text(row.get(key, "")) for key in ("name", "type"))
        macs = row.get("macs")
        rows.append((name, kind, times(row, "ms"), None if macs is None else number(macs)))
    return Trace(tuple(rows), times(answer, "traced_ms"), times(answer, "whole_ms"))
