"""Shapes of the tensors of a TF.js graph model, which its file does not hold: by the rules of the common ops.

What is not listed here has an unknown shape, never a guessed one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeship.inspection.description import Shape

#: Numbers of a small integer tensor, flat; None for a number that only a run shows (the batch).
Numbers = list[int | None]
#: Reads the numbers of a name; None where they are not known at all.
Integers = Callable[[str], Numbers | None]


def infer(
    op: str, inputs: Sequence[str], given: Sequence[Shape | None], attrs: Mapping[str, Any], integers: Integers
) -> Shape | None:
    """The shape of the first output of an op; None where it is not known.

    Args:
        op: its name in TensorFlow or TF.js.
        inputs: names of its inputs.
        given: their shapes.
        attrs: its attributes as plain values.
        integers: see `Integers`.
    """
    rule = next((rule for rule, names in _RULES.items() if op in names), None)
    if rule is None or not given or given[0] is None:
        return None
    constants = [integers(name) for name in inputs]
    if rule is not _reshape:  # the one that can use numbers of which some are unknown
        constants = [None if found is None or None in found else found for found in constants]
    return rule(_Call(given, attrs, constants))


def numbers(op: str, inputs: Sequence[str], shape: Shape | None, integers: Integers) -> Numbers | None:
    """The numbers that the ops give which compute a shape: Shape, one element of it, Pack.

    Args:
        op: its name.
        inputs: names of its inputs.
        shape: of the first input.
        integers: see `Integers`.
    """
    if op == "Shape":
        return None if shape is None else list(shape)
    given = [integers(name) for name in inputs]
    if op == "StridedSlice" and len(given) == 4 and given[0] is not None and given[1] and given[2]:
        start, end = given[1][0], given[2][0]
        if start is not None and end == start + 1 and 0 <= start < len(given[0]):
            return given[0][start : start + 1]
    if op in ("Pack", "ConcatV2") and None not in given:
        parts = given if op == "Pack" else given[:-1]
        return [number for part in parts for number in part or ()]
    return None


@dataclass(frozen=True)
class _Call:
    """An op with what is known of its inputs: their shapes (the first one's is known) and numbers."""

    given: Sequence[Any]
    attrs: Mapping[str, Any]
    constants: Sequence[Any]


def _same(call: _Call) -> Shape | None:
    found: Shape | None = call.given[0]
    return found


def _broadcast(call: _Call) -> Shape | None:
    found: tuple[int | None, ...] = ()
    for shape in call.given:
        if shape is None:
            return None
        rank = max(len(found), len(shape))
        one, two = ((1,) * (rank - len(s)) + tuple(s) for s in (found, shape))
        found = tuple(b if a == 1 else a for a, b in zip(one, two, strict=True))
    return found


def _window(size: int | None, kernel: int, stride: int, dilation: int, padding: str) -> int | None:
    if size is None:
        return None
    span = (kernel - 1) * dilation + 1
    return -(-size // stride) if padding == "SAME" else max(0, -(-(size - span + 1) // stride))


def _slide(call: _Call, kernel: Sequence[int], channels: int | None) -> Shape | None:
    image, padding = call.given[0], str(call.attrs.get("padding"))
    around = call.attrs.get("explicit_paddings") or [0] * 8
    if len(image) != 4 or call.attrs.get("data_format", "NHWC") != "NHWC" or len(around) != 8:
        return None
    if padding == "EXPLICIT":
        image = tuple(n if n is None else n + around[2 * i] + around[2 * i + 1] for i, n in enumerate(image))
    strides, dilations = call.attrs.get("strides", [1] * 4), call.attrs.get("dilations") or [1] * 4
    places = [_window(image[axis], kernel[axis - 1], strides[axis], dilations[axis], padding) for axis in (1, 2)]
    return (image[0], *places, channels)


def _convolution(call: _Call) -> Shape | None:
    kernel = call.given[1] if len(call.given) > 1 else None
    return None if kernel is None or len(kernel) != 4 else _slide(call, kernel[:2], kernel[3])


def _depthwise(call: _Call) -> Shape | None:
    kernel = call.given[1] if len(call.given) > 1 else None
    if kernel is None or len(kernel) != 4:
        return None
    return _slide(call, kernel[:2], kernel[2] * kernel[3])


def _pool(call: _Call) -> Shape | None:
    window = call.attrs.get("ksize")
    return _slide(call, window[1:3], call.given[0][-1]) if window and len(window) == 4 else None


def _transposed(call: _Call) -> Shape | None:
    sizes = call.constants[0]
    return None if sizes is None else tuple(None if size < 0 else size for size in sizes)


def _product(call: _Call) -> Shape | None:
    one, two = call.given[0], call.given[1]
    if two is None or len(one) < 2 or len(two) < 2:
        return None
    turn_one = call.attrs.get("transpose_a") or call.attrs.get("adj_x")
    turn_two = call.attrs.get("transpose_b") or call.attrs.get("adj_y")
    batch = _broadcast(_Call([one[:-2], two[:-2]], {}, []))
    return (*(batch or ()), one[-1 if turn_one else -2], two[-2 if turn_two else -1])


def _reshape(call: _Call) -> Shape | None:
    wanted = call.constants[1] if len(call.constants) > 1 else None
    if wanted is None:
        return None
    known = [size for size in call.given[0] if size is not None]
    fixed = math.prod(size for size in wanted if size is not None and size >= 0)
    # -1 takes what is left, which is known where the axes that are not are the same on both sides (the batch).
    rest = math.prod(known) // fixed if len(call.given[0]) - len(known) == wanted.count(None) and fixed else None
    return tuple(rest if size is not None and size < 0 else size for size in wanted)


def _reduce(call: _Call) -> Shape | None:
    axes = call.constants[1] if len(call.constants) > 1 else None
    if axes is None:
        return None
    rank = len(call.given[0])
    gone = {axis % rank for axis in axes} if rank else set()
    keep = call.attrs.get("keep_dims", False)
    return tuple(1 if axis in gone else size for axis, size in enumerate(call.given[0]) if keep or axis not in gone)


def _concatenate(call: _Call) -> Shape | None:
    axis, parts = call.constants[-1], call.given[:-1]
    if not axis or any(shape is None or len(shape) != len(parts[0]) for shape in parts) or not parts[0]:
        return None
    at = axis[0] % len(parts[0])
    sizes = [shape[at] for shape in parts]
    return (*parts[0][:at], None if None in sizes else sum(sizes), *parts[0][at + 1 :])


def _pad(call: _Call) -> Shape | None:
    widths = call.constants[1] if len(call.constants) > 1 else None
    if widths is None or len(widths) != 2 * len(call.given[0]):
        return None
    pairs = zip(widths[::2], widths[1::2], strict=True)
    return tuple(None if size is None else size + a + b for size, (a, b) in zip(call.given[0], pairs, strict=True))


def _transpose(call: _Call) -> Shape | None:
    order = call.constants[1] if len(call.constants) > 1 else None
    return (
        None
        if order is None or sorted(order) != list(range(len(call.given[0])))
        else tuple(call.given[0][i] for i in order)
    )


def _squeeze(call: _Call) -> Shape | None:
    rank, axes = len(call.given[0]), call.attrs.get("squeeze_dims") or []
    gone = {axis % rank for axis in axes} if rank and axes else {i for i, size in enumerate(call.given[0]) if size == 1}
    return tuple(size for axis, size in enumerate(call.given[0]) if axis not in gone)


def _expand(call: _Call) -> Shape | None:
    axis = call.constants[1] if len(call.constants) > 1 else None
    if not axis:
        return None
    at = axis[0] % (len(call.given[0]) + 1)
    return (*call.given[0][:at], 1, *call.given[0][at:])


def _resize(call: _Call) -> Shape | None:
    sizes = call.constants[1] if len(call.constants) > 1 else None
    return None if sizes is None or len(call.given[0]) != 4 else (call.given[0][0], *sizes, call.given[0][3])


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


_RULES: Mapping[Callable[[_Call], Shape | None], frozenset[str]] = {
    _same: _words(
        "Identity Relu Relu6 Sigmoid Tanh Elu Selu LeakyRelu Prelu Softmax LogSoftmax Softplus Sqrt Rsqrt Square Exp "
        "Log Neg Abs Erf BiasAdd Cast ClipByValue Floor Round FusedBatchNormV3 FusedBatchNorm LRN Sign Sin Cos"
    ),
    _broadcast: _words("Add AddV2 Sub Mul RealDiv Maximum Minimum Pow SquaredDifference DivNoNan AddN"),
    _convolution: _words("Conv2D _FusedConv2D"),
    _depthwise: _words("DepthwiseConv2dNative FusedDepthwiseConv2dNative"),
    _pool: _words("MaxPool AvgPool"),
    _transposed: _words("Conv2DBackpropInput"),
    _product: _words("MatMul _FusedMatMul BatchMatMul BatchMatMulV2"),
    _reshape: _words("Reshape"),
    _reduce: _words("Mean Max Min Sum Prod"),
    _concatenate: _words("ConcatV2"),
    _pad: _words("Pad PadV2 MirrorPad"),
    _transpose: _words("Transpose"),
    _squeeze: _words("Squeeze"),
    _expand: _words("ExpandDims"),
    _resize: _words("ResizeBilinear ResizeNearestNeighbor"),
}
