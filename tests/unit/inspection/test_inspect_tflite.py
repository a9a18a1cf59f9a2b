"""Looking into .tflite files: made here, real ones, and damaged ones."""

from __future__ import annotations

import random
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as tfl
from tests import tiny_tflite

from edgeship.codec import from_json
from edgeship.errors import ArtifactError
from edgeship.inspection.description import Description
from edgeship.inspection.picture import picture
from edgeship.inspection.tflite import open_tflite
from edgeship.inspection.tflite_versions import least_runtime, newest


def write(folder: Path, content: bytes) -> Path:
    path = folder / "model.tflite"
    path.write_bytes(content)
    return path


def repacked(change: object, content: bytes | None = None) -> bytes:
    """The tiny file after `change(model)`."""
    model = tfl.ModelT.InitFromObj(tfl.Model.GetRootAs(content or tiny_tflite.model_bytes(), 0))
    change(model)  # type: ignore[operator] # a function of the test
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_ops_parameters_and_macs(tmp_path: Path) -> None:
    opened = open_tflite(write(tmp_path, tiny_tflite.model_bytes()))
    found = opened.description
    connected, softmax = found.ops
    assert (connected.type, connected.kind, connected.kernel, connected.layout) == (
        "FULLY_CONNECTED",
        "dense",
        "net/hidden/MatMul",
        "OI",
    )
    assert (connected.parameters, connected.stored_bytes, connected.macs, connected.version) == (15, 60, 12, 1)
    assert (softmax.type, softmax.options, softmax.macs, softmax.parameters) == ("SOFTMAX", {"beta": 1.0}, 0, 0)
    assert (found.parameters, found.macs, found.uncounted) == (15, 12, ())
    assert [spec.name for spec in (*found.inputs, *found.outputs)] == ["x", "probabilities"]
    assert found.precision == "weights: float32 (1 op); activations of these ops: float32"
    assert found.requires == {"TFLite": "1.5.0"}
    np.testing.assert_array_equal(opened.values("net/hidden/MatMul"), tiny_tflite.WEIGHTS)
    assert opened.values("x") is None


def test_a_description_is_plain_data(tmp_path: Path) -> None:
    found = open_tflite(write(tmp_path, tiny_tflite.model_bytes())).description
    assert from_json(Description, found.to_json()) == found


def test_weights_per_channel_and_in_4_bits(tmp_path: Path) -> None:
    stored = np.array([[-8, 7, 3, -1], [0, 1, -2, 5], [4, -4, 2, -7]], np.int8)

    def quantize(model: object) -> None:
        tensor = model.subgraphs[0].tensors[1]  # type: ignore[attr-defined] # classes without annotations
        tensor.type = tfl.TensorType.INT4
        tensor.quantization = tfl.QuantizationParametersT()
        tensor.quantization.scale, tensor.quantization.zeroPoint = [0.5, 0.25, 2.0], [0, 0, 0]
        tensor.quantization.quantizedDimension = 0
        low, high = stored.reshape(-1)[::2], stored.reshape(-1)[1::2]
        model.buffers[1].data = ((low & 15) | ((high & 15) << 4)).astype(np.uint8)  # type: ignore[attr-defined]

    opened = open_tflite(write(tmp_path, repacked(quantize)))
    tensor = opened.description.tensor("net/hidden/MatMul")
    assert tensor is not None
    assert tensor.quantization is not None
    assert (tensor.dtype, tensor.quantization.axis, tensor.stored_bytes) == ("int4", 0, 6)
    np.testing.assert_array_equal(opened.values(tensor.name), stored * np.array([[0.5], [0.25], [2.0]]))
    assert opened.description.parameters == 15
    assert "int4 per channel" in opened.description.precision


def test_signatures_metadata_and_what_the_file_says_it_needs(tmp_path: Path) -> None:
    def name(model: object) -> None:
        signature = tfl.SignatureDefT()
        signature.signatureKey, signature.subgraphIndex = "classify", 0
        side = tfl.TensorMapT()
        side.name, side.tensorIndex = "image", 0
        signature.inputs, signature.outputs = [side], []
        entry, buffer = tfl.MetadataT(), tfl.BufferT()
        entry.name, entry.buffer = "min_runtime_version", len(model.buffers)  # type: ignore[attr-defined]
        buffer.data = np.frombuffer(b"2.3.0".ljust(16, b"\0"), np.uint8)
        model.signatureDefs, model.metadata = [signature], [entry]  # type: ignore[attr-defined]
        model.buffers.append(buffer)  # type: ignore[attr-defined]

    found = open_tflite(write(tmp_path, repacked(name))).description
    assert [s.name for s in found.signatures] == ["classify"]
    assert found.inputs[0].name == "image"
    assert found.requires == {"TFLite": "1.5.0", "TFLite, says the file": "2.3.0"}
    chart = picture(found)
    assert chart is not None
    assert next(s.text for s in chart.shapes if s.attributes.get("class") == "g-name") == "image"


def test_versions_of_operators() -> None:
    assert least_runtime("CONV_2D", 5) == "2.4.0"
    assert least_runtime("BROADCAST_TO", 1) is None  # never released
    assert least_runtime("CONV_2D", 99) is None
    assert newest(["1.14.0", "2.3.0", "1.5.0"]) == "2.3.0"


def test_an_unknown_version_is_said(tmp_path: Path) -> None:
    def change(model: object) -> None:
        model.operatorCodes[1].version = 99  # type: ignore[attr-defined] # classes without annotations

    found = open_tflite(write(tmp_path, repacked(change))).description
    assert found.requires["TFLite"] == "1.5.0 or newer"
    assert "SOFTMAX version 99" in found.notes[0]


def test_real_files(shared_data: Path) -> None:
    tiny = shared_data / "mlperf_tiny" / "image_classification" / "pretrainedResnet_quant.tflite"
    found = open_tflite(tiny).description
    # As `edgeship.macs` counts in the Keras model that it was made from.
    assert (found.macs, found.parameters, len(found.ops)) == (12_501_632, 77_706, 16)
    assert found.requires["TFLite"] == "1.14.0"
    recurrent = open_tflite(shared_data / "tflm" / "trained_lstm.tflite").description
    # 4 gates x 20 units x (28 inputs + 20 units) x 28 steps, and a dense layer of 560 x 10.
    assert recurrent.macs == 4 * 20 * 48 * 28 + 5600
    labelled = open_tflite(shared_data / "coral" / "mobilenet_v1_0.25_128_quant.tflite").description
    # 41 million at 224 x 224 (arXiv 1704.04861, table 6); (128 / 224)^2 of that, and what does not shrink.
    assert labelled.macs == 13_570_304
    assert len(labelled.labels) == 1001
    assert labelled.metadata["input image: mean"] == "127.5"
    compiled = open_tflite(shared_data / "coral" / "mobilenet_v1_0.25_128_quant_edgetpu.tflite").description
    assert (compiled.macs, compiled.uncounted) == (None, ("CUSTOM edgetpu-custom-op",))


@pytest.mark.parametrize("size", [0, 3, 8, 64, 200, 400])
def test_a_truncated_file_is_an_error(tmp_path: Path, size: int) -> None:
    with pytest.raises(ArtifactError):
        open_tflite(write(tmp_path, tiny_tflite.model_bytes()[:size]))


def test_mutated_files_are_errors_or_descriptions(tmp_path: Path) -> None:
    content, draw, refused = tiny_tflite.model_bytes(), random.Random(5), 0
    for _ in range(300):
        changed = bytearray(content)
        for _ in range(draw.choice((1, 2, 8))):
            changed[draw.randrange(8, len(changed))] = draw.choice((0, 1, 127, 128, 255))
        try:
            opened = open_tflite(write(tmp_path, bytes(changed)))
            opened.description.to_json()
            picture(opened.description)
            for op in opened.description.ops:
                opened.values(op.kernel)
        except ArtifactError:
            refused += 1
    assert 50 < refused < 290


def test_kernels_in_half_precision_are_multiplied_too(tmp_path: Path) -> None:
    (tmp_path / "half.tflite").write_bytes(tiny_tflite.half_convolution_bytes())
    found = open_tflite(tmp_path / "half.tflite").description
    assert (found.macs, found.uncounted) == (3 * 3 * 3 * 2 * 2 * 2, ())
