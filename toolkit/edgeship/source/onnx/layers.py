"""Convolutions and pooling: computed with channels last, as TensorFlow's kernels want them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import Known, Tensor, channels_last, plain


@dataclass(frozen=True)
class Window:
    """A window that moves over the spatial axes.

    Attributes:
        pads: before and after, for each axis; `same` where TensorFlow's SAME is exactly that.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[tuple[int, int], ...]
    same: bool


def _window(call: Call, sizes: Sequence[int | None], kernel: Sequence[int]) -> Window:
    """The window of a convolution or pooling over axes of the given sizes."""
    count = len(kernel)
    strides, dilations = (tuple(int(n) for n in call.node.get(key, [1] * count)) for key in ("strides", "dilations"))
    said = [int(n) for n in call.node.get("pads", [0] * 2 * count)]
    pads = [(said[i], said[i + count]) for i in range(count)]
    auto = call.node.get("auto_pad", "NOTSET")
    # The padding of SAME depends on the size, unless the stride is 1.
    wanted = [_same(n, k, s, d) for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)]
    if auto == "SAME_UPPER":
        return Window(tuple(kernel), strides, dilations, ((0, 0),) * count, True)
    if auto == "SAME_LOWER":
        if None in wanted:
            raise ValueError("its padding depends on a size that is unknown")
        pads = [(pair[1], pair[0]) for pair in wanted if pair is not None]
    elif auto == "VALID":
        pads = [(0, 0)] * count
    return Window(tuple(kernel), strides, dilations, tuple(pads), any(map(any, pads)) and wanted == pads)


def _same(size: int | None, kernel: int, stride: int, dilation: int) -> tuple[int, int] | None:
    extent = (kernel - 1) * dilation + 1
    if size is None and stride > 1:
        return None
    total = max(0, (-(-size // stride) - 1) * stride + extent - size) if size is not None else extent - 1
    return total // 2, total - total // 2


def _convolution(call: Call) -> Result:
    import tensorflow as tf

    weights = call.known(1, "kernel")
    assert weights is not None
    rank = weights.ndim
    x = channels_last(call[0])
    window = _window(call, x.shape.as_list()[1:-1], weights.shape[2:])
    groups = int(call.node.get("group", 1))
    kernel = np.transpose(weights, [*range(2, rank), 1, 0])  # (spatial, in, out)
    if rank == 3:  # one axis is a plane of height 1
        x, kernel = tf.expand_dims(x, 1), kernel[None]
        window = Window(
            (1, *window.kernel), (1, *window.strides), (1, *window.dilations), ((0, 0), *window.pads), window.same
        )
    if not window.same and any(map(any, window.pads)):
        x = tf.pad(x, [(0, 0), *window.pads, (0, 0)])
    result = _convolved(x, kernel, window, groups)
    bias = call.optional(2)
    if bias is not None:
        result = tf.nn.bias_add(result, plain(bias))
    return Tensor(tf.squeeze(result, 1) if rank == 3 else result, last=True)


def _convolved(x: Any, kernel: Known, window: Window, groups: int) -> Any:
    import tensorflow as tf

    padding = "SAME" if window.same else "VALID"
    channels, depth = x.shape[-1], kernel.shape[-1]
    if groups == 1:
        return tf.nn.convolution(x, kernel, list(window.strides), padding, None, list(window.dilations))
    if groups == channels and kernel.ndim == 4:
        # (h, w, 1, groups * multiplier) -> (h, w, groups, multiplier)
        return _depthwise(x, kernel.reshape((*kernel.shape[:2], channels, depth // channels)), window, padding)
    parts = zip(tf.split(x, groups, -1), np.split(kernel, groups, -1), strict=True)
    return tf.concat([_convolved(part, weights, window, 1) for part, weights in parts], -1)


def _depthwise(x: Any, kernel: Known, window: Window, padding: str) -> Any:
    import tensorflow as tf

    if len(set(window.strides)) == 1 and (max(window.strides) == 1 or max(window.dilations) == 1):
        strides = [1, *window.strides, 1]
        return tf.nn.depthwise_conv2d(x, kernel, strides, padding, None, list(window.dilations))
    if window.kernel[0] == window.strides[0] == window.dilations[0] == 1 or padding == "VALID":
        # TensorFlow knows one stride for both axes: all positions are computed, the ones that count are kept.
        if padding == "SAME":
            pad = _same(x.shape[2], window.kernel[1], window.strides[1], window.dilations[1])
            if pad is None:
                raise ValueError("its padding depends on a size that is unknown")
            x = tf.pad(x, [(0, 0), (0, 0), pad, (0, 0)])
        full = tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "VALID", None, list(window.dilations))
        return full[:, :: window.strides[0], :: window.strides[1]]
    raise ValueError("it has two strides and a padding that depends on them")


def _transposed(call: Call) -> Result:
    import tensorflow as tf

    weights = call.known(1, "kernel")
    assert weights is not None
    rank, groups = weights.ndim, int(call.node.get("group", 1))
    x = channels_last(call[0])
    if rank not in (3, 4):
        raise ValueError("transposed convolutions are read over one or two axes")
    count = rank - 2
    strides, dilations, extra = (
        [int(n) for n in call.node.get(key, [default] * count)]
        for key, default in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    kernel = _dilated(weights, dilations)
    pads = _transposed_pads(call, x.shape.as_list()[1:-1], (kernel.shape[2:], strides, extra))
    kernel = np.transpose(kernel, [*range(2, rank), 1, 0])  # (spatial, out, in)
    if rank == 3:
        x, kernel = tf.expand_dims(x, 1), kernel[None]
        strides, extra, pads = [1, *strides], [0, *extra], [(0, 0), *pads]
    parts = zip(tf.split(x, groups, -1), np.split(kernel, groups, -1), strict=True)
    results = [_spread(part, weight, strides, extra, pads) for part, weight in parts]
    result = results[0] if groups == 1 else tf.concat(results, -1)
    bias = call.optional(2)
    if bias is not None:
        result = tf.nn.bias_add(result, plain(bias))
    return Tensor(tf.squeeze(result, 1) if rank == 3 else result, last=True)


def _dilated(weights: Known, dilations: Sequence[int]) -> Known:
    """A kernel with zeros between its taps."""
    if max(dilations) == 1:
        return weights
    shape = [(n - 1) * d + 1 for n, d in zip(weights.shape[2:], dilations, strict=True)]
    wide = np.zeros((*weights.shape[:2], *shape), weights.dtype)
    wide[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weights
    return wide


def _transposed_pads(
    call: Call, sizes: Sequence[int | None], window: tuple[Sequence[int], Sequence[int], list[int]]
) -> list[tuple[int, int]]:
    """What is cut off before and after."""
    kernel, strides, extra = window
    count = len(kernel)
    wanted, auto = call.node.get("output_shape", None), call.node.get("auto_pad", "NOTSET")
    if wanted is None and auto not in ("SAME_UPPER", "SAME_LOWER"):
        said = [int(n) for n in call.node.get("pads", [0] * 2 * count)] if auto == "NOTSET" else [0] * 2 * count
        return [(said[i], said[i + count]) for i in range(count)]
    pads = []
    for axis, (size, k, s) in enumerate(zip(sizes, kernel, strides, strict=True)):
        if wanted is None:
            total = k + extra[axis] - s
        elif size is None:
            raise ValueError("its padding depends on a size that is unknown")
        else:
            total = s * (size - 1) + extra[axis] + k - int(wanted[axis - count])
        if total < 0:  # what is missing is added at the end
            extra[axis] -= total
            total = 0
        half = total // 2
        pads.append((half, total - half) if auto == "SAME_UPPER" else (total - half, half))
    return pads


def _spread(
    x: Any, kernel: Known, strides: Sequence[int], extra: Sequence[int], pads: Sequence[tuple[int, int]]
) -> Any:
    """conv2d_transpose, with SAME where that is it, else with what is too much cut off."""
    import tensorflow as tf

    shape = tf.shape(x)
    sizes = x.shape.as_list()[1:-1]
    full = [None if n is None else (n - 1) * s + k for n, s, k in zip(sizes, strides, kernel.shape, strict=False)]
    ends = [None if f is None else f + e - sum(p) for f, e, p in zip(full, extra, pads, strict=True)]
    same = all(
        n is not None and end == n * s and p[0] == max(k - s, 0) // 2 and k >= s
        for n, end, s, p, k in zip(sizes, ends, strides, pads, kernel.shape, strict=False)
    )
    if None in full:
        raise ValueError("a size of its input is unknown")
    target = [*(ends if same else full), kernel.shape[2]]
    found = tf.nn.conv2d_transpose(
        x,
        kernel,
        tf.stack([shape[0], *target]) if x.shape[0] is None else [x.shape[0], *target],
        list(strides),
        "SAME" if same else "VALID",
    )
    found.set_shape([x.shape[0], *target])
    if same:
        return found
    if any(extra):
        found = tf.pad(found, [(0, 0), *((0, e) for e in extra), (0, 0)])
    cuts = [slice(p[0], -p[1] or None) for p in pads]
    return found[(slice(None), *cuts)] if any(map(any, pads)) else found


def _pool(call: Call) -> Result:
    import tensorflow as tf

    if len([name for name in call.node.outputs if name]) > 1:
        raise ValueError("the places of the maxima are asked for")
    x = channels_last(call[0])
    sizes = x.shape.as_list()[1:-1]
    kernel = [int(n) for n in call.node.get("kernel_shape", [])]
    window = _window(call, sizes, kernel)
    beyond = _beyond(call, sizes, window)
    largest = call.node.op == "MaxPool"
    pads = [(a, b + c) for (a, b), c in zip(window.pads, beyond, strict=True)]
    if window.same or not any(map(any, pads)):
        inside = bool(call.node.get("count_include_pad", 0)) and not largest and window.same
        if not inside:
            return Tensor(_pooled(x, window, "SAME" if window.same else "VALID", largest), last=True)
        pads = [
            _same(n, k, s, d) or (0, 0)
            for n, k, s, d in zip(sizes, kernel, window.strides, window.dilations, strict=True)
        ]
    fill = x.dtype.min if largest else 0
    padded = tf.pad(x, [(0, 0), *pads, (0, 0)], constant_values=tf.cast(fill, x.dtype))
    result = _pooled(padded, window, "VALID", largest)
    if largest:
        return Tensor(result, last=True)
    return Tensor(result * tf.cast(_share(call, sizes, window, pads), result.dtype), last=True)


def _pooled(x: Any, window: Window, padding: str, largest: bool) -> Any:
    import tensorflow as tf

    kind = "MAX" if largest else "AVG"
    if len(window.kernel) == 1:  # a plane of height 1, which every format has
        wide = Window((1, *window.kernel), (1, *window.strides), (1, *window.dilations), (), window.same)
        return tf.squeeze(_pooled(tf.expand_dims(x, 1), wide, padding, largest), 1)
    if max(window.dilations) == 1 and len(window.kernel) == 2:
        pool = tf.nn.max_pool2d if largest else tf.nn.avg_pool2d
        return pool(x, window.kernel, window.strides, padding)
    return tf.nn.pool(x, window.kernel, kind, window.strides, padding, dilations=window.dilations)


def _beyond(call: Call, sizes: Sequence[int | None], window: Window) -> list[int]:
    """With `ceil_mode`: how far the last window reaches beyond the padding."""
    if not call.node.get("ceil_mode", 0):
        return [0] * len(sizes)
    found = []
    for n, k, s, d, (before, after) in zip(
        sizes, window.kernel, window.strides, window.dilations, window.pads, strict=True
    ):
        if n is None:
            raise ValueError("it rounds up a size that is unknown")
        extent = (k - 1) * d + 1
        steps = -(-(n + before + after - extent) // s)
        if steps * s >= n + before:  # a window must begin inside
            steps -= 1
        found.append(max(0, steps * s + extent - (n + before + after)))
    return found


def _share(call: Call, sizes: Sequence[int | None], window: Window, pads: Sequence[tuple[int, int]]) -> Known:
    """What an average over the padded input is multiplied by, so that only the places that count do."""
    found = np.ones((1,) * (len(sizes) + 1) + (1,))
    for axis, (n, k, s, d) in enumerate(zip(sizes, window.kernel, window.strides, window.dilations, strict=True)):
        if n is None:
            raise ValueError("its averages depend on a size that is unknown")
        before, after = pads[axis]
        counted = np.zeros(before + n + after)
        counted[before : before + n] = 1
        if call.node.get("count_include_pad", 0):
            counted[: before + n + (window.pads[axis][1] if not window.same else after)] = 1
        extent = (k - 1) * d + 1
        starts = range(0, len(counted) - extent + 1, s)
        shares = np.array([k / counted[i : i + extent : d].sum() for i in starts])
        found = found * shares.reshape([-1 if i == axis + 1 else 1 for i in range(len(sizes) + 2)])
    return found


def _global(largest: bool) -> Rule:
    def rule(call: Call) -> Result:
        import tensorflow as tf

        x = channels_last(call[0])
        reduce = tf.reduce_max if largest else tf.reduce_mean
        return Tensor(reduce(x, list(range(1, len(x.shape) - 1)), keepdims=True), last=True)

    return rule


RULES: Mapping[str, Rule] = {
    "AveragePool": _pool,
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "GlobalAveragePool": _global(False),
    "GlobalMaxPool": _global(True),
    "MaxPool": _pool,
}
