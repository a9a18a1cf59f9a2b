"""Ranges of what is 0 for every calibration sample, such as what follows a ReLU that lets nothing pass.

TensorFlow gives such a tensor a scale of 1e-8, to which LiteRT cannot rescale a sum: it ends the process. They get the
range of what they are computed from here, in which 0 is as exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

#: What TensorFlow's calibrator starts its maxima with.
_SMALLEST = float(np.finfo(np.float32).tiny)
#: Bits by which LiteRT shifts the operands of a sum before it rescales them, less one that it doubles them by.
_SHIFT = 19
Range = tuple[float, float]


def widened(graph: Any, ranges: Mapping[int, Range]) -> dict[int, Range]:
    """Ranges by the number of the tensor, none of a result too small for a scale; `graph` is a subgraph of a file."""
    found = dict(ranges)
    for operator in graph.operators:
        given = [_largest(found[index]) for index in operator.inputs if index in found]
        for index in operator.outputs:
            if index in found and _largest(found[index]) <= _SMALLEST:
                found[index] = (0.0, max(given, default=0.0) or 1.0)
    return found


def too_fine(graph: Any) -> bool:
    """Whether a result of a quantized subgraph has a scale to which LiteRT cannot bring a sum of its operands."""
    for operator in graph.operators:
        given = [scale for index in operator.inputs for scale in _scales(graph, index)]
        results = [scale for index in operator.outputs for scale in _scales(graph, index)]
        if given and results and min(results) * 2**_SHIFT <= max(given):
            return True
    return False


def _largest(ends: Range) -> float:
    return max(-ends[0], ends[1])


def _scales(graph: Any, index: int) -> list[float]:
    """The one scale of a tensor; nothing for others."""
    quantization = graph.tensors[index].quantization if index >= 0 else None
    scale = None if quantization is None else quantization.scale
    return [] if scale is None or len(scale) != 1 else [float(scale[0])]
