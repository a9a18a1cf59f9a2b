"""Resampling, spectra, convolutions and branches in other words: what TensorFlow computes, for awkward sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfjs_graphs import frozen, numbers

from edgeship.types import Array
from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.lowering.rules import ONNX, TFJS, lowered

raw = tf.raw_ops


def _ops(graph: FrozenGraph) -> set[str]:
    """What the outputs need."""
    nodes = {node.name: node for node in graph.graph_def.node}
    waiting, seen = [spec.name for spec in graph.outputs], set()
    while waiting:
        name = waiting.pop().partition(":")[0]
        if name not in seen:
            seen.add(name)
            waiting += nodes[name].input
    return {nodes[name].op for name in seen}


def _same(function: Callable[[Any], Any], inputs: Array, gone: str, shape: Any = None, scale: float = 1.0) -> set[str]:
    """The lowered graph computes the same without the operators that are `gone`; its operators."""
    graph = frozen(function, x=tf.TensorSpec((None, *inputs.shape[1:]) if shape is None else shape, inputs.dtype))
    assert set(gone.split()) <= _ops(graph)
    found = lowered(graph, TFJS)
    assert not set(gone.split()) & _ops(found)
    for before, after in zip(graph.function()(tf.constant(inputs)), found.function()(tf.constant(inputs)), strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-5 * scale, atol=2e-6 * scale)
    return _ops(found)


SIZES = [((5, 7), (9, 3)), ((4, 6), (4, 11)), ((6, 1), (7, 1)), ((3, 3), (10, 3))]


@pytest.mark.parametrize(("given", "wanted"), SIZES)
@pytest.mark.parametrize("options", [{"half_pixel_centers": True}, {"align_corners": True}, {}])
def test_bicubic_and_nearest(given: tuple[int, int], wanted: tuple[int, int], options: Any) -> None:
    images = numbers(2, *given, 3)
    kept = _same(lambda x: raw.ResizeBicubic(images=x, size=wanted, **options), images, "ResizeBicubic")
    assert "BatchMatMulV2" in kept
    graph = frozen(
        lambda x: raw.ResizeNearestNeighbor(images=x, size=wanted, **options), x=tf.TensorSpec(images.shape, tf.float32)
    )
    found = lowered(graph, TFJS)
    np.testing.assert_array_equal(found.function()(tf.constant(images))[0], graph.function()(tf.constant(images))[0])


def test_nearest_by_a_whole_factor_stays() -> None:
    graph = frozen(lambda x: tf.image.resize(x, (8, 12), "nearest"), x=tf.TensorSpec((None, 4, 6, 3), tf.float32))
    assert "ResizeNearestNeighbor" in _ops(lowered(graph, ONNX))


@pytest.mark.parametrize(("given", "wanted"), SIZES)
@pytest.mark.parametrize("options", [{"align_corners": True}, {}])
def test_area(given: tuple[int, int], wanted: tuple[int, int], options: Any) -> None:
    kept = _same(lambda x: raw.ResizeArea(images=x, size=wanted, **options), numbers(2, *given, 3), "ResizeArea")
    assert "BatchMatMulV2" in kept


@pytest.mark.parametrize("method", ["lanczos3", "lanczos5", "gaussian", "mitchellcubic"])
@pytest.mark.parametrize("antialias", [False, True])
def test_resizing_by_scale_and_translation(method: str, antialias: bool) -> None:
    _same(lambda x: tf.image.resize(x, (4, 9), method, antialias=antialias), numbers(2, 9, 6, 2), "ScaleAndTranslate")


@pytest.mark.parametrize("length", [1, 2, 8, 30, 257, 263, 768, 1024])
def test_transform_of_real_signals(length: int) -> None:
    def parts(x: Any) -> dict[str, Any]:
        spectrum = tf.signal.rfft(x, [length])
        return {"real": tf.math.real(spectrum), "imaginary": tf.math.imag(spectrum), "size": tf.abs(spectrum)}

    kept = _same(parts, numbers(3, 2, 300), "RFFT Real Imag ComplexAbs", scale=length**0.5 + 1)
    assert not kept & {"Complex"}


def test_transform_of_signals_of_any_number() -> None:
    def framed(x: Any) -> Any:
        return tf.abs(tf.signal.stft(x, 400, 160, 512))

    _same(framed, numbers(2, 2000), "RFFT", shape=(None, None), scale=20)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(
    ("steps", "window"),
    [((1, 1, 1), (2, 3, 1)), ((2, 1, 3), (3, 3, 2)), ((3, 2, 2), (1, 1, 1)), ((2, 2, 2), (4, 2, 3))],
)
def test_transposed_convolution_of_volumes(padding: str, steps: Any, window: Any) -> None:
    volume, kernel = numbers(2, 3, 4, 2, 5), numbers(*window, 3, 5, seed=1)
    sizes = [
        n * s + (max(w - s, 0) if padding == "VALID" else 0)
        for n, s, w in zip(volume.shape[1:], steps, window, strict=False)
    ]

    def transposed(x: Any) -> Any:
        shape = tf.stack([tf.shape(x)[0], *sizes, 3])
        return tf.nn.conv3d_transpose(x, kernel, shape, [1, *steps, 1], padding)

    _same(transposed, volume, "Conv3DBackpropInputV2")


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize(("window", "rates"), [((2, 3), (2, 2)), ((3, 3), (1, 3)), ((4, 1), (3, 1))])
def test_dilated_transposed_convolution(padding: str, window: Any, rates: Any) -> None:
    images, kernel = numbers(2, 6, 7, 5), numbers(*window, 3, 5, seed=1)
    reach = [(w - 1) * r for w, r in zip(window, rates, strict=True)]
    sizes = [n + (r if padding == "VALID" else 0) for n, r in zip(images.shape[1:], reach, strict=False)]

    def transposed(x: Any) -> Any:
        shape = tf.stack([tf.shape(x)[0], *sizes, 3])
        return tf.nn.conv2d_transpose(x, kernel, shape, 1, padding, dilations=rates)

    _same(transposed, images, "Conv2DBackpropInput")


@pytest.mark.parametrize("window", [(2, 1, 2), (1, 1, 1), (3, 1, 1)])
@pytest.mark.parametrize("groups", [1, 3])
def test_convolution_of_volumes_with_long_steps(window: Any, groups: int) -> None:
    """TF.js reads from before the volume with SAME; see `test_tfjs_still_pads_less_than_nothing`."""
    volume, kernel = numbers(2, 4, 5, 3, 6), numbers(*window, 6 // groups, 9, seed=1)
    graph = frozen(
        lambda x: raw.Conv3D(input=x, filter=kernel, strides=[1, 3, 3, 2, 1], padding="SAME"),
        x=tf.TensorSpec((None, *volume.shape[1:]), tf.float32),
    )
    found = lowered(graph, TFJS)
    convolutions = [node for node in found.graph_def.node if node.op == "Conv3D"]
    assert {node.attr["padding"].s for node in convolutions} == {b"VALID"}
    assert len(convolutions) == groups
    parts = zip(np.split(volume, groups, -1), np.split(kernel, groups, -1), strict=True)
    expected = np.concatenate([tf.nn.conv3d(*part, [1, 3, 3, 2, 1], "SAME") for part in parts], -1)
    np.testing.assert_allclose(found.function()(tf.constant(volume))[0], expected, rtol=1e-5, atol=2e-6)


def test_averages_of_volumes_with_long_steps() -> None:
    volume = numbers(2, 4, 5, 3, 6)
    for steps, gone in (((2, 3, 2), "AvgPool3D"), ((1, 1, 2), "")):
        _same(lambda x, steps=steps: tf.nn.avg_pool3d(x, (1, 1, 2), steps, "SAME"), volume, gone)


@pytest.mark.parametrize("bounds", [(0, 0), (-1, 0), (1, 2), (2, -1)])
def test_bands(bounds: tuple[int, int]) -> None:
    x = numbers(2, 4, 5)
    _same(lambda x: tf.linalg.band_part(x, *bounds), x, "MatrixBandPart")
    _same(lambda x: tf.cast(tf.linalg.band_part(x > 0, *bounds), tf.int32), x, "MatrixBandPart")


def _cropped(x: Any) -> Any:
    """Keeps the middle as Keras' Resizing does, with a branch on a size."""
    height, width = tf.shape(x)[1], tf.shape(x)[-2]
    begin = tf.cast(tf.cast(height - width, tf.float32) / 2, tf.int32)
    return tf.cond(begin > 0, lambda: x[:, begin : begin + width] * 2.0, lambda: x + 1.0)


def test_branches_on_known_sizes() -> None:
    for shape in ((2, 8, 5, 3), (2, 5, 8, 3)):
        assert "Shape" not in _same(_cropped, numbers(*shape), "StatelessIf")


def test_branches_on_data_stay() -> None:
    def chosen(x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: -x)

    graph = frozen(chosen, x=tf.TensorSpec((None, 3), tf.float32))
    assert "StatelessIf" in _ops(lowered(graph, TFJS))


def test_slices_of_shapes() -> None:
    def sizes(x: Any) -> dict[str, Any]:
        shape = tf.shape(x)
        pairs = {"last": shape[-1], "inner": shape[1:3], "from": shape[2:], "upto": shape[-3:-1], "every": shape[1::2]}
        return {name: tf.reshape(value, [1, -1]) for name, value in pairs.items()}

    assert "StridedSlice" not in _same(sizes, numbers(2, 4, 5, 6), "StridedSlice")
    dynamic = frozen(lambda x: tf.reshape(tf.shape(x)[:2], [1, -1]), x=tf.TensorSpec((None, 4), tf.float32))
    assert "StridedSlice" in _ops(lowered(dynamic, TFJS))


def test_several_outputs_of_a_branch() -> None:
    def two(x: Any) -> dict[str, Any]:
        wide = tf.shape(x)[2] > 4
        left, right = tf.cond(wide, lambda: (x, x * 2), lambda: (-x, x + 1))
        return {"left": left, "right": right}

    _same(two, numbers(2, 3, 5), "StatelessIf")
