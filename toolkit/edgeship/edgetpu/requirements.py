"""What the Edge TPU asks of every operator: 8 bits, three dimensions, constant parameters.

Sources: see `edgeship.edgetpu.rules`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgeship.edgetpu.graph import Operator, Tensor
from edgeship.edgetpu.placement import Place


@dataclass(frozen=True)
class Finding:
    """A rule that keeps an operator off the Edge TPU, or may."""

    place: Place
    rule: str
    reason: str
    change: str = ""


#: Inputs that are parameters: weights, biases, axes, shapes, paddings.
_PARAMETERS: Mapping[str, tuple[int, ...]] = {
    "CONV_2D": (1, 2),
    "DEPTHWISE_CONV_2D": (1, 2),
    "EXPAND_DIMS": (1,),
    "FULLY_CONNECTED": (1, 2),
    "MEAN": (1,),
    "PAD": (1,),
    "PRELU": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "RESHAPE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "SLICE": (1, 2),
    "SPLIT": (0,),
    "STRIDED_SLICE": (1, 2, 3),
    "SUM": (1,),
    "TILE": (1,),
    "TRANSPOSE": (1,),
    "TRANSPOSE_CONV": (0, 1, 3),
}


def _activations(operator: Operator) -> list[Tensor]:
    """Inputs and outputs that are computed, without parameters; of an LSTM not its state, which is int16 by design."""
    parameters = _PARAMETERS.get(operator.kind, ())
    inputs = operator.inputs[:1] if operator.kind.endswith("LSTM") else operator.inputs
    given = [t for number, t in enumerate(inputs) if t is not None and not t.constant and number not in parameters]
    return [*given, *operator.outputs]


def data_type(operator: Operator) -> Finding | None:
    """[ops]: fully quantized to 8 bits. QUANTIZE from float and DEQUANTIZE stay on the CPU [#343]."""
    for tensor in _activations(operator):
        if tensor.dtype not in ("INT8", "UINT8") or not tensor.quantized:
            kind = tensor.dtype.lower() + ("" if tensor.dtype not in ("INT8", "UINT8") else " without a scale")
            floats = tensor.dtype.startswith("FLOAT")
            change = "Quantize all of the model: --quantize int8." if floats else "Compute it in 8 bits, or afterwards."
            if operator.kind == "QUANTIZE" and floats:
                change = "Export with integer inputs: --quantize int8, not int8-floatio."
            return Finding("cpu", "data-type", f"{called(tensor)} is {kind}, not quantized to 8 bits", change)
    return None


def rank(operator: Operator) -> Finding | None:
    """[ops]: of more than three dimensions, only the three innermost may be larger than 1 [#30, #75]."""
    for tensor in _activations(operator):
        if math.prod(tensor.shape[:-3]) != 1:
            change = "Use batch size 1." if len(tensor.shape) == 4 else "Fold axes: three may be larger than 1."
            return Finding("cpu", "rank", f"{called(tensor)} has the shape {sizes(tensor)}", change)
    return None


def constant_parameters(operator: Operator) -> Finding | None:
    """[ops]: parameters are constants of the file [#25]."""
    for number in _PARAMETERS.get(operator.kind, ()):
        tensor = operator.inputs[number] if number < len(operator.inputs) else None
        if tensor is not None and not tensor.constant:
            why = f"{called(tensor)} is computed, not a constant"
            return Finding("cpu", "constant-parameters", why, "Make it a constant.")
    return None


def sizes(tensor: Tensor) -> str:
    """The shape of a tensor, in words."""
    return " x ".join(map(str, tensor.shape)) or "a scalar"


def called(tensor: Tensor) -> str:
    """The name of a tensor, or its number."""
    return tensor.name or f"tensor {tensor.index}"
