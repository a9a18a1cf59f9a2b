from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import brotli
import frozen_models as zoo
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edgeship.errors import EdgeshipError
from edgeship.report.layers import STRUCTURE, layer_bytes
from edgeship.types import ConvertOptions
from edgeship_converters import flatfile
from edgeship_converters.tflite import TFLiteConverter, slim

RESOLVERS = {
    "XNNPACK": OpResolverType.AUTO,
    "built-in": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}

#: Real files, by what they have that others do not.
REAL = {
    "mlperf_tiny/image_classification/pretrainedResnet_quant.tflite": "scales by channel, ranges",
    "mlperf_tiny/keyword_spotting/kws_ref_model.tflite": "depthwise convolutions, no signature, dynamic batch",
    "mlperf_tiny/anomaly_detection/ad01_int8.tflite": "one scale for a kernel",
    "coral/mobilenet_v1_0.25_128_quant.tflite": "uint8, before quantization had channels",
    "tflm/trained_lstm_int8.tflite": "state between steps, tensors without elements",
    "tflm/trained_lstm.tflite": "float LSTM",
    "tflm/hello_world_int8.tflite": "more graph than weights",
}


def run(content: bytes, resolver: Any, seed: int = 0, times: int = 3) -> tuple[list[bytes], int]:
    """Outputs for random inputs as bytes, and how many parts of the graph a delegate took."""
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(seed)
    outputs: list[bytes] = []
    for _ in range(times):
        for entry in interpreter.get_input_details():
            if entry["dtype"] == np.float32:
                values = rng.normal(size=entry["shape"])
            else:
                values = rng.integers(np.iinfo(entry["dtype"]).min, np.iinfo(entry["dtype"]).max, entry["shape"])
            interpreter.set_tensor(entry["index"], values.astype(entry["dtype"]))
        interpreter.invoke()
        outputs += [interpreter.get_tensor(entry["index"]).tobytes() for entry in interpreter.get_output_details()]
    delegated = [o for o in interpreter._get_ops_details() if o["op_name"] == "DELEGATE"]
    return outputs, len(delegated)


def assert_same_computation(before: bytes, after: bytes) -> None:
    for name, resolver in RESOLVERS.items():
        ours, theirs = run(after, resolver), run(before, resolver)
        assert ours == theirs, name
        assert len(set(ours[0])) > 1, "inputs to which the outputs are not sensitive prove nothing"


def assert_smaller(before: bytes, after: bytes) -> None:
    assert len(after) < len(before)
    for pack in (lambda b: gzip.compress(b, 9, mtime=0), lambda b: brotli.compress(b, quality=11)):
        assert len(pack(after)) < len(pack(before))


def assert_aligned(content: bytes) -> None:
    """Constants lie where `force_align: 16` of the schema wants them."""
    model = schema.Model.GetRootAs(content, 0)
    for buffer in map(model.Buffers, range(model.BuffersLength())):
        if buffer.DataLength():
            start = buffer._tab.Vector(buffer._tab.Offset(4))
            assert start % 16 == 0


@pytest.fixture(scope="module", params=["float32", "float16", "dynamic", "int8", "int16x8", "int4"])
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Any]:
    """A file as TensorFlow made it, and the artifact that was made of it."""
    folder = tmp_path_factory.mktemp(request.param)
    source = zoo.save(zoo.cnn(), folder)
    options = ConvertOptions(calibration=zoo.calibration(source, folder / "data"))
    kept: list[bytes] = []
    original = slim.slim

    def keeping(content: bytes, *said: Any) -> bytes:
        kept.append(content)
        return original(content, *said)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slim, "slim", keeping)
        (folder / "out").mkdir()
        artifact = TFLiteConverter().convert(source, request.param, options, folder / "out")
    return kept[0], artifact


def test_a_converted_file_computes_the_same_in_fewer_bytes(converted: tuple[bytes, Any]) -> None:
    before, artifact = converted
    after = artifact.entry.read_bytes()
    assert_same_computation(before, after)
    assert_smaller(before, after)
    assert_aligned(after)


def test_what_an_application_sees_stays(converted: tuple[bytes, Any]) -> None:
    before, artifact = converted
    seen = []
    for content in (before, artifact.entry.read_bytes()):
        interpreter = Interpreter(model_content=content)
        details = interpreter.get_input_details() + interpreter.get_output_details()
        ends = [(d["index"], d["dtype"], d["shape"].tolist(), d["quantization"]) for d in details]
        seen.append((sorted(ends, key=str), interpreter.get_signature_list()))
    assert seen[0] == seen[1]
    assert list(seen[0][1]) == ["serving_default"]
    assert [d["name"] for d in details] == [spec.name for spec in (*artifact.inputs, *artifact.outputs)]


def test_what_nothing_computes_with_is_gone(converted: tuple[bytes, Any]) -> None:
    content = converted[1].entry.read_bytes()
    model = flatfile.read(content)
    assert model.description is None
    # The permission to compute in half precision is for delegates; all else is gone.
    assert {entry.name for entry in model.metadata or ()} <= {b"reduced_precision_support"}
    graph = model.subgraphs[0]
    ends = {int(i) for i in (*graph.inputs, *graph.outputs)}
    assert [i for i, tensor in enumerate(graph.tensors) if tensor.name] == sorted(ends)
    assert all(t.quantization is None or t.quantization.min is None for t in graph.tensors)
    used = {holder.buffer for holder in (*graph.tensors, *(model.metadata or ()))}
    assert used == set(range(len(model.buffers))), "no buffer is left that nothing uses"
    assert model.buffers[0].data is None


def test_the_report_still_names_the_layers(converted: tuple[bytes, Any]) -> None:
    before, artifact = converted
    found = dict(layer_bytes(artifact))
    assert sum(found.values()) == artifact.size_bytes
    assert {"conv2d", "depthwise_conv2d", "probabilities"} <= {name.rstrip("_0123456789") for name in found}, found
    assert 0 < found[STRUCTURE] < len(before)


def test_slim_twice_is_slim_once(converted: tuple[bytes, Any]) -> None:
    content = converted[1].entry.read_bytes()
    assert slim.slim(content) == content


@pytest.mark.parametrize("name", REAL)
def test_real_files_compute_the_same(shared_data: Path, name: str) -> None:
    before = (shared_data / name).read_bytes()
    if zipfile.is_zipfile(io.BytesIO(before)):  # labels, which the file carries by TFLite Metadata
        assert slim.slim(before) == before
        before = before[: before.index(b"PK\x03\x04")]
    after = slim.slim(before)
    assert_same_computation(before, after)
    assert_smaller(before, after)
    assert_aligned(after)


def test_buffers_of_few_values_lie_where_brotli_takes_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 16), name="image")
    rng = np.random.default_rng(0)
    for share in (0.5, 0.2, 0.6, 0.1):
        layer = keras.layers.Conv2D(16, 3, padding="same", use_bias=False)
        x = layer(x)
        layer.set_weights([rng.choice([-1.0, 0, 1], layer.kernel.shape, p=[share / 2, 1 - share, share / 2])])
    source = zoo.save(keras.Model(image, x), tmp_path)
    options = ConvertOptions(calibration=zoo.calibration(source, tmp_path / "data"))
    artifact, before = TFLiteConverter().convert_with_names(source, "int8", options, tmp_path)
    after = artifact.entry.read_bytes()
    assert_same_computation(before, after)
    assert_aligned(after)
    sizes = []
    for orders in (0, 2, 4, 8):  # each tries those of the one before it too
        monkeypatch.setattr(slim, "_ORDERS", orders)
        sizes.append(len(brotli.compress(slim.compact(flatfile.read(before)), quality=11)))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]
    assert slim.compact(flatfile.read(before)) == slim.compact(flatfile.read(before))


def test_other_metadata_stays(converted: tuple[bytes, Any]) -> None:
    model = flatfile.read(converted[0])
    labels = schema.BufferT()
    labels.data = np.frombuffer(b"cat\ndog\n", np.uint8)
    entry = schema.MetadataT()
    entry.name, entry.buffer = b"TFLITE_METADATA", len(model.buffers)
    model.buffers.append(labels)
    model.metadata.append(entry)
    slimmed = flatfile.read(slim.slim(flatfile.write(model)))
    assert slimmed.metadata[-1].name == b"TFLITE_METADATA"
    assert bytes(slimmed.buffers[slimmed.metadata[-1].buffer].data) == b"cat\ndog\n"


def test_equal_constants_and_unused_operators_are_written_once_or_not(converted: tuple[bytes, Any]) -> None:
    model = flatfile.read(converted[0])
    graph = model.subgraphs[0]
    sizes = [0 if model.buffers[t.buffer].data is None else len(model.buffers[t.buffer].data) for t in graph.tensors]
    kernel = graph.tensors[int(np.argmax(sizes))]
    twin = schema.TensorT()
    vars(twin).update(vars(kernel))
    twin.buffer = len(model.buffers)
    model.buffers.append(model.buffers[kernel.buffer])
    graph.tensors.append(twin)
    model.operatorCodes.append(schema.OperatorCodeT())
    slimmed = flatfile.read(slim.slim(flatfile.write(model)))
    before = flatfile.read(slim.slim(converted[0]))
    assert len(slimmed.buffers) == len(before.buffers)
    assert len(slimmed.operatorCodes) == len(before.operatorCodes)


def test_constants_that_nothing_refers_to_go_from_a_slim_file_too(converted: tuple[bytes, Any]) -> None:
    before = slim.slim(converted[0])
    model = flatfile.read(before)
    unused = schema.BufferT()
    unused.data = np.frombuffer(b"\x07" * 64, np.uint8)
    model.buffers.append(unused)
    content = flatfile.write(model)
    assert b"\x07" * 64 in content
    assert b"\x07" * 64 not in slim.slim(content)


def test_a_file_that_does_not_read_back_is_never_delivered(
    converted: tuple[bytes, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Any) -> bytes:
        model = flatfile.read(converted[0])
        kernel = next(t for t in model.subgraphs[0].tensors if model.buffers[t.buffer].data is not None)
        model.buffers[kernel.buffer].data = model.buffers[kernel.buffer].data ^ 1
        return flatfile.write(model)

    monkeypatch.setattr(slim, "compact", broken)
    with pytest.raises(EdgeshipError, match="differs from the model in model"):
        slim.slim(converted[0])


def test_a_file_that_would_grow_stays_as_it_is() -> None:
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [schema.SubGraphT()], []
    model.buffers = [schema.BufferT()]
    model.subgraphs[0].tensors, model.subgraphs[0].operators = [], []
    model.subgraphs[0].inputs = model.subgraphs[0].outputs = np.empty(0, np.int32)
    content = flatfile.write(model)
    assert len(slim.slim(content)) <= len(content)
