"""ONNX Runtime's static and dynamic quantization of tf2onnx's float file; calibration methods are swept."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.acceptance.compression.peers.common import finish, onnx_accuracy, request, sweep


def float_model(base: str, folder: Path) -> Path:
    """The base as float ONNX, as tf2onnx writes it."""
    import keras
    import tensorflow as tf
    import tf2onnx

    model = keras.models.load_model(base, compile=False)
    given = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name="input")
    function = tf.function(lambda x: model(x, training=False), input_signature=[given])
    tf2onnx.convert.from_function(function, [given], opset=18, output_path=str(folder / "float.onnx"))
    return folder / "float.onnx"


def prepared(model: Path) -> Path:
    """A float file as ONNX Runtime's documentation asks for before quantization."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    place = model.with_name("prepared.onnx")
    quant_pre_process(str(model), str(place))
    return place


def static(model: Path, samples: Any, calibration: str, signed: bool) -> bytes:
    """int8 weights per channel; activations uint8, or int8 if `signed`."""
    from onnxruntime import quantization as q

    class Reader(q.CalibrationDataReader):  # type: ignore[misc] # ONNX Runtime ships no types
        def __init__(self) -> None:
            self._left = iter([{"input": sample[None]} for sample in samples])

        def get_next(self) -> Any:
            return next(self._left, None)

    out = model.with_name("quantized.onnx")
    q.quantize_static(
        str(model),
        str(out),
        Reader(),
        quant_format=q.QuantFormat.QDQ,
        per_channel=True,
        activation_type=q.QuantType.QInt8 if signed else q.QuantType.QUInt8,
        weight_type=q.QuantType.QInt8,
        calibrate_method=q.CalibrationMethod[calibration],
    )
    return out.read_bytes()


def dynamic(model: Path) -> bytes:
    """int8 weights, ranges of activations found while running."""
    from onnxruntime import quantization as q

    out = model.with_name("dynamic.onnx")
    q.quantize_dynamic(str(model), str(out), weight_type=q.QuantType.QUInt8)
    return out.read_bytes()


def main() -> None:
    """Sweep what there is to choose; keep the file that is best on the validation part."""
    asked = request()
    x, y = asked.split("validation")
    with tempfile.TemporaryDirectory() as folder:
        model = prepared(float_model(asked.base, Path(folder)))
        if asked.settings["kind"] == "dynamic":
            content, chosen, tried = dynamic(model), {}, []
        else:
            samples = asked.calibration(500)
            candidates = [
                {"calibration": name, "signed": signed}
                for name in ("MinMax", "Entropy", "Percentile")
                for signed in (False, True)
            ]
            content, chosen, tried = sweep(
                candidates,
                lambda calibration, signed: static(model, samples, calibration, signed),
                lambda made: onnx_accuracy(made, x, y),
            )
    settings = {**asked.settings, **chosen}
    finish(asked, content, "onnx", ["onnxruntime", "onnx", "tf2onnx"], settings=settings, sweep=tried)


if __name__ == "__main__":
    main()
