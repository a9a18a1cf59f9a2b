"""Every real model beside the checkout in every format that can hold it; what cannot says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeship.errors import SourceError
from tests.formats import Formats, formats

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
EXPORTS = (
    *(f"tflite/{variant}" for variant in ("float32", "float16", "dynamic", "int8", "int16x8", "int4")),
    *(f"tfjs/{variant}" for variant in ("float32", "float16", "uint16", "uint8")),
    *(f"onnx/{variant}" for variant in ("float32", "float16", "int8")),
    *(f"savedmodel/{variant}" for variant in ("float32", "float16")),
    *(f"micro/{variant}" for variant in ("float32", "int8", "int16x8")),
)
MODELS = (
    "base/resnet8_cifar10_jpeg.keras",
    "mlperf_tiny/anomaly_detection/ad01.h5",
    "mlperf_tiny/anomaly_detection/ad01_fp32.tflite",
    "mlperf_tiny/image_classification/pretrainedResnet.h5",
    "mlperf_tiny/image_classification/pretrainedResnet.tflite",
    "mlperf_tiny/keyword_spotting/kws_ref_model",
    "tfjs_reference/mnist_cnn/mnist_cnn.keras",
    "tfjs_reference/saved_models/int64_multiply",
    "tfjs_reference/saved_models/uint8_multiply",
    "tflm/hello_world_float.tflite",
    "tflm/trained_lstm.tflite",
)
#: By model and the beginning of `format/variant`: words of the reason why not. Weights or activations in 8 bits on
#: noise, which is no input that these were trained on, are further apart than is allowed; on their data they are not.
REFUSED: dict[tuple[str, str], str] = {
    **{
        (model, export_id): "error"
        for model in (
            "mlperf_tiny/anomaly_detection/ad01.h5",
            "mlperf_tiny/anomaly_detection/ad01_fp32.tflite",
            "tfjs_reference/mnist_cnn/mnist_cnn.keras",
        )
        for export_id in ("tflite/dynamic", "tflite/int", "onnx/int8", "micro/int")
    },
    # The same with 4 bits, which are few for a network that was not trained for them.
    **{
        (f"mlperf_tiny/{model}", "tflite/int4"): "error"
        for model in (
            "image_classification/pretrainedResnet.h5",
            "image_classification/pretrainedResnet.tflite",
            "keyword_spotting/kws_ref_model",
        )
    },
    ("tfjs_reference/saved_models/int64_multiply", "tflite/int4"): "no weights",
    ("tfjs_reference/saved_models/int64_multiply", "micro"): "INT64",
    ("tfjs_reference/saved_models/uint8_multiply", "tflite/int4"): "no weights",
    ("tfjs_reference/saved_models/uint8_multiply", "tflite/int16x8"): "ai-edge-quantizer stopped",
    ("tfjs_reference/saved_models/uint8_multiply", "micro/int16x8"): "ai-edge-quantizer stopped",
    ("tfjs_reference/saved_models/uint8_multiply", "micro"): "UINT8",
    # Its normalizations are folded: columns of weights differ so much that one scale for 8 bits does not hold them.
    ("mlperf_tiny/anomaly_detection/ad01.h5", "tfjs/uint8"): "error",
    ("mlperf_tiny/anomaly_detection/ad01_fp32.tflite", "tfjs/uint8"): "error",
    ("tflm/trained_lstm.tflite", "tfjs"): "tf2onnx stopped",
    ("tflm/trained_lstm.tflite", "onnx"): "tf2onnx stopped",
    ("tflm/trained_lstm.tflite", "savedmodel"): "tf2onnx stopped",
    ("tflm/trained_lstm.tflite", "tflite/int8"): "no integers that would do",
    ("tflm/trained_lstm.tflite", "tflite/int16"): "no integers that would do",
    ("tflm/trained_lstm.tflite", "micro/int"): "no integers that would do",
}
#: What cannot be verified by samples: words of the reason why it is not converted.
NO_BATCHES = {
    "tfjs_reference/saved_models/model_multi_output": "single values",
    "tfjs_reference/saved_models/model_single_input_multi_output": "single values",
    "tfjs_reference/saved_models/module_with_multiple_signatures": "single values",
    "tfjs_reference/saved_models/times_three_float": "single values",
    "tfjs_reference/saved_models/times_two_int": "single values",
}
#: No float model: words of the reason why it is no source.
NO_SOURCES = {
    "mlperf_tiny/anomaly_detection/ad01_int8.tflite": "quantized",
    "mlperf_tiny/image_classification/pretrainedResnet_quant.tflite": "quantized",
    "mlperf_tiny/keyword_spotting/kws_ref_model.tflite": "quantized",
    "tflm/hello_world_int8.tflite": "quantized",
    "tflm/trained_lstm_int8.tflite": "quantized",
    "coral/mobilenet_v1_0.25_128_quant.tflite": "quantized",
    "coral/deeplabv3_mnv2_dm05_pascal_quant.tflite": "quantized",
    "tfjs_reference/mnist_cnn/tfjs_model/model.json": "graph model",
}


@pytest.fixture(scope="module")
def through() -> Iterator[Formats]:
    with formats(seconds=1200) as found:
        yield found


@pytest.mark.parametrize("name", MODELS)
def test_every_format_holds_it(through: Formats, shared_data: Path, name: str, tmp_path: Path) -> None:
    for export_id, words in through.wrong_on_probe(shared_data / name, EXPORTS, tmp_path).items():
        expected = next((w for (m, e), w in REFUSED.items() if m == name and export_id.startswith(e)), None)
        assert not words if expected is None else expected in words, f"{export_id}: {words}"


@pytest.mark.parametrize(("name", "why"), [*NO_SOURCES.items(), *NO_BATCHES.items()])
def test_what_is_no_float_model_is_refused(
    through: Formats, shared_data: Path, name: str, why: str, tmp_path: Path
) -> None:
    with pytest.raises(SourceError, match=why):
        through.wrong_on_probe(shared_data / name, EXPORTS, tmp_path)


def test_no_model_was_forgotten(shared_data: Path) -> None:
    kinds = (".keras", ".h5", ".tflite")
    files = [p for p in shared_data.rglob("*") if p.suffix in kinds or p.name in ("saved_model.pb", "model.json")]
    found = {str((p.parent if p.name == "saved_model.pb" else p).relative_to(shared_data)) for p in files}
    compiled = {name for name in found if name.endswith("_edgetpu.tflite")}  # for the Edge TPU only: docs/edgetpu.md
    assert found - compiled == {*MODELS, *NO_SOURCES, *NO_BATCHES}
