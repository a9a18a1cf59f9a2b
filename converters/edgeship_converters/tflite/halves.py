"""Weights in half precision: where they reach its largest number, TensorFlow's converter has cut them off."""

from __future__ import annotations

import numpy as np

from edgeship.errors import UnsupportedModelError
from edgeship_converters.flatfile import described, kinds, read

#: The largest number of float16.
MAX = 65504
#: Operators that multiply with their constants. Elsewhere a large constant is a mask or a limit, which the largest
#: number serves as well; verification says where it does not.
_PRODUCTS = frozenset(
    (
        *("BATCH_MATMUL", "CONV_2D", "CONV_3D", "CONV_3D_TRANSPOSE", "DEPTHWISE_CONV_2D", "EMBEDDING_LOOKUP"),
        *("FULLY_CONNECTED", "GATHER", "TRANSPOSE_CONV", "UNIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN"),
    )
)
#: Layers that an error names.
_NAMED = 8


def check_range(content: bytes) -> None:
    """Raise UnsupportedModelError naming the layers whose weights float16 cannot hold, in a file that has them so."""
    from ai_edge_litert import schema_py_generated as schema

    model = read(content)
    names = kinds(model)
    found: dict[str, None] = {}
    restored = {
        (id(graph), int(raw.outputs[0])): int(raw.inputs[0])
        for graph in model.subgraphs
        for raw in graph.operators
        if names[raw.opcodeIndex] == "DEQUANTIZE"
    }
    for graph, raw, operator in described(model):
        if operator.kind not in _PRODUCTS:
            continue
        for index in raw.inputs:
            stored = graph.tensors[restored.get((id(graph), int(index)), int(index))]
            data = model.buffers[stored.buffer].data
            if int(index) < 0 or stored.type != schema.TensorType.FLOAT16 or data is None:
                continue
            if not (np.abs(np.frombuffer(bytes(data), np.float16)) < MAX).all():
                found[operator.name.partition(";")[0]] = None
    if found:
        named = ", ".join(list(found)[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
        raise UnsupportedModelError(
            f"tflite/float16: weights of {named} reach {MAX:,}, the largest number of half precision",
            remedy="Use float32 or dynamic, or train the layer with weight decay or a normalization before it.",
        )
