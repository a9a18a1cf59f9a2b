"""In which precision a file computes, in words: from the dtypes of its tensors, not from its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from edgeship.inspection.description import Op, Tensor

_COMPUTES = ("conv", "depthwise", "transpose_conv", "dense", "matmul", "recurrent", "separable", "attention")


def precision(ops: Sequence[Op], tensors: Mapping[str, Tensor]) -> str:
    """Such as `int8 weights per channel (21 ops), int8 activations; float32 inputs and outputs elsewhere`."""
    weights: Counter[str] = Counter()
    activations: Counter[str] = Counter()
    for op in ops:
        if op.kind not in _COMPUTES:
            continue
        given = [tensors[name] for name in op.inputs if name in tensors]
        kernel = tensors.get(op.kernel) or next((t for t in given if t.constant), None)
        if kernel is not None:
            weights[_stored_as(kernel)] += 1
        activations.update({t.dtype for t in given if not t.constant}.copy())
    if not weights:
        kinds = sorted({tensor.dtype for tensor in tensors.values() if tensor.dtype})
        return f"no op with weights; tensors are {', '.join(kinds[:8])}" if kinds else "unknown"
    stored = ", ".join(f"{kind} ({number} op{'s' if number > 1 else ''})" for kind, number in weights.most_common())
    computed = ", ".join(kind for kind, _ in activations.most_common())
    return f"weights: {stored}" + (f"; activations of these ops: {computed}" if computed else "")


def _stored_as(tensor: Tensor) -> str:
    if tensor.quantization is None:
        return tensor.dtype
    q = tensor.quantization
    how = "per block" if q.block else "per channel" if len(q.scales) > 1 else "per tensor"
    return f"{tensor.dtype} {how}"
