"""Resize and Upsample: TensorFlow's own resizing where it samples at the same places, else written out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import Known, Tensor, channels_last, numbers, plain

_ROUNDED: Mapping[str, Callable[[Known], Known]] = {
    "ceil": np.ceil,
    "floor": np.floor,
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
}


def _resize(call: Call) -> Result:
    value = call[0]
    sizes = list(value.sizes) if isinstance(value, Tensor) else list(value.shape)
    targets, scales = _targets(call, sizes)
    changed = [axis for axis, (size, target) in enumerate(zip(sizes, targets, strict=True)) if size != target]
    if not changed:
        return value
    mode = call.node.get("mode", "nearest")
    if call.node.get("antialias", 0) or call.node.get("exclude_outside", 0):
        raise ValueError("it smooths, or leaves out what is outside")
    planes = len(sizes) == 4 and set(changed) <= {2, 3}
    places = [_places(call, sizes[axis], targets[axis], scales[axis]) for axis in changed]
    if planes and mode != "cubic":
        pairs = [_places(call, sizes[axis], targets[axis], scales[axis]) for axis in (2, 3)]
        found = _by_tensorflow(call, channels_last(value), targets[2:], pairs)
        if found is not None:
            return Tensor(found, last=True)
    x = plain(value)
    for axis, positions in zip(changed, places, strict=True):
        x = _along(call, x, axis, positions)
    return x


def _targets(call: Call, sizes: list[int | None]) -> tuple[list[Any], list[float]]:
    """Sizes of the result by axis, and by how much each grows."""
    upsample = call.node.op == "Upsample"
    if upsample and call.node.opset < 9:
        scales, wanted = call.node.get("scales", []), None
    elif upsample or call.node.opset < 11:
        scales, wanted = call.known(1, "scales"), None
    else:
        scales = call.known(2, "scales")
        wanted = call.optional(3)
    axes = [int(axis) for axis in call.node.get("axes", None) or range(len(sizes))]
    policy = call.node.get("keep_aspect_ratio_policy", "stretch")
    if policy != "stretch":
        raise ValueError(f"it keeps proportions ({policy})")
    targets: list[Any] = list(sizes)
    growth = [1.0] * len(sizes)
    if scales is not None and len(scales):
        given: list[tuple[int, float, int | None]]
        given = [(axis, float(scale), None) for axis, scale in zip(axes, scales, strict=True)]
    else:
        assert wanted is not None
        given = [(axis, 0.0, n) for axis, n in zip(axes, _numbers_but_batch(wanted), strict=True)]
    for axis, scale, target in given:
        size = sizes[axis]
        if (target is None and scale == 1) or (size is None and axis == 0):
            continue
        if size is None:
            raise ValueError("a size that it changes is unknown")
        targets[axis] = math.floor(size * scale) if target is None else target
        growth[axis] = scale if target is None else target / size
    return targets, growth


def _numbers_but_batch(value: Any) -> list[int]:
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [item if isinstance(item, int) else -1 for item in value]
    return numbers(value, "sizes")


def _places(call: Call, size: int | None, target: Any, scale: float) -> Known:
    """Where each value of the result lies in the input (ONNX, Resize: coordinate_transformation_mode)."""
    if size is None:
        return np.arange(0)
    old = call.node.op == "Upsample" or call.node.opset < 11
    mode = "asymmetric" if old else call.node.get("coordinate_transformation_mode", "half_pixel")
    out = np.arange(target, dtype=np.float64)
    found: Known
    if mode == "asymmetric":
        return out / scale
    if mode == "align_corners":
        found = out * (size - 1) / (target - 1) if target > 1 else np.zeros(1)
        return found
    if mode in ("half_pixel", "pytorch_half_pixel"):
        found = (out + 0.5) / scale - 0.5
        return np.zeros(1) if mode == "pytorch_half_pixel" and target == 1 else found
    if mode == "half_pixel_symmetric":
        adjustment = target / (scale * size)
        found = size / 2 * (1 - adjustment) + (out + 0.5) / scale - 0.5
        return found
    raise ValueError(f"it places samples by {mode}")


def _nearest(call: Call, places: Known, size: int) -> Known:
    rounding = "floor" if call.node.op == "Upsample" or call.node.opset < 11 else "round_prefer_floor"
    return np.clip(_ROUNDED[call.node.get("nearest_mode", rounding)](places), 0, size - 1).astype(np.int32)


def _by_tensorflow(call: Call, x: Any, targets: list[int], places: list[Known]) -> Any:
    """The image resized by one operator, where one of its three ways samples at these places; else None."""
    import tensorflow as tf

    sizes = x.shape.as_list()[1:3]
    if None in sizes:
        return None
    nearest = call.node.get("mode", "nearest") == "nearest"
    raw = tf.raw_ops.ResizeNearestNeighbor if nearest else tf.raw_ops.ResizeBilinear
    for corners, centers in ((False, True), (False, False), (True, False)):
        same = True
        for size, target, place in zip(sizes, targets, places, strict=True):
            ours = _tensorflow_places(size, target, nearest, corners, centers)
            theirs = _nearest(call, place, size) if nearest else np.clip(place, 0, size - 1)
            same &= bool(np.allclose(ours, theirs, rtol=0, atol=1e-6))
        if same:
            return raw(images=x, size=targets, align_corners=corners, half_pixel_centers=centers)
    return None


def _tensorflow_places(size: int, target: int, nearest: bool, corners: bool, centers: bool) -> Known:
    scale = (size - 1) / (target - 1) if corners and target > 1 else size / target
    out = np.arange(target, dtype=np.float64)
    places = (out + 0.5) * scale - (0 if nearest else 0.5) if centers else out * scale
    if nearest:
        places = np.floor(places + 0.5) if corners else np.floor(places)
    return np.clip(places, 0, size - 1)


def _along(call: Call, x: Any, axis: int, places: Known) -> Any:
    """One axis resized: values taken where they are nearest, or sums of neighbours as a product with a matrix."""
    import tensorflow as tf

    size, mode = int(x.shape[axis]), call.node.get("mode", "nearest")
    if mode == "nearest":
        return tf.gather(x, _nearest(call, places, size), axis=axis)
    taps = _linear if mode == "linear" else _cubic(call.node.get("cubic_coeff_a", -0.75))
    matrix = np.zeros((size, len(places)))
    for column, place in enumerate(places):
        start = math.floor(place)
        for offset, share in taps(place - start):
            matrix[min(max(start + offset, 0), size - 1), column] += share
    order = [i for i in range(len(x.shape)) if i != axis] + [axis]
    product = tf.tensordot(tf.transpose(x, order), tf.constant(matrix, x.dtype), 1)
    return tf.transpose(product, list(np.argsort(order)))


def _linear(part: float) -> list[tuple[int, float]]:
    return [(0, 1 - part), (1, part)]


def _cubic(a: float) -> Callable[[float], list[tuple[int, float]]]:
    """Keys' cubic convolution (ONNX, Resize: cubic_coeff_a)."""

    def near(t: float) -> float:
        return ((a + 2) * t - (a + 3)) * t * t + 1

    def far(t: float) -> float:
        return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a

    return lambda part: [(-1, far(1 + part)), (0, near(part)), (1, near(1 - part)), (2, far(2 - part))]


RULES: Mapping[str, Rule] = {"Resize": _resize, "Upsample": _resize}
