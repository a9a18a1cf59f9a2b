"""Why the compiler takes no part of a file: sizes that are not known, and operators newer than it is.

The last compiler, 16.0 of 2021, opens a file with the TensorFlow Lite of its time, and stops at what is newer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from edgeship.edgetpu.graph import Graph, Operator
from edgeship.edgetpu.placement import Refusal

#: The newest version of each operator that may be known to it: tensorflow/lite/kernels/register.cc of TensorFlow 2.8,
#: a little newer than the compiler, so what is above is refused for certain. CONV_2D 6 [google-coral/edgetpu#631],
#: TRANSPOSE_CONV 4 [#845] and EXP 2 [google-coral/libedgetpu#71] were seen refused.
_NEWEST: Mapping[str, int] = {
    "ABS": 4,
    "ADD": 4,
    "ARG_MAX": 3,
    "ARG_MIN": 3,
    "AVERAGE_POOL_2D": 3,
    "BATCH_MATMUL": 4,
    "BROADCAST_TO": 3,
    "CAST": 4,
    "CONCATENATION": 3,
    "CONV_2D": 5,
    "DEPTH_TO_SPACE": 2,
    "DEPTHWISE_CONV_2D": 6,
    "DEQUANTIZE": 5,
    "DIV": 2,
    "ELU": 1,
    "EXP": 1,
    "EXPAND_DIMS": 1,
    "FULLY_CONNECTED": 9,
    "GATHER": 5,
    "GATHER_ND": 3,
    "GELU": 2,
    "HARD_SWISH": 1,
    "L2_NORMALIZATION": 2,
    "LEAKY_RELU": 2,
    "LOGISTIC": 3,
    "LOG": 1,
    "LOG_SOFTMAX": 2,
    "LSTM": 4,
    "MAXIMUM": 4,
    "MAX_POOL_2D": 3,
    "MEAN": 3,
    "MINIMUM": 4,
    "MIRROR_PAD": 2,
    "MUL": 5,
    "PACK": 3,
    "PAD": 4,
    "PADV2": 4,
    "POW": 1,
    "PRELU": 1,
    "QUANTIZE": 3,
    "REDUCE_MAX": 3,
    "REDUCE_MIN": 3,
    "RELU": 3,
    "RELU6": 3,
    "RELU_N1_TO_1": 1,
    "RESHAPE": 1,
    "RESIZE_BILINEAR": 4,
    "RESIZE_NEAREST_NEIGHBOR": 4,
    "RSQRT": 2,
    "SLICE": 5,
    "SOFTMAX": 3,
    "SPACE_TO_DEPTH": 2,
    "SPLIT": 4,
    "SQUARED_DIFFERENCE": 2,
    "SQUEEZE": 2,
    "STRIDED_SLICE": 6,
    "SUB": 5,
    "SUM": 2,
    "SQRT": 1,
    "SQUARE": 1,
    "TANH": 3,
    "TILE": 3,
    "TRANSPOSE": 5,
    "TRANSPOSE_CONV": 3,
    "UNPACK": 4,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 3,
}

#: The last operator of TensorFlow 2.8, by the schema: RELU_0_TO_1.
_LAST_CODE = 152

#: Inputs whose values decide the shape of the result.
_SHAPES: Mapping[str, tuple[int, ...]] = {
    "BROADCAST_TO": (1,),
    "FILL": (0,),
    "PAD": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SLICE": (1, 2),
    "STRIDED_SLICE": (1, 2, 3),
    "TILE": (1,),
    "TRANSPOSE_CONV": (0,),
}

#: Custom operators that the compiler has beside the built-in ones; its message for another one is "unresolved".
_CUSTOM = ("TFLite_Detection_PostProcess", "PosenetDecoderOp")

_STATIC = "Give the model a fixed batch size and image size before it is converted (edgeship's own exports have both)."


def refusals(graph: Graph) -> tuple[Refusal, ...]:
    """Why the compiler would stop; empty if nothing is known against the file."""
    return (*_floats(graph), *_operators(graph), *_dynamic(graph))


def _floats(graph: Graph) -> Iterator[Refusal]:
    """Its message is "Model not quantized"."""
    results = (tensor for operator in graph.operators for tensor in operator.outputs)
    if graph.operators and not any(tensor.quantized for tensor in results):
        change = "Quantize it: edgeship convert MODEL --to tflite --quantize int8 --data DATA."
        yield Refusal("not-quantized", True, "no operator of the file works on quantized numbers", change)


def _operators(graph: Graph) -> Iterator[Refusal]:
    seen = set()
    for operator in graph.operators:
        code = (operator.kind, operator.version)
        if code in seen:
            continue
        seen.add(code)
        if operator.code > _LAST_CODE:
            why = f"{operator.kind} came into TensorFlow Lite after the compiler"
            yield Refusal("operator-version", True, why, "Do its work after the model, in code.")
        newest = None if operator.custom else _NEWEST.get(operator.kind)
        if newest is not None and operator.version > newest:
            why = f"{operator.kind} has version {operator.version}; the compiler knows up to {newest}"
            yield Refusal("operator-version", True, why, _older(operator.kind))
        if operator.custom and operator.kind not in _CUSTOM:
            why = f"the compiler does not know the custom operator {operator.kind}"
            yield Refusal("custom-operator", True, why, "Do its work after the model, in code.")


def _older(kind: str) -> str:
    if kind == "FULLY_CONNECTED":
        return "Turn off weights by channel for dense layers, as edgeship's int8 does, or use a 1 x 1 convolution."
    return "Convert with edgeship's own int8, or with a TensorFlow of the compiler's time (2.5 to 2.8)."


def _dynamic(graph: Graph) -> Iterator[Refusal]:
    """Tensor sizes are constants: the compiler stops at "a graph that has dynamic-sized tensors"."""
    computed = next((operator for operator in graph.operators if _computes_shape(operator)), None)
    if computed is not None:
        why = f"the shape of {computed.outputs[0].name} ({computed.kind}) is computed while the model runs"
        yield Refusal("dynamic-size", True, why, _STATIC)
        return
    open_ends = [tensor.name for tensor in (*graph.inputs, *graph.outputs) if tensor.dynamic]
    if open_ends:
        # tensorflow/tensorflow#73946: such a file was compiled as long as no shape was computed in it.
        why = (
            f"{open_ends[0]} has a size that is not fixed; sizes must be, though the compiler was seen to take it as 1"
        )
        yield Refusal("dynamic-size", False, why, _STATIC)


def _computes_shape(operator: Operator) -> bool:
    for number in _SHAPES.get(operator.kind, ()):
        tensor = operator.inputs[number] if number < len(operator.inputs) else None
        if tensor is not None and not tensor.constant:
            return True
    return False
