""".tflite files as sources: float only, read without TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edgeship.errors import SourceError
from edgeship.source import inspect, load
from edgeship.source.tflite import _constants, _flatbuffer, _refuse_quantized, inspect_tflite
from edgeship.types import TensorSpec


def test_a_float_file(shared_data: Path) -> None:
    found = inspect(shared_data / "mlperf_tiny" / "image_classification" / "pretrainedResnet.tflite")
    assert (found.kind, found.loader, found.trainable) == ("tflite", "litert", False)
    assert found.inputs == (TensorSpec("input_1", (None, 32, 32, 3), "float32"),)
    assert found.outputs == (TensorSpec("Identity", (None, 10), "float32"),)
    assert found.parameters > 77_000
    with pytest.raises(SourceError, match="is a TFLite file; it can be run, but not loaded"):
        load(found)


def test_a_fixed_batch_is_kept(shared_data: Path) -> None:
    found = inspect_tflite(shared_data / "tflm" / "trained_lstm.tflite")
    assert (found.inputs[0].shape, found.outputs[0].shape) == ((1, 28, 28), (1, 10))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mlperf_tiny/image_classification/pretrainedResnet_quant.tflite", "int8"),
        ("mlperf_tiny/keyword_spotting/kws_ref_model.tflite", "int8"),
        ("tflm/trained_lstm_int8.tflite", "int8"),
        ("coral/mobilenet_v1_0.25_128_quant.tflite", "uint8"),
    ],
)
def test_quantized_files_are_refused(shared_data: Path, name: str, kind: str) -> None:
    with pytest.raises(SourceError, match=rf"is quantized \({kind}\): only float \.tflite files can be a source"):
        inspect_tflite(shared_data / name)


@pytest.mark.parametrize(("kind", "scaled"), [("INT2", "per tensor"), ("INT4", "by blocks"), ("UINT4", "per tensor")])
def test_no_way_of_quantizing_is_taken_for_float(kind: str, scaled: str) -> None:
    tensor, quantization = schema.TensorT(), schema.QuantizationParametersT()
    tensor.type, tensor.quantization = getattr(schema.TensorType, kind), quantization
    if scaled == "by blocks":
        quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
        quantization.details = schema.BlockwiseQuantizationT()
    else:
        quantization.scale = [0.5]
    graph, model = schema.SubGraphT(), schema.ModelT()
    graph.tensors, model.subgraphs = [tensor], [graph]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    with pytest.raises(SourceError, match=rf"is quantized \({kind.lower()}\)"):
        _refuse_quantized(Path("m.tflite"), _flatbuffer(bytes(builder.Output())))


def test_damaged_files_are_refused(shared_data: Path, tmp_path: Path) -> None:
    content = (shared_data / "tflm" / "hello_world_float.tflite").read_bytes()
    for number, broken in enumerate([content[:1000], content[:8] + b"\xff" * 500]):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(broken)
        with pytest.raises(SourceError, match="is damaged"):
            inspect_tflite(path)


def test_nan_weights_are_refused(shared_data: Path, tmp_path: Path) -> None:
    content = (shared_data / "tflm" / "hello_world_float.tflite").read_bytes()
    _, values = next(item for item in _constants(_flatbuffer(content)) if item[1].size > 4)
    broken = values.copy()
    broken[2] = np.nan
    assert content.count(values.tobytes()) == 1
    (tmp_path / "nan.tflite").write_bytes(content.replace(values.tobytes(), broken.tobytes()))
    with pytest.raises(SourceError, match=r"nan\.tflite: layer .* has NaN or infinite weights"):
        inspect_tflite(tmp_path / "nan.tflite")


def test_tensorflow_is_not_imported(shared_data: Path) -> None:
    path = shared_data / "tflm" / "hello_world_float.tflite"
    code = (
        "import sys; from pathlib import Path; from edgeship.source import inspect; "
        f"inspect(Path({str(path)!r})); assert not {{'tensorflow', 'keras', 'tf_keras'}} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
