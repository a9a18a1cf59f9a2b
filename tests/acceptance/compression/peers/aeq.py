"""ai-edge-quantizer's recipes on TensorFlow's float file; its algorithms for the ranges are swept."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tests.acceptance.compression.peers.common import finish, litert_accuracy, request, sweep
from tests.acceptance.compression.peers.plain import convert

#: Share of the float file's bytes that a file with 8-bit weights stays well below.
_MOST = 0.6


def quantized(model: Path, recipe: str, algorithm: str, samples: Any) -> bytes:
    """A .tflite file by a recipe of `ai_edge_quantizer.recipe`."""
    import ai_edge_quantizer.recipe as recipes
    from ai_edge_quantizer import quantizer

    made = quantizer.Quantizer(str(model))
    made.load_quantization_recipe(getattr(recipes, recipe)(algorithm_key=recipes.AlgorithmName[algorithm]))
    statistics = None
    if made.need_calibration:
        (name,) = _inputs(model)
        statistics = made.calibrate({"serving_default": [{name: sample[None]} for sample in samples]})
    content = bytes(made.quantize(statistics).quantized_model)
    if len(content) > _MOST * model.stat().st_size:  # GPTQ with a static recipe gives such a file, and says nothing
        raise ValueError(f"left the weights float: {len(content):,} bytes")
    return content


def _inputs(model: Path) -> list[str]:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=str(model)).get_signature_runner("serving_default")
    return list(runner.get_input_details())


def main() -> None:
    """Sweep the algorithms; keep the file that is best on the validation part."""
    asked = request()
    x, y = asked.split("validation")
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "float.tflite"
        model.write_bytes(convert(asked, "float32"))
        samples = asked.calibration(500)
        content, chosen, tried = sweep(
            [{"algorithm": name} for name in asked.settings["algorithms"]],
            lambda algorithm: quantized(model, asked.settings["recipe"], algorithm, samples),
            lambda made: litert_accuracy(made, x, y),
        )
    settings = {"recipe": asked.settings["recipe"], **chosen}
    finish(asked, content, "tflite", ["ai-edge-quantizer", "tensorflow", "keras"], settings=settings, sweep=tried)


if __name__ == "__main__":
    main()
