"""A .tflite file cut after each operator: prefixes of its graph whose times, subtracted, are those of its operators.

Every prefix keeps what later operators would have read, so that it does exactly the work of the whole file up to its
cut. Operators that a runtime computes as one are not cut apart.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeship.errors import UnsupportedModelError
from edgeship.inspection.bounds import damaged, read_file
from edgeship.inspection.description import Op
from edgeship.inspection.opening import opened

#: Longer graphs are cut in fewer places: the time that cutting takes grows with the square of the parts.
MOST_PARTS = 120
#: Files of all prefixes together: they are loaded side by side, twice (XNNPACK packs). Large files are cut in fewer
#: places, down to the least.
MOST_BYTES = 256 << 20
LEAST_PARTS = 8
#: Operators that XNNPACK (subgraph.c, fusion) and LiteRT's converter make part of the one before them.
_ACTIVATIONS = ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")
#: Those that XNNPACK makes part of the convolution behind them.
_PADS = ("PAD", "PADV2")
_MOST_FUSED = 4
_NAMELESS = re.compile(r"tensor(__\d+)?")
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class Part:
    """Operators between two cuts.

    Attributes:
        name: of the operator with the most multiplications, else of the last.
        type: their types, in order.
        macs: of one inference; None where one cannot be counted.
        operators: how many there are.
    """

    name: str
    type: str
    macs: int | None
    operators: int


def cut(path: Path, folder: Path) -> tuple[Part, ...]:
    """Write `0.tflite` (no operator), `1.tflite`, ... (the first 1, ... parts) into a folder; the parts [child].

    Raises ArtifactError for a damaged file, UnsupportedModelError for a graph without operators.
    """
    from ai_edge_litert import schema_py_generated as schema

    ops = [op for op in opened(path).description.ops if not op.graph]
    if not ops:
        raise UnsupportedModelError(f"{path.name} has no operators")
    content = read_file(path)
    # A prefix has half of the bytes on average.
    ends = _ends(ops, min(MOST_PARTS, max(LEAST_PARTS, 2 * MOST_BYTES // len(content))))
    with damaged(path):
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        for number, end in enumerate((0, *ends)):
            (folder / f"{number}.tflite").write_bytes(_written(_prefix(model, end)))
    return tuple(_part(ops[start:end], start) for start, end in zip((0, *ends), ends, strict=False))


def _ends(ops: Sequence[Op], most: int = MOST_PARTS) -> list[int]:
    """Numbers of the operators behind which to cut, `most` of them; the last is that of all."""
    ends = [n for n in range(1, len(ops)) if not _together(ops[n - 1], ops[n])] + [len(ops)]
    while len(ends) > most:  # the two neighbours that multiply least become one part
        starts = [0, *ends]
        work = [sum(op.macs or 0 for op in ops[starts[k] : starts[k + 2]]) for k in range(len(ends) - 1)]
        del ends[work.index(min(work))]
    return ends


def _together(first: Op, second: Op) -> bool:
    """Whether two successive operators are computed as one, or before any inference."""
    joined = bool(first.outputs) and first.outputs[0] in second.inputs
    if joined and second.type in _ACTIVATIONS:
        return True
    if joined and first.type in _PADS and second.type in _CONVOLUTIONS:
        return True
    # Weights stored in half precision are widened when the file is loaded.
    return joined and first.type == "DEQUANTIZE" and first.outputs[0] != second.inputs[0]


def _part(ops: Sequence[Op], first: int) -> Part:
    """Of operators of which `first` come before them; some converters call every tensor `tensor`, which names none."""
    heaviest = max(reversed(range(len(ops))), key=lambda k: ops[k].macs or 0)
    known = [op.macs for op in ops if op.macs is not None]
    types = " + ".join(op.type for op in ops[:4]) + (" + ..." if len(ops) > 4 else "")
    named = ops[heaviest].name
    name = f"{ops[heaviest].type} {first + heaviest}" if _NAMELESS.fullmatch(named) else named
    return Part(name, types, sum(known) if len(known) == len(ops) else None, len(ops))


def _prefix(model: Any, end: int) -> Any:
    """The model with the first `end` operators of its main graph; what the others read of them are its outputs."""
    graph = copy.copy(model.subgraphs[0])
    kept, left = graph.operators[:end], graph.operators[end:]
    read = {int(i) for op in left for i in op.inputs} | {int(i) for i in graph.outputs}
    made = [int(i) for op in kept for i in op.outputs]
    outputs = [i for i in made if i in read] or [int(graph.inputs[0])]
    used = {int(i) for op in kept for i in (*op.inputs, *op.outputs)} | {int(i) for i in (*graph.inputs, *outputs)}
    graph.operators, graph.outputs = kept, outputs
    graph.tensors = [tensor if i in used else _empty(tensor) for i, tensor in enumerate(graph.tensors)]
    short = copy.copy(model)
    short.subgraphs = [graph, *model.subgraphs[1:]]
    held = {tensor.buffer for each in short.subgraphs for tensor in each.tensors}
    short.buffers = [buffer if i in held else _empty_buffer(buffer) for i, buffer in enumerate(model.buffers)]
    short.signatureDefs = short.metadata = short.metadataBuffer = None
    return short


def _empty(tensor: Any) -> Any:
    """A tensor that nothing reads, without its values."""
    found = copy.copy(tensor)
    found.buffer = 0
    return found


def _empty_buffer(buffer: Any) -> Any:
    found = copy.copy(buffer)
    found.data, found.offset, found.size = None, 0, 0
    return found


def _written(model: Any) -> bytes:
    import flatbuffers  # type: ignore[import-untyped] # has no stubs

    builder = flatbuffers.Builder(sum(0 if b.data is None else len(b.data) for b in model.buffers) + (1 << 16))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def works(path: Path) -> dict[str, dict[str, int]]:
    """Multiply-accumulates by name and kind of operator, of a file of any format, where they can be counted [child].

    A runtime calls what it has made of several operators by one of them and has the type of another: under the name of
    an operator are also those before it that only it reads.
    """
    ops = [op for op in opened(path).description.ops if not op.graph]
    producers = {name: op for op in ops for name in op.outputs}
    readers = Counter(name for op in ops for name in set(op.inputs))
    found: dict[str, dict[str, int]] = {}
    for op in ops:
        kinds = found.setdefault(op.name, {})
        at: Op | None = op
        while at is not None and len(kinds) < _MOST_FUSED:
            if at.kind in kinds:
                break
            kinds[at.kind] = -1 if at.macs is None else at.macs
            given = at.inputs[0] if at.inputs else ""
            at = producers.get(given) if readers[given] == 1 else None
    return {name: {kind: macs for kind, macs in kinds.items() if macs >= 0} for name, kinds in found.items()}
