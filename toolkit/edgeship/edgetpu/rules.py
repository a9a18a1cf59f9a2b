"""What is public about which operators the Edge TPU runs, one function for each rule.

Sources, named at each rule:

- [ops] the table of supported operations and the model requirements of the Edge TPU's documentation (coral.ai,
  docs/edgetpu/models-intro), for runtime 14, the last one; Axis repeats it for the chip of its cameras (ARTPEC-7).
- [#n] issue n of google-coral/edgetpu: what the compiler said of a user's model.
- [pairs] models in google-coral/test_data beside what the compiler made of them: see docs/edgetpu.md.

The compiler was never opened: where these do not decide, the answer is `uncertain`, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from edgeship.edgetpu.graph import Operator, Tensor
from edgeship.edgetpu.requirements import Finding, constant_parameters, data_type, rank, sizes

_NO_ACTIVATION = 0
_DEFAULT_WEIGHTS = 0

#: Versions of FULLY_CONNECTED: the newest one seen mapped, the oldest one seen not mapped.
_DENSE_VERSIONS = (4, 9)

#: [ops]: the longest softmax.
_SOFTMAX_ELEMENTS = 16_000
#: [#512]: in YOLOv5s at 224 x 224 reshapes of up to 49,980 elements were mapped, one of 199,920 was not.
_RESHAPE_ELEMENTS = 50_000
#: [pairs, #31]: resizing to at most twice the size was mapped up to 128 x 128 x 32, not at 512 x 512 x 32.
_RESIZE_ELEMENTS = (128 * 128 * 32, 512 * 512 * 32)
#: [pairs]: no resizing by 15.5 (33 to 513) or 33 (1 to 33) was mapped; by 2 it was.
_RESIZE_FACTORS = (2.0, 15.5)
#: [#684]: a transposed convolution with weights of 2 MiB was not mapped.
_TRANSPOSE_CONV_BYTES = 1 << 20


Rule = Callable[[Operator], Finding | None]


def judge(operator: Operator) -> Finding | None:
    """Why an operator, looked at alone, stays on the CPU or may stay there; None if the Edge TPU runs it."""
    if operator.custom:
        return Finding(
            "cpu", "custom-operator", f"{operator.kind} is a custom operator", "Do its work after the model, in code."
        )
    if operator.kind not in _RULES:
        return Finding("cpu", "not-listed", f"{operator.kind} is not supported", _INSTEAD.get(operator.kind, ""))
    for rule in (data_type, rank, constant_parameters, *_RULES[operator.kind]):
        found = rule(operator)
        if found is not None:
            return found
    return None


#: What has the same effect and is supported.
_INSTEAD: Mapping[str, str] = {
    "LEAKY_RELU": "Use ReLU, or PReLU with shared_axes=[1, 2].",
    "HARD_SWISH": "Use ReLU6.",
    "GELU": "Use ReLU.",
    "ELU": "Use ReLU.",
    "ARG_MAX": "Take the argmax of the outputs in code, after the model.",
    "ARG_MIN": "Take the argmin of the outputs in code, after the model.",
    "DEQUANTIZE": "Export with integer outputs: --quantize int8, not int8-floatio.",
    "CAST": "Feed the model int8 or uint8 itself.",
    "GATHER": "Replace the lookup by slices or a one-hot product.",
    "MIRROR_PAD": "Pad with zeros (padding='same').",
    "PADV2": "Pad with zeros (padding='same').",
    "BATCH_MATMUL": "Attention has no form on the Edge TPU; use convolutions.",
}


def _no_activation(operator: Operator) -> Finding | None:
    """[ops]: no fused activation function."""
    if operator.options.get("FusedActivationFunction", _NO_ACTIVATION) == _NO_ACTIVATION:
        return None
    return Finding(
        "cpu",
        "fused-activation",
        "an activation is fused into it",
        "Move the activation before it, or another operator between them.",
    )


def _zero_padding(operator: Operator) -> Finding | None:
    """[ops]: a constant is joined to one other input only, and is all zeros."""
    constants = [t for t in operator.inputs if t is not None and t.constant]
    if not constants:
        return None
    zeros = all(t.zero_point is not None and _all_equal(t, t.zero_point) for t in constants)
    if len(operator.inputs) == 2 and zeros:
        return None
    return Finding(
        "cpu", "constant-input", "it joins a constant that is no padding with zeros", "Join computed tensors only."
    )


def _all_equal(tensor: Tensor, value: int) -> bool:
    return bytes(tensor.data) == bytes([value & 0xFF]) * len(tensor.data)


def _same_dilation(operator: Operator) -> Finding | None:
    """[ops]: the same dilation in x and y."""
    x, y = operator.options.get("DilationWFactor", 1), operator.options.get("DilationHFactor", 1)
    if x == y:
        return None
    return Finding("cpu", "dilation", f"its dilation is {y} x {x}", "Use the same dilation in both directions.")


def _one_vector(operator: Operator) -> Finding | None:
    """[ops]: default format of the weights, one-dimensional output."""
    if operator.options.get("WeightsFormat", _DEFAULT_WEIGHTS) != _DEFAULT_WEIGHTS:
        return Finding("cpu", "weights-format", "its weights are shuffled", "Convert again with standard options.")
    output = operator.outputs[0]
    if math.prod(output.shape[:-1]) == 1:
        return None
    return Finding(
        "cpu", "one-dimensional", f"its output has the shape {sizes(output)}", "Use a 1 x 1 convolution in its place."
    )


def _dense_version(operator: Operator) -> Finding | None:
    """[pairs]: version 4 is mapped; version 9 (keep_num_dims) was reported as "Operation version not supported"."""
    if operator.version <= _DENSE_VERSIONS[0]:
        return None
    seen = operator.version >= _DENSE_VERSIONS[1]
    why = f"version {operator.version} of FULLY_CONNECTED {'was seen to stay' if seen else 'may stay'} on the CPU"
    change = "Flatten the input of dense layers to one row, or use 1 x 1 convolutions."
    return Finding("cpu" if seen else "uncertain", "version", why, change)


def _softmax(operator: Operator) -> Finding | None:
    """[ops]: one-dimensional, at most 16,000 elements; compiler 16 mapped softmax over rows too, in some models."""
    shape = operator.inputs[0].shape if operator.inputs[0] is not None else ()
    if shape and shape[-1] > _SOFTMAX_ELEMENTS:
        return Finding(
            "cpu", "softmax-size", f"softmax over {shape[-1]:,} elements, 16,000 at most", "Do it after the model."
        )
    if math.prod(shape[:-1]) == 1:
        return None
    return Finding(
        "uncertain",
        "softmax-rank",
        f"softmax over the rows of {sizes(operator.outputs[0])}: documented for one dimension, seen mapped for more",
        "Do it after the model.",
    )


def _axes(operator: Operator, number: int, rank: int) -> tuple[int, ...] | None:
    """The axes that a constant input names, counted from the front; None if they are unknown."""
    tensor = operator.inputs[number] if number < len(operator.inputs) else None
    if tensor is None or tensor.values is None:
        return None
    return tuple(axis % rank for axis in tensor.values) if rank else ()


def _rank_of(tensor: Tensor | None) -> int:
    return len(tensor.shape) if tensor is not None else 0


def _batch(axes: Sequence[int] | None, rank: int, rule: str, what: str) -> Finding | None:
    """A rule of [ops] against work along the batch dimension, which is the first of four."""
    if axes is None:
        return Finding("uncertain", rule, f"the axes along which it {what} cannot be read")
    if 0 not in axes:
        return None
    if rank >= 4:
        return Finding("cpu", rule, f"it {what} along the batch dimension", "Leave the batch dimension alone.")
    why = f"it {what} along the first of {rank} dimensions, which may count as the batch"
    return Finding("uncertain", rule, why, "Put a batch dimension of size 1 before it.")


def _reduction(operator: Operator) -> Finding | None:
    rank = _rank_of(operator.inputs[0])
    return _batch(_axes(operator, 1, rank), rank, "batch-dimension", "reduces")


def _mean_over_channels(operator: Operator) -> Finding | None:
    """[ops]: a reduction along z needs a size that is a multiple of 4."""
    image = operator.inputs[0]
    rank = _rank_of(image)
    axes = _axes(operator, 1, rank) or ()
    if image is None or rank - 1 not in axes or image.shape[-1] % 4 == 0:
        return None
    return Finding(
        "cpu",
        "mean-channels",
        f"it takes the mean of {image.shape[-1]} channels, no multiple of 4",
        "Make the number of channels a multiple of 4.",
    )


def _pack(operator: Operator) -> Finding | None:
    rank = _rank_of(operator.outputs[0])
    axis = operator.options.get("Axis", 0)
    return _batch((axis % rank,) if rank else (), rank, "batch-dimension", "packs")


def _split(operator: Operator) -> Finding | None:
    size = _rank_of(operator.inputs[1] if len(operator.inputs) > 1 else None)
    found = _batch(_axes(operator, 0, size), size, "batch-dimension", "splits")
    if found is None or len(operator.outputs) > 1:
        return found
    # Google's own traffic_model (google-coral/test_data, automl_video_ondevice) was made for the Edge TPU with one.
    return Finding(
        "uncertain", "batch-dimension", "it splits the batch into one part, which changes nothing", "Drop it."
    )


def _pad(operator: Operator) -> Finding | None:
    paddings = operator.inputs[1] if len(operator.inputs) > 1 else None
    rank = _rank_of(operator.inputs[0])
    values = paddings.values if paddings is not None else None
    padded = None if values is None else [n // 2 for n, size in enumerate(values) if size]
    return _batch(padded, rank, "batch-dimension", "pads")


def _prelu(operator: Operator) -> Finding | None:
    """[ops]: alpha is one-dimensional."""
    alpha = operator.inputs[1] if len(operator.inputs) > 1 else None
    if alpha is not None and alpha.constant and math.prod(alpha.shape[:-1]) == 1:
        return None
    return Finding("cpu", "prelu-alpha", "alpha has more than one dimension", "Use PReLU(shared_axes=[1, 2]).")


def _strides(operator: Operator) -> Finding | None:
    """[ops]: all strides 1, no ellipsis, no new axis."""
    strides = operator.inputs[3] if len(operator.inputs) > 3 else None
    masked = operator.options.get("EllipsisMask", 0) or operator.options.get("NewAxisMask", 0)
    if strides is not None and strides.values is not None and set(strides.values) <= {1} and not masked:
        return None
    return Finding("cpu", "strided-slice", "it slices with steps, an ellipsis or a new axis", "Slice with steps of 1.")


def _reshape(operator: Operator) -> Finding | None:
    """[ops]: some reshapes of large tensors are not mapped; how large is not said."""
    elements = math.prod(operator.outputs[0].shape)
    if elements <= _RESHAPE_ELEMENTS:
        return None
    return Finding("uncertain", "reshape-size", f"it reshapes {elements:,} elements; large ones may not be mapped")


def _resize(operator: Operator) -> Finding | None:
    """[ops]: may not be mapped for its sizes, to avoid loss in precision; the bounds are those that were seen."""
    given, made = operator.inputs[0], operator.outputs[0]
    if given is None or len(given.shape) != 4 or given.shape == made.shape:
        return None
    factor = max(b / max(a, 1) for a, b in zip(given.shape[1:3], made.shape[1:3], strict=True))
    elements = math.prod(made.shape)
    step = f"it resizes {sizes(given)} to {sizes(made)}"
    change = "Enlarge in steps of 2, by Conv2DTranspose, or after the model; or use smaller images."
    if factor >= _RESIZE_FACTORS[1] or elements >= _RESIZE_ELEMENTS[1]:
        return Finding("cpu", "resize-size", f"{step}: as large a step or result was never seen mapped", change)
    if factor > _RESIZE_FACTORS[0] or elements > _RESIZE_ELEMENTS[0]:
        return Finding(
            "uncertain", "resize-size", f"{step}: the limit lies between what was seen mapped and not", change
        )
    return None


def _transpose(operator: Operator) -> Finding | None:
    """[ops] names no limit, yet the compiler leaves some out "due to some unspecified limitation" [#433]."""
    given = operator.inputs[0]
    order = _axes(operator, 1, _rank_of(given))
    if given is None or order is None:
        return Finding("uncertain", "transpose", "its order of axes cannot be read")
    moved = [axis for axis in order if axis < len(given.shape) and given.shape[axis] > 1]
    if moved == sorted(moved):
        return None
    why = f"it moves axes of {sizes(given)} in the order {', '.join(map(str, order))}; some are not mapped"
    return Finding("uncertain", "transpose", why, "Keep channels last everywhere.")


def _transpose_conv(operator: Operator) -> Finding | None:
    weights = operator.inputs[1] if len(operator.inputs) > 1 else None
    if weights is None or len(weights.data) <= _TRANSPOSE_CONV_BYTES:
        return None
    why = f"its weights have {len(weights.data):,} bytes; one with 2 MiB was seen on the CPU"
    return Finding("uncertain", "transpose-conv-size", why, "Use fewer channels.")


def _tile(_operator: Operator) -> Finding | None:
    """Not in [ops], but in [pairs] deeplab_mobilenet_edgetpu_slim_cityscapes has no TILE left on the CPU."""
    why = "TILE is not in the list of operations, but one of Google's own models has it mapped"
    return Finding("uncertain", "not-listed", why, "Broadcast by ADD or MUL.")


def _lstm(_operator: Operator) -> Finding | None:
    """[ops]: unidirectional LSTM; mapped in [pairs] is UNIDIRECTIONAL_SEQUENCE_LSTM."""
    return Finding("uncertain", "lstm", "which form of LSTM is meant by the list is not said", "Use keras.layers.LSTM.")


#: [ops]: the supported operations, with the rules for each.
_RULES: Mapping[str, tuple[Rule, ...]] = {
    "ADD": (),
    "AVERAGE_POOL_2D": (_no_activation,),
    "CONCATENATION": (_no_activation, _zero_padding),
    "CONV_2D": (_same_dilation,),
    "DEPTHWISE_CONV_2D": (_same_dilation,),
    "EXPAND_DIMS": (),
    "FULLY_CONNECTED": (_one_vector, _dense_version),
    "L2_NORMALIZATION": (),
    "LOGISTIC": (),
    "LSTM": (_lstm,),
    "MAXIMUM": (),
    "MAX_POOL_2D": (_no_activation,),
    "MEAN": (_reduction, _mean_over_channels),
    "MINIMUM": (),
    "MUL": (),
    "PACK": (_pack,),
    "PAD": (_pad,),
    "PRELU": (_prelu,),
    "QUANTIZE": (),
    "REDUCE_MAX": (_reduction,),
    "REDUCE_MIN": (_reduction,),
    "RELU": (),
    "RELU6": (),
    "RELU_N1_TO_1": (),
    "RESHAPE": (_reshape,),
    "RESIZE_BILINEAR": (_resize,),
    "RESIZE_NEAREST_NEIGHBOR": (_resize,),
    "RSQRT": (),
    "SLICE": (),
    "SOFTMAX": (_softmax,),
    "SPACE_TO_DEPTH": (),
    "SPLIT": (_split,),
    "SQUARED_DIFFERENCE": (),
    "SQUEEZE": (),
    "STRIDED_SLICE": (_strides,),
    "SUB": (),
    "SUM": (_reduction,),
    "TANH": (),
    "TILE": (_tile,),
    "TRANSPOSE": (_transpose,),
    "TRANSPOSE_CONV": (_transpose_conv,),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (),
}
