"""Scales and biases in few digits: what is rounded, what stays, and that the file computes what it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import brotli
import frozen_models as zoo
import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from edgeship.types import Array, ConvertOptions
from edgeship_converters import flatfile
from edgeship_converters.tflite import TFLiteConverter, scales
from edgeship_converters.tflite.biases import BIAS
from edgeship_converters.tflite.slim import slim

BITS = {"int8": 8, "int16x8": 16}


def network() -> Any:
    """Every layer whose bias is in integers, and some whose operands need equal scales."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.MaxPooling2D(1)(image)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = layers.Concatenate()([x, layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Conv2DTranspose(5, 2, strides=2)(x)
    return keras.Model(image, layers.Dense(4, activation="softmax", name="scores")(layers.Flatten()(x)))


@pytest.fixture(scope="module", params=["int8", "int16x8", "dynamic"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes, bytes]:
    """The variant, the file with the scales that the converter gives, and that with short ones."""
    folder = tmp_path_factory.mktemp(request.param)
    keras.utils.set_random_seed(0)
    model = network()
    for layer in model.layers:
        layer.set_weights([w if w.ndim > 1 else np.linspace(-0.3, 0.4, w.size) for w in layer.get_weights()])
    source = zoo.save(model, folder)
    options = ConvertOptions(calibration=zoo.calibration(source, folder / "data"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scales, "shortened", lambda content: content)
        _, before = TFLiteConverter().convert_with_names(source, request.param, options, folder)
    return request.param, before, scales.shortened(before)


def digits(scale: Array) -> int:
    """Binary digits of the longest of some float32 numbers."""
    mantissa = np.asarray(scale, np.float32).view(np.uint32) & 0x7FFFFF | 0x800000
    return 24 - min(int(m & -m).bit_length() - 1 for m in mantissa.astype(np.int64))


def scaled(content: bytes) -> dict[str, Array]:
    return {
        flatfile.text(tensor.name): np.asarray(tensor.quantization.scale)
        for graph in flatfile.read(content).subgraphs
        for tensor in graph.tensors
        if tensor.quantization is not None and tensor.quantization.scale is not None
    }


def with_biases(content: bytes) -> list[tuple[Any, Any, Any, Any, Array]]:
    """(output, input, weights, bias, numbers of the bias) of each operator with an integer bias."""
    model = flatfile.read(content)
    graph, names, found = model.subgraphs[0], flatfile.kinds(model), []
    for operator in graph.operators:
        kind = names[operator.opcodeIndex]
        if kind in BIAS:
            places = (2 if kind == "TRANSPOSE_CONV" else 0, 1, BIAS[kind])
            given, weights, bias = (graph.tensors[operator.inputs[place]] for place in places)
            numbers = np.frombuffer(bytes(model.buffers[bias.buffer].data), {2: "<i4", 4: "<i8"}[bias.type])
            found.append((graph.tensors[operator.outputs[0]], given, weights, bias, numbers))
    return found


def outputs(content: bytes, x: Array) -> Array:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for row in x:
        scale, zero = given["quantization"]
        real = given["dtype"] == np.float32
        interpreter.set_tensor(
            given["index"], (row[None] if real else np.rint(row[None] / scale + zero)).astype(given["dtype"])
        )
        interpreter.invoke()
        value = interpreter.get_tensor(made["index"])[0]
        rows.append(value if real else (value.astype(np.float64) - made["quantization"][1]) * made["quantization"][0])
    return np.asarray(rows)


def test_scales_get_short_where_nobody_sees_them(pair: tuple[str, bytes, bytes]) -> None:
    variant, before, after = pair
    old, new = scaled(before), scaled(after)
    biases = {flatfile.text(bias.name) for *_, bias, _ in with_biases(after)} if variant in BITS else set()
    graph = flatfile.read(after).subgraphs[0]
    ends = {flatfile.text(graph.tensors[i].name) for i in (*graph.inputs, *graph.outputs)}
    seen = {float(value) for name in ends & set(old) for value in old[name]}
    assert old.keys() == new.keys()
    short = 0
    for name in old.keys() - biases:
        if seen & set(old[name].tolist()):  # an input or output, or what has to have the scale of one
            assert np.array_equal(new[name], old[name]), name
        else:
            assert digits(new[name]) <= 8, name
            np.testing.assert_allclose(new[name], old[name], rtol=2**-8)
            short += old[name].size
    assert short >= (18 if variant in BITS else 4)  # channels of four layers; dynamic leaves small weights float
    sizes = [len(brotli.compress(slim(content), quality=11)) for content in (before, after)]
    assert sizes[1] < sizes[0] - short


@pytest.mark.parametrize("pair", list(BITS), indirect=True)
def test_biases_count_by_the_product_of_their_scales(pair: tuple[str, bytes, bytes]) -> None:
    _, before, after = pair
    old, new = with_biases(before), with_biases(after)
    assert len(new) == 4
    for (*_, was, numbers), (made, given, weights, bias, counted) in zip(old, new, strict=True):
        product = np.asarray(given.quantization.scale) * np.asarray(weights.quantization.scale)
        assert np.array_equal(bias.quantization.scale, product)
        exact = numbers * np.asarray(was.quantization.scale, np.float64)
        assert np.abs(exact).max() > 0.1
        allowed = np.maximum(0.51 * product, 1.02 / 16 * made.quantization.scale[0])
        np.testing.assert_array_less(np.abs(counted * product.astype(np.float64) - exact), allowed)


@pytest.mark.parametrize("pair", list(BITS), indirect=True)
def test_biases_end_in_zeros_below_an_eighth_of_the_outputs_unit(pair: tuple[str, bytes, bytes]) -> None:
    coarse = 0
    for made, *_, bias, counted in with_biases(pair[2]):
        units = made.quantization.scale[0] / 8 / np.asarray(bias.quantization.scale)
        zeros = np.maximum(np.floor(np.log2(units)), 0).astype(int)
        assert (counted % 2**zeros == 0).all()
        assert (counted != 0).sum() >= len(counted) - 2, "biases are not lost, other than those of nearly 0"
        coarse += int((zeros >= 2).sum())
    assert coarse >= 12


def test_the_file_computes_what_it_did(pair: tuple[str, bytes, bytes]) -> None:
    variant, before, after = pair
    x = np.random.default_rng(5).normal(size=(64, 8, 8, 3)).astype(np.float32)
    theirs, ours = outputs(before, x), outputs(after, x)
    assert theirs.std(axis=0).max() > 0.02, "outputs to which the inputs do not matter prove nothing"
    step = 1 / 256 if variant == "int8" else 1 / 2048
    assert np.abs(ours - theirs).max() <= 3 * step
    assert abs(float((ours - theirs).mean())) < step / 8


def edited(content: bytes, change: Any) -> bytes:
    model = flatfile.read(content)
    change(model)
    return flatfile.write(model)


@pytest.mark.parametrize("pair", ["int8"], indirect=True)
def test_what_is_short_already_stays_byte_for_byte(pair: tuple[str, bytes, bytes]) -> None:
    assert scales.shortened(pair[2]) == pair[2]


@pytest.mark.parametrize("pair", ["int8"], indirect=True)
def test_scales_stay_where_a_bias_is_none_that_is_known(pair: tuple[str, bytes, bytes]) -> None:
    """Shared by two operators, or counted by something else than the product: all scales of the operator stay."""

    def shared(model: Any) -> None:
        operators = [o for o in model.subgraphs[0].operators if len(o.inputs) == 3]
        operators[1].inputs[2] = operators[0].inputs[2]

    def other(model: Any) -> None:
        graph = model.subgraphs[0]
        operator = next(o for o in graph.operators if len(o.inputs) == 3)
        graph.tensors[operator.inputs[2]].quantization.scale *= np.float32(1.01)

    for change, operators in ((shared, 2), (other, 1)):
        before = edited(pair[1], change)
        found = zip(with_biases(before), with_biases(scales.shortened(before)), strict=True)
        same = [
            all(
                np.array_equal(a.quantization.scale, b.quantization.scale)
                for a, b in zip(was[1:4], now[1:4], strict=True)
            )
            and np.array_equal(was[4], now[4])
            for was, now in found
        ]
        assert same.count(True) == operators


def first_with_bias(model: Any) -> tuple[Any, Any, Any]:
    """The graph, its first operator with a bias, and that bias."""
    graph = model.subgraphs[0]
    operator = next(o for o in graph.operators if len(o.inputs) == 3)
    return graph, operator, graph.tensors[operator.inputs[2]]


def without_scale(model: Any) -> None:
    first_with_bias(model)[2].quantization = None


def as_output(model: Any) -> None:
    graph, operator, _ = first_with_bias(model)
    graph.outputs = [*graph.outputs, operator.inputs[2]]


def infinite(model: Any) -> None:
    graph, operator, bias = first_with_bias(model)
    for tensor in (graph.tensors[operator.inputs[1]], bias):
        tensor.quantization.scale = np.full_like(tensor.quantization.scale, np.inf)


def of_two_inputs(model: Any) -> None:
    graph, operator, _ = first_with_bias(model)
    graph.tensors[operator.inputs[0]].quantization.scale = np.ones(2, np.float32)


@pytest.mark.parametrize("change", [without_scale, as_output, infinite, of_two_inputs])
@pytest.mark.parametrize("pair", ["int8"], indirect=True)
def test_a_bias_that_cannot_be_counted_stays_and_so_do_its_scales(pair: tuple[str, bytes, bytes], change: Any) -> None:
    before = edited(pair[1], change)
    sides = []
    for content in (before, scales.shortened(before)):
        model = flatfile.read(content)
        graph, operator, bias = first_with_bias(model)
        weights = graph.tensors[operator.inputs[1]].quantization.scale
        sides.append((bytes(model.buffers[bias.buffer].data), np.asarray(weights).tobytes()))
    assert sides[0] == sides[1]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("pair", ["int8"], indirect=True)
def test_outputs_without_a_number_for_a_scale_leave_biases_alone(pair: tuple[str, bytes, bytes], value: float) -> None:
    def change(model: Any) -> None:
        graph, operator, _ = first_with_bias(model)
        graph.tensors[operator.outputs[0]].quantization.scale = np.array([value], np.float32)

    *_, bias, counted = with_biases(scales.shortened(edited(pair[1], change)))[0]
    *_, was, numbers = with_biases(pair[1])[0]
    exact = numbers * np.asarray(was.quantization.scale, np.float64)
    unit = np.asarray(bias.quantization.scale, np.float64)
    np.testing.assert_array_less(np.abs(counted * unit - exact), 0.51 * unit)


@pytest.mark.parametrize("pair", list(BITS), indirect=True)
def test_a_bias_at_the_end_of_its_type_stays_there(pair: tuple[str, bytes, bytes]) -> None:
    def largest(model: Any) -> None:
        graph = model.subgraphs[0]
        for operator in graph.operators:
            if len(operator.inputs) == 3:
                bias = graph.tensors[operator.inputs[2]]
                kind = {2: np.int32, 4: np.int64}[bias.type]
                edge = [np.iinfo(kind).min, np.iinfo(kind).max] * 8
                model.buffers[bias.buffer].data = np.frombuffer(
                    np.array(edge[: bias.shape[0]], kind).tobytes(), np.uint8
                )

    for *_, numbers in with_biases(scales.shortened(edited(pair[1], largest)))[:2]:
        assert (np.sign(numbers) == [(-1, 1)[i % 2] for i in range(len(numbers))]).all()
        assert np.abs(numbers.astype(np.float64)).min() > 0.98 * np.iinfo(numbers.dtype).max


def test_recurrent_layers_with_integers_between_keep_their_scales(shared_data: Path) -> None:
    content = (shared_data / "tflm" / "trained_lstm_int8.tflite").read_bytes()
    before, after = scaled(content), scaled(scales.shortened(content))
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert 1 <= len(changed) <= 3
    assert all("output" in name for name in changed), "the layer behind"
