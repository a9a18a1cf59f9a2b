"""What one inference of a file has to do, counted from the file alone: multiply-accumulates, bytes, operators."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgeship.errors import ArtifactError
from edgeship.inspection.description import Description, Op, Tensor
from edgeship.inspection.macs import sizes
from edgeship.inspection.opening import opened

#: Bits of a stored number, by the beginning of its type's name.
_BITS = {"int4": 4, "uint4": 4, "int2": 2, "int8": 8, "uint8": 8, "bool": 8, "float16": 16, "int16": 16, "uint16": 16}
_WIDE = {"float64": 64, "int64": 64, "uint64": 64}


@dataclass(frozen=True)
class Work:
    """What one inference of one sample does.

    Attributes:
        macs: multiply-accumulates by arithmetic (`int8`, `float16`, `float32`), without those of `depthwise_macs`. The
            arithmetic is that of the stored weights: a runtime may compute in a wider one, never in a narrower one.
        depthwise_macs: the same of depthwise convolutions, which no processor does at its peak.
        weight_bytes: of all constants, as they are stored.
        activation_bytes: of all computed tensors, as they are stored.
        operators: of the main graph.
        batch: samples that the file takes at once; the numbers above are for one of them, but for `weight_bytes` and
            `operators`.
        uncounted: types of operators whose multiplications are not in the numbers.
    """

    macs: Mapping[str, float]
    depthwise_macs: Mapping[str, float]
    weight_bytes: int
    activation_bytes: float
    operators: int
    batch: int
    uncounted: tuple[str, ...] = ()

    @property
    def all_macs(self) -> dict[str, float]:
        """Multiply-accumulates by arithmetic, depthwise convolutions included."""
        total = Counter(self.macs)
        total.update(self.depthwise_macs)
        return dict(total)


def read(path: Path) -> Work:
    """Count a file's work [child]. Raises as `edgeship.inspection.inspect`, ArtifactError for a trained model."""
    found = opened(path).description
    if found.format in ("keras", "h5", "savedmodel"):
        raise ArtifactError(f"{path.name} is a model of format {found.format}, not an exported file")
    return count(found)


def count(found: Description) -> Work:
    """The work of a file that was taken apart.

    Other graphs than the main one may never run, and weights stored sparse may be multiplied where they are not zero
    only: neither counts. Weights in half precision are widened once, when the file is loaded.
    """
    tensors = {tensor.name: tensor for tensor in found.tensors}
    main = [op for op in found.ops if not op.graph]
    running = [op for op in main if not _is_widening(op, tensors)]
    producers = {name: op for op in main for name in op.outputs}
    shape = found.inputs[0].shape if found.inputs else ()
    batch = shape[0] if shape and shape[0] else 1
    macs, depthwise, uncounted = Counter[str](), Counter[str](), set[str]()
    for op in main:
        weights = _weights(op, tensors, producers)
        if op.macs is None or (weights is not None and _is_sparse(weights)):
            uncounted.add(op.type)
        elif op.macs:
            arithmetic = "float32" if found.format == "tfjs" else _arithmetic(weights)  # restored when it is loaded
            (depthwise if op.kind == "depthwise" else macs)[arithmetic] += op.macs
    computed = {name for op in running for name in op.outputs if name in tensors and not tensors[name].constant}
    return Work(
        macs={kind: number / batch for kind, number in sorted(macs.items())},
        depthwise_macs={kind: number / batch for kind, number in sorted(depthwise.items())},
        weight_bytes=sum(tensor.stored_bytes for tensor in found.tensors if tensor.constant),
        activation_bytes=sum(_bits(tensors[name]) / 8 for name in computed) / batch,
        operators=len(running),
        batch=batch,
        uncounted=tuple(sorted(uncounted)),
    )


def _weights(op: Op, tensors: Mapping[str, Tensor], producers: Mapping[str, Op]) -> Tensor | None:
    """What an operator multiplies with, as the file stores it: from before it is dequantized."""
    name = op.kernel or next((name for name in op.inputs[1:] if name), op.inputs[0] if op.inputs else "")
    producer = producers.get(name)
    if producer is not None and producer.kind == "dequantize" and producer.inputs:
        name = producer.inputs[0]
    return tensors.get(name)


def _is_widening(op: Op, tensors: Mapping[str, Tensor]) -> bool:
    given = tensors.get(op.inputs[0]) if op.inputs else None
    return op.kind == "dequantize" and given is not None and given.constant


def _is_sparse(tensor: Tensor) -> bool:
    bits = _bits(tensor)
    return tensor.constant and bits > 0 and 8 * tensor.stored_bytes < bits - 7


def _bits(tensor: Tensor) -> float:
    """Bits of all its numbers; 0 where its shape is unknown."""
    numbers = sizes(tensor.shape)
    width = _BITS.get(tensor.dtype) or _WIDE.get(tensor.dtype, 32)
    return 0.0 if numbers is None else float(math.prod(numbers) * width)


def _arithmetic(weights: Tensor | None) -> str:
    dtype = "float32" if weights is None else weights.dtype
    if dtype in ("float16", "bfloat16"):
        return "float16"
    return "int8" if dtype.lstrip("u").startswith("int") else "float32"
