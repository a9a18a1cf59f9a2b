"""Results that are 0 for every calibration sample, and sums whose result is too small beside their operands.

LiteRT ends the process where it has to bring a sum to a scale that is too fine beside those of its operands. A tensor
that is always 0, such as what follows a ReLU that lets nothing pass, gets a scale of 1e-8 from TensorFlow. Here it gets
a range that fits its neighbours, in which 0 is as exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeship_converters.flatfile import kinds

#: What TensorFlow's calibrator starts its maxima with.
_SMALLEST = float(np.finfo(np.float32).tiny)
#: By the type of the result (`TensorType` of the schema: uint8, int16, int8), the bits by which LiteRT shifts the
#: operands of an ADD, less one because it divides by twice the larger scale (`tensorflow/lite/kernels/add.cc`).
_SHIFTS = {3: 19, 7: 14, 9: 19}
Ends = tuple[float, float]


def widened(graph: Any, ranges: Mapping[int, Ends]) -> dict[int, Ends]:
    """Ranges by the number of the tensor, none of a result that is always 0 left empty; `graph`: a subgraph of a file.

    Such a result gets the range of what it is computed from, but no more than that of what is computed from it.
    """
    found = dict(ranges)
    for operator in graph.operators:
        given = max((_largest(found[index]) for index in operator.inputs if index in found), default=0.0)
        for index in operator.outputs:
            if index in found and _largest(found[index]) <= _SMALLEST:
                around = [size for size in (given, *_computed_from(index, graph, ranges)) if size > _SMALLEST]
                found[index] = (0.0, min(around, default=1.0))
    return found


def too_fine(model: Any) -> int | None:
    """Number of the first ADD in a file's main subgraph at which LiteRT would end the process; None without one."""
    graph, names = model.subgraphs[0], kinds(model)
    for number, operator in enumerate(graph.operators):
        if names[operator.opcodeIndex] != "ADD":
            continue
        result = operator.outputs[0]
        shift, own = _SHIFTS.get(graph.tensors[result].type), _scale(graph, result)
        if shift is not None and own > 0 and max(_scale(graph, index) for index in operator.inputs) >= own * 2**shift:
            return number
    return None


def _largest(ends: Ends) -> float:
    return max(-ends[0], ends[1])


def _computed_from(index: int, graph: Any, ranges: Mapping[int, Ends]) -> list[float]:
    results = [result for operator in graph.operators if index in operator.inputs for result in operator.outputs]
    return [_largest(ranges[result]) for result in results if result in ranges]


def _scale(graph: Any, index: int) -> float:
    """The one scale of a tensor; 0 for others."""
    quantization = graph.tensors[index].quantization if index >= 0 else None
    scale = None if quantization is None else quantization.scale
    return float(scale[0]) if scale is not None and len(scale) == 1 else 0.0
