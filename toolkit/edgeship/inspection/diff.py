"""What differs between two model files: ops, tensors, weights with their distance, bytes; also across formats.

Ops are matched in the order of execution by what they are: within a format by type and name, across formats by kind
(`kinds`) of those that have weights. Weights are compared as real numbers, in one layout.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.child import Limits, Worker
from edgeship.inspection.description import Description, Op, Tensor
from edgeship.inspection.opened import Opened
from edgeship.inspection.opening import MEMORY_MIB, opened
from edgeship.source.kinds import has_signatures

if TYPE_CHECKING:
    from edgeship.types import Array

#: More ops than this are matched by name only: matching sequences takes time that grows with the square.
_MAX_MATCHED = 4000
#: The order of axes in which kernels are compared: places, inputs, outputs.
_ORDER = "B1DHWICMO"


@dataclass(frozen=True)
class OpChange:
    """One op that is not the same in both files.

    Attributes:
        state: `added` (only in the second), `removed` or `changed`.
        first, second: its name in each; empty where it is not there.
        what: what changed: `option: old -> new`.
    """

    state: str
    type: str
    first: str
    second: str
    what: tuple[str, ...] = ()


@dataclass(frozen=True)
class WeightChange:
    """The weights of one op in both files, as real numbers.

    Attributes:
        sqnr_db: signal-to-noise ratio of the second against the first, 10 log10(|a|^2 / |a - b|^2); None where they are
            equal.
        max_abs: largest difference.
        note: why they could not be compared, else empty.
    """

    op: str
    first: str
    second: str
    count: int
    dtypes: tuple[str, str]
    sqnr_db: float | None = None
    max_abs: float = 0.0
    note: str = ""

    @property
    def equal(self) -> bool:
        """Whether every number is the same."""
        return self.sqnr_db is None and not self.note


@dataclass(frozen=True)
class TensorChange:
    """An input, output or tensor of the same name that differs."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Difference:
    """What differs between two files.

    Attributes:
        across: whether they are of different formats; then only ops with weights are matched, by kind.
        totals: quantity -> its value in both: bytes, parameters, MACs, ops.
        ops, tensors: what is not the same.
        weights: of all ops that were matched, equal ones too.
        layers: (layer, bytes in the first, in the second) where the bytes differ; within one format.
        other: what else is said differently: metadata, labels, signatures, requirements.
    """

    first: str
    second: str
    across: bool
    totals: Mapping[str, tuple[int | None, int | None]]
    ops: tuple[OpChange, ...] = ()
    tensors: tuple[TensorChange, ...] = ()
    weights: tuple[WeightChange, ...] = ()
    layers: tuple[tuple[str, int, int], ...] = ()
    other: tuple[TensorChange, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def same(self) -> bool:
        """Whether nothing was found that differs but names and bytes."""
        return not (self.ops or self.tensors or self.other) and all(weight.equal for weight in self.weights)


def difference(
    first: Path | str,
    second: Path | str,
    *,
    custom_objects: tuple[str, ...] = (),
    allow_unsafe: bool = False,
    limits: Limits | None = None,
    signature: str | None = None,
) -> Difference:
    """What differs between two model files, also of different formats. Arguments and errors as `inspect`."""
    with Worker(limits or Limits(memory_mib=MEMORY_MIB)) as worker:
        return worker.call(
            compare_files,
            first=Path(first),
            second=Path(second),
            custom_objects=custom_objects,
            allow_unsafe=allow_unsafe,
            signature=signature,
        )


def compare_files(
    first: Path, second: Path, custom_objects: tuple[str, ...], allow_unsafe: bool, signature: str | None
) -> Difference:
    """As `difference` [child]. The signature is that of the files that have any."""
    found = []
    for path in (first, second):
        key = signature if has_signatures(path) else None
        found.append(opened(path, custom_objects, allow_unsafe=allow_unsafe, signature=key))
    return compare(*found)


def compare(first: Opened, second: Opened) -> Difference:
    """What differs between two opened files."""
    a, b = first.description, second.description
    across = _family(a) != _family(b)
    pairs, ops = _matched(a, b, across)
    weights = tuple(change for one, two in pairs if (change := _weights(first, second, one, two)) is not None)
    return Difference(
        first=a.file,
        second=b.file,
        across=across,
        totals=_totals(a, b),
        ops=ops,
        tensors=_tensors(a, b),
        weights=weights,
        layers=() if across else _layers(a, b),
        other=_other(a, b),
        notes=_notes(a, b, across, weights),
    )


def _family(found: Description) -> str:
    return "keras" if found.format in ("keras", "h5") else found.format


def _totals(a: Description, b: Description) -> dict[str, tuple[int | None, int | None]]:
    return {
        "bytes": (a.size_bytes, b.size_bytes),
        "parameters": (a.parameters, b.parameters),
        "MACs": (a.macs, b.macs),
        "ops": (len(a.ops), len(b.ops)),
    }


def _matched(a: Description, b: Description, across: bool) -> tuple[list[tuple[Op, Op]], tuple[OpChange, ...]]:
    """Pairs of ops that are the same ones, and what differs in or besides them."""
    one, two = ([op for op in found.ops if not across or op.kernel] for found in (a, b))
    keys = (
        [[_across_key(found, op) for op in ops] for found, ops in ((a, one), (b, two))] if across else _keys(one, two)
    )
    pairs: list[tuple[Op, Op]] = []
    alone: list[list[tuple[Any, Op]]] = [[], []]
    matcher: SequenceMatcher[Any] = SequenceMatcher(None, keys[0], keys[1], autojunk=False)
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            pairs += zip(one[i:j], two[k:m], strict=True)
        else:
            alone[0] += zip(keys[0][i:j], one[i:j], strict=True)
            alone[1] += zip(keys[1][k:m], two[k:m], strict=True)
    # Branches may be written in another order: what is the same and was left over belongs together.
    waiting: dict[Any, list[Op]] = {}
    for key, op in alone[1]:
        waiting.setdefault(key, []).append(op)
    removed = []
    for key, op in alone[0]:
        if waiting.get(key):
            pairs.append((op, waiting[key].pop(0)))
        else:
            removed.append(OpChange("removed", op.type, op.name, ""))
    added = [OpChange("added", op.type, "", op.name) for ops in waiting.values() for op in ops]
    edited = (
        []
        if across
        else [OpChange("changed", y.type, x.name, y.name, what) for x, y in pairs if (what := _edits(x, y))]
    )
    return pairs, (*edited, *removed, *added)


def _keys(one: list[Op], two: list[Op]) -> list[list[Any]]:
    """What an op is matched by within a format: its name where most names are the same, else its type."""
    shared = {op.name for op in one} & {op.name for op in two}
    longer = max(len(one), len(two))
    named = len(shared) > 0.8 * longer or longer > _MAX_MATCHED
    return [[(op.type, op.name if named else op.graph) for op in ops] for ops in (one, two)]


def _across_key(found: Description, op: Op) -> tuple[Any, ...]:
    """Across formats: the shape of its weights in the common layout."""
    tensor = found.tensor(op.kernel)
    shape = tensor.shape if tensor is not None else None
    return (op.kind == "depthwise", _common(shape, op.layout) if shape is not None else op.kernel)


def _edits(x: Op, y: Op) -> tuple[str, ...]:
    found = [f"type: {x.type} -> {y.type}"] if x.type != y.type else []
    found += [f"version: {x.version} -> {y.version}"] if x.version != y.version else []
    for key in sorted(x.options.keys() | y.options.keys()):
        old, new = x.options.get(key), y.options.get(key)
        if old != new and not (
            isinstance(old, list | tuple) and isinstance(new, list | tuple) and list(old) == list(new)
        ):
            found.append(f"{key}: {old} -> {new}")
    if x.macs != y.macs:
        found.append(f"MACs: {x.macs} -> {y.macs}")
    return tuple(found)


def _weights(first: Opened, second: Opened, one: Op, two: Op) -> WeightChange | None:
    """The kernels of two matched ops; None where neither has one."""
    if not one.kernel or not two.kernel:
        return None
    tensors = [found.description.tensor(op.kernel) for found, op in ((first, one), (second, two))]
    dtypes = tuple(_dtype(tensor) for tensor in tensors)
    change = WeightChange(one.name, one.kernel, two.kernel, 0, (dtypes[0], dtypes[1]))
    arrays = [_in_order(found.values(op.kernel), op.layout) for found, op in ((first, one), (second, two))]
    a, b = arrays
    if a is None or b is None:
        return replace(change, note="the values of one cannot be read")
    if a.shape != b.shape:
        return replace(change, count=a.size, note=f"{_text(a.shape)} and {_text(b.shape)}")
    sqnr, worst = distance(a, b)
    return replace(change, count=a.size, sqnr_db=sqnr, max_abs=worst)


def distance(a: Array, b: Array) -> tuple[float | None, float]:
    """(SQNR in dB of `b` against `a`, largest difference); None where they are equal, 0 dB or less where unrelated."""
    import numpy as np

    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    noise = float(np.sum((a - b) ** 2))
    if noise == 0.0:
        return None, 0.0
    if not math.isfinite(noise):
        return -999.0, float("1e308")
    signal = float(np.sum(a**2))
    return (10 * math.log10(signal / noise) if signal > 0 else -999.0), float(np.abs(a - b).max())


def _order(layout: str) -> list[int]:
    return sorted(range(len(layout)), key=lambda axis: _ORDER.index(layout[axis]))


def _common(shape: Sequence[int | None], layout: str) -> tuple[int, ...]:
    """The shape of a kernel with its axes in one order, without those that say nothing.

    Depthwise channels are one axis; a dense layer is a convolution of one place, because formats write either.
    """
    if len(shape) != len(layout):
        return ()
    letters = [layout[axis] for axis in _order(layout)]
    sizes = [shape[axis] or 0 for axis in _order(layout)]
    named = list(zip(sizes, letters, strict=True))
    if "C" in layout:
        return (*(n for n, letter in named if letter in "DHW"), math.prod(n for n, letter in named if letter in "CM"))
    kept = [n for n, letter in named if letter != "1"]
    while len(kept) > 2 and kept[0] == 1:
        kept = kept[1:]
    return tuple(kept)


def _in_order(array: Array | None, layout: str) -> Array | None:
    """A kernel in the shape of `_common`."""
    if array is None or array.ndim != len(layout):
        return None
    return array.transpose(_order(layout)).reshape(_common(array.shape, layout))


def _dtype(tensor: Tensor | None) -> str:
    return "" if tensor is None else tensor.dtype


def _text(shape: Sequence[int | None] | None) -> str:
    return "unknown" if shape is None else " x ".join("?" if n is None else str(n) for n in shape) or "scalar"


def _tensors(a: Description, b: Description) -> tuple[TensorChange, ...]:
    """Inputs and outputs in their order, with dtype and quantization."""
    found = []
    for side, one, two in (("input", a.inputs, b.inputs), ("output", a.outputs, b.outputs)):
        for i in range(max(len(one), len(two))):
            said = [_spec(specs[i]) if i < len(specs) else "absent" for specs in (one, two)]
            if said[0] != said[1]:
                found.append(TensorChange(f"{side} {i}", said[0], said[1]))
    return tuple(found)


def _spec(spec: Any) -> str:
    q = spec.quantization
    scale = f", scale {q.scale:g}, zero point {q.zero_point}" if q else ""
    return f"{spec.name}: {_text(spec.shape)} {spec.dtype}{scale}"


def _layers(a: Description, b: Description) -> tuple[tuple[str, int, int], ...]:
    one, two = dict(a.layers), dict(b.layers)
    return tuple(
        (name, one.get(name, 0), two.get(name, 0))
        for name in dict.fromkeys((*one, *two))
        if one.get(name) != two.get(name)
    )


def _other(a: Description, b: Description) -> tuple[TensorChange, ...]:
    pairs: list[tuple[str, str, str]] = [("precision", a.precision, b.precision)]
    if a.format == b.format:
        for what, one, two in (("", a.requires, b.requires), ("metadata ", a.metadata, b.metadata)):
            pairs += [
                (f"{what}{key}", one.get(key, "absent"), two.get(key, "absent"))
                for key in sorted(one.keys() | two.keys())
            ]
        kinds = [Counter(s.name for s in found.signatures) for found in (a, b)]
        pairs.append(("signatures", ", ".join(kinds[0]), ", ".join(kinds[1])))
    pairs.append(("labels", f"{len(a.labels)}", f"{len(b.labels)}"))
    found = [TensorChange(name, one[:500], two[:500]) for name, one, two in pairs if one != two]
    if len(a.labels) == len(b.labels) and a.labels != b.labels:
        found.append(TensorChange("labels", "other names", "than in the first"))
    return tuple(found)


def _notes(a: Description, b: Description, across: bool, weights: Sequence[WeightChange]) -> tuple[str, ...]:
    found = []
    if across:
        missed = [len([op for op in d.ops if op.kernel]) - len(weights) for d in (a, b)]
        found.append(
            "the formats differ: only ops with weights were matched, by the shapes of their weights and their order"
        )
        if any(missed):
            found.append(f"ops with weights that were not matched: {missed[0]} of the first, {missed[1]} of the second")
        if any(not w.equal for w in weights):
            found.append("weights also differ where a converter has folded a normalization into them")
    return tuple(found)
