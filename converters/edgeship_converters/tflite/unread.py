"""Splits of which not all parts are read, as slices of what is read.

TensorFlow's quantizer leaves a SPLIT with an unread part in float now and then, by the order of addresses in memory.
They come from unrolled recurrent layers, whose first state is zero: what multiplies with it is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgeship.names import unique
from edgeship_converters.flatfile import kinds, read, text, write
from edgeship_converters.tflite import parts

#: Which input is split.
_SPLIT = {"SPLIT": 1, "SPLIT_V": 0}


def slices(content: bytes) -> bytes:
    """The file with a SLICE for each part that is read, where a split has another; else as it is.

    Args:
        content: a float file, of which all shapes are known.
    """
    model = read(content)
    names, changed = kinds(model), False
    for graph in model.subgraphs:
        is_read = {int(index) for operator in graph.operators for index in operator.inputs}
        is_read.update(map(int, graph.outputs))
        kept = []
        for operator in graph.operators:
            given = _SPLIT.get(names[operator.opcodeIndex])
            if given is None or is_read.issuperset(map(int, operator.outputs)):
                kept.append(operator)
            else:
                kept += _sliced(model, graph, operator, int(operator.inputs[given]), is_read)
                changed = True
        graph.operators = kept
    return write(model) if changed else content


def _sliced(model: Any, graph: Any, operator: Any, given: int, is_read: set[int]) -> Iterator[Any]:
    code = parts.code(model, "SLICE", 1)
    shapes = [np.array(graph.tensors[index].shape) for index in operator.outputs]
    along = np.array(graph.tensors[given].shape) != shapes[0]  # the axis that is split; of one part, none
    taken = {text(tensor.name) for tensor in graph.tensors}
    begin = np.zeros_like(shapes[0])
    for index, shape in zip(map(int, operator.outputs), shapes, strict=True):
        if index in is_read:
            name = text(graph.tensors[index].name)
            ends = [
                parts.constant(model, graph, unique(f"{name}_{end}", taken), numbers)
                for end, numbers in (("begin", begin), ("size", shape))
            ]
            yield parts.operator(code, [given, *ends], [index], "SliceOptions")
        begin = begin + shape * along
