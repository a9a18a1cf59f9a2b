"""A precision for each layer, held against the same weights in float."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgeship.errors import InputError, UnsupportedModelError
from edgeship.source import inspect
from edgeship.types import Array, ConvertOptions
from edgeship_converters import flatfile
from edgeship_converters.tflite import TFLiteConverter, aeq, biases, weights

#: Every kind of weights; two operators read one tensor (a shared layer), and depthwise channels lie on the last axis.
IMAGE = np.random.default_rng(0).random((12, 8, 8, 3)).astype(np.float32)
XNNPACK, PLAIN = OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
TYPES = {schema.TensorType.INT8: 8, schema.TensorType.INT4: 4, schema.TensorType.INT2: 2}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(12, 3, padding="same", activation="relu", name="first")(image)
    shared = layers.Conv2D(12, 3, padding="same", name="shared")
    x = shared(shared(x))
    x = layers.DepthwiseConv2D(5, padding="same", activation="relu6", name="deep")(x)
    x = layers.Conv2DTranspose(6, 2, strides=2, name="up")(x)
    x = layers.Flatten()(x)
    model = keras.Model(image, layers.Dense(5, name="scores")(layers.Dense(7, activation="tanh", name="middle")(x)))
    for layer in model.layers:
        for weight in layer.weights:
            if weight.name == "bias":
                weight.assign(np.random.default_rng(1).normal(0, 0.1, weight.shape))
    folder = tmp_path_factory.mktemp("aeq")
    model.save(folder / "model.keras")
    source = inspect(folder / "model.keras")
    with mock.patch("edgeship_converters.tflite.slim.slim", lambda content, *_: content):  # which takes names out
        return TFLiteConverter().convert(source, "float32", ConvertOptions(), folder).entry.read_bytes()


def samples() -> Iterator[dict[str, Array]]:
    return iter([{"image": image[None]} for image in IMAGE])


def run(content: bytes, resolver: Any = XNNPACK) -> Array:
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    runner = interpreter.get_signature_runner("serving_default")
    return np.concatenate([runner(image=image[None])["scores"] for image in IMAGE])


def unpacked(raw: Array, bits: int, shape: tuple[int, ...]) -> Array:
    """Numbers of a packed tensor, by the schema: the first one in the lowest bits, two's complement."""
    each = 8 // bits
    numbers = (raw[:, None].astype(np.int64) >> (bits * np.arange(each))) & (2**bits - 1)
    numbers = numbers.ravel()[: int(np.prod(shape))]
    return np.where(numbers >= 2 ** (bits - 1), numbers - 2**bits, numbers).reshape(shape)


def in_float(content: bytes, made: bytes) -> bytes:
    """The float file with the weights that `made` has, dequantized by the specification."""
    original, quantized = flatfile.read(content), flatfile.read(made)
    flatfile.name_apart(original)
    found = {}
    for tensor in quantized.subgraphs[0].tensors:
        data = quantized.buffers[tensor.buffer].data
        if tensor.type in TYPES and data is not None:
            raw = np.frombuffer(bytes(data), np.uint8)
            numbers = unpacked(raw, TYPES[tensor.type], tuple(tensor.shape))
            shape = [1] * len(tensor.shape)
            shape[tensor.quantization.quantizedDimension] = -1
            zeros = np.reshape(tensor.quantization.zeroPoint, shape)
            found[tensor.name] = (numbers - zeros) * np.reshape(tensor.quantization.scale, shape)
    for tensor in original.subgraphs[0].tensors:
        if tensor.name in found:
            stored = found[tensor.name].astype("<f4").tobytes()
            original.buffers[tensor.buffer].data = np.frombuffer(stored, np.uint8)
    assert found
    return flatfile.write(original)


def distance(a: Array, b: Array) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("resolver", [XNNPACK, PLAIN], ids=["xnnpack", "plain"])
@pytest.mark.parametrize(("precision", "loss"), [("int8-weights", 0.02), ("int4", 0.25), ("int2", 0.9)])
def test_weights_in_few_bits_are_exactly_those_that_the_runtime_computes_with(
    content: bytes, precision: str, loss: float, resolver: Any
) -> None:
    made = aeq.quantize(content, default=precision)
    assert distance(run(made, resolver), run(in_float(content, made))) < 1e-5
    assert 1e-4 < distance(run(made, resolver), run(content)) < loss
    kinds = [operator.kind for operator in flatfile.operators(made)]
    assert kinds.count("DEQUANTIZE") == 5, "all weights but the small ones of the output, shared ones once"
    assert aeq.quantize(content, default=precision) == made


@pytest.mark.parametrize(
    ("precision", "loss"), [("int8", 0.05), ("int16x8", 0.01), ("dynamic", 0.05), ("float16", 1e-3)]
)
def test_whole_files(content: bytes, precision: str, loss: float) -> None:
    made = aeq.quantize(content, default=precision, calibration=samples)
    assert 1e-6 < distance(run(made), run(content)) < loss


def test_each_layer_in_its_own_precision(content: bytes) -> None:
    wanted = {"first": "float32", "shared": "int16x8", "middle": "int4"}
    made = aeq.quantize(content, wanted, "int8", samples)
    types = {tensor.name: tensor.type for tensor in flatfile.read(made).subgraphs[0].tensors}
    by_kind = {operator.weights: operator for operator in flatfile.operators(content) if operator.weights}
    found = {next(w for w in by_kind if by_kind[w].is_of(layer)): layer for layer in ("first", "deep", "middle")}
    kinds = {layer: types[name.encode()] for name, layer in found.items()}
    assert kinds == {
        "first": schema.TensorType.FLOAT32,
        "deep": schema.TensorType.INT8,
        "middle": schema.TensorType.INT4,
    }
    assert schema.TensorType.INT16 in types.values()
    assert distance(run(made), run(in_float(content, made))) < 0.05
    assert aeq.quantize(content, {"^shared|first/": "int8", **wanted}, "int8", samples) == made, "the last one counts"


def test_sensitive_layers_in_float_bring_the_numbers_back(content: bytes) -> None:
    every = dict.fromkeys(("first", "shared", "deep", "up", "middle", "scores"), "float32")
    lossy = distance(run(aeq.quantize(content, {}, "int8", samples)), run(content))
    assert distance(run(aeq.quantize(content, every, "int8", samples)), run(content)) < lossy / 2


@pytest.fixture(scope="module")
def pruned(content: bytes) -> bytes:
    """The file with a channel in each kind of weights that is all zero, or nearly, beside a bias that is not."""
    model = flatfile.read(content)
    done = set()
    for graph, operator, description in flatfile.described(model):
        if not description.weights or description.weights in done:
            continue
        done.add(description.weights)
        slot, axis = flatfile.WEIGHTS[description.kind]
        tensor, bias = (graph.tensors[operator.inputs[place]] for place in (slot, biases.BIAS[description.kind]))
        numbers = flatfile.values(model, tensor).copy()
        np.moveaxis(numbers, axis, 0)[:2] *= np.reshape([0, 1e-7], (2,) + (1,) * (numbers.ndim - 1))
        added = flatfile.values(model, bias).copy()
        added[:2] = 0.5, 0.4
        for changed, values in ((tensor, numbers), (bias, added)):
            model.buffers[changed.buffer].data = np.frombuffer(values.astype("<f4").tobytes(), np.uint8)
    assert len(done) == 6
    return flatfile.write(model)


@pytest.mark.parametrize("resolver", [XNNPACK, PLAIN], ids=["xnnpack", "plain"])
@pytest.mark.parametrize(("precision", "loss"), [("int8", 0.03), ("int16x8", 0.01)])
def test_channels_without_weights_keep_their_bias(pruned: bytes, precision: str, loss: float, resolver: Any) -> None:
    made = aeq.quantize(pruned, default=precision, calibration=samples)
    assert distance(run(made, resolver), run(pruned)) < loss
    assert aeq.quantize(pruned, default=precision, calibration=samples) == made


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_biases_still_have_to_be_fitted(pruned: bytes, precision: str) -> None:
    """Fails once ai-edge-quantizer gives channels without weights a scale that serves: `biases` can go then."""
    with mock.patch("edgeship_converters.tflite.biases.fit"):
        made = aeq.quantize(pruned, default=precision, calibration=samples)
    assert distance(run(made), run(pruned)) > 0.1


def test_scales_that_others_need_are_left_alone(pruned: bytes) -> None:
    with mock.patch("edgeship_converters.tflite.biases.fit"):
        model = flatfile.read(aeq.quantize(pruned, default="int8", calibration=samples))
    graph = model.subgraphs[0]
    (reshape,) = [o for (_, o, d) in flatfile.described(model) if d.kind == "RESHAPE"]
    dense = next(o for (_, o, d) in flatfile.described(model) if d.kind == "FULLY_CONNECTED")
    reader = copy.copy(reshape)
    reader.inputs = [dense.inputs[1], reshape.inputs[1]]
    graph.operators.append(reader)
    with pytest.raises(UnsupportedModelError, match="too large beside its weights") as caught:
        biases.fit(model, flatfile.read(pruned))
    assert "Leave this layer in float32" in caught.value.remedy


@pytest.mark.parametrize(
    ("precisions", "default", "message"),
    [
        ({"nowhere": "int4"}, "float32", "no operator belongs to 'nowhere'"),
        ({"firs": "int4"}, "float32", "no operator belongs to 'firs'"),
        ({"first": "int3"}, "float32", "unknown precision 'int3'"),
        ({}, "int8", "int8 needs calibration samples"),
        ({"first": "int16x8"}, "float32", "int16x8 needs calibration samples"),
    ],
)
def test_what_is_refused(content: bytes, precisions: dict[str, str], default: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        aeq.quantize(content, precisions, default)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_range_and_zero_point_are_the_best_of_many(bits: int) -> None:
    random = np.random.default_rng(bits)
    given = random.normal(0, random.uniform(0.1, 3, (6, 1)), (6, 400)).astype(np.float32)
    given[0] = np.abs(given[0])
    given[1] = 0
    grid = weights.quantize_weights(given, 0, bits)
    top = 2 ** (bits - 1) - 1
    widest = np.abs(given).max(axis=1, keepdims=True) / top
    plain = np.clip(np.rint(given / np.where(widest > 0, widest, 1)), -top, top) * widest
    better, worse = (np.square(found - given).sum(axis=1) for found in (grid.real(), plain))
    assert (better <= worse * (1.0001 if bits < 8 else 1.1)).all()
    assert better[1] == 0
    if bits < 8:
        assert (better[2:] < worse[2:] * 0.8).all()
        assert better[0] < worse[0] / 2, "positive weights get all levels"
    assert np.isfinite(grid.scales).all()
    assert (np.abs(grid.integers.astype(int) + 0.5) <= 2 ** (bits - 1)).all()


def test_packing_is_that_of_the_schema() -> None:
    numbers = np.array([1, -1, -2, 0, 1], np.int8)
    assert weights.pack(numbers, 2).tolist() == [0b00_10_11_01, 0b01]
    assert weights.pack(np.array([7, -8, 3], np.int8), 4).tolist() == [0x87, 0x03]
    assert unpacked(weights.pack(numbers, 2), 2, (5,)).tolist() == numbers.tolist()


def test_runtimes_that_are_too_old_refuse_the_file(content: bytes) -> None:
    """ai-edge-quantizer says version 1 of every operator, with which tflite-runtime 2.14 computed NaN."""
    made = flatfile.read(aeq.quantize(content, {"middle": "int2", "shared": "int8-weights"}, "int4"))
    versions = {
        code.version
        for kind, code in zip(flatfile.kinds(made), made.operatorCodes, strict=True)
        if kind == "DEQUANTIZE"
    }
    assert versions == {7}  # one code, of the version that 2 bits need
    for code in made.operatorCodes:
        code.version += 100
    with pytest.raises(ValueError, match="Didn't find op for builtin opcode"):
        Interpreter(model_content=flatfile.write(made))


def test_a_broadcast_sum_of_16_bits_does_not_take_the_kernel_for_powers_of_two(tmp_path: Path) -> None:
    """All scales are 1/32767, which LiteRT takes for 2^-15; its old kernel aborts where an addend is broadcast."""
    import keras

    image = keras.Input((8, 8, 3), name="image")
    keras.Model(image, keras.layers.Rescaling(0.5, 0.5)(image)).save(tmp_path / "model.keras")
    source = inspect(tmp_path / "model.keras")
    made = TFLiteConverter().convert(source, "float32", ConvertOptions(), tmp_path).entry.read_bytes()
    ends = [{"image": np.full((1, 8, 8, 3), end, np.float32)} for end in (-1, 1)]
    file = flatfile.read(aeq.quantize(made, {}, "int16x8", lambda: iter(ends)))
    sums = [raw for graph, raw, operator in flatfile.described(file) if operator.kind == "ADD"]
    assert [operator.builtinOptions.potScaleInt16 for operator in sums] == [False]
