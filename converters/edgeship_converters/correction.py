"""Bias correction of a Keras model for one integer file (see `edgeship.compress.bias`)."""

from __future__ import annotations

from typing import Any

from edgeship.errors import UnsupportedModelError
from edgeship.types import Dataset, Source


def corrected(model: Any, source: Source, calibration: Dataset | None, *, activations: bool) -> Any:
    """The model with biases that make up for int8 kernels (and int8 `activations`); as it is where that is not known.

    Not known: models that Keras 3 does not read, those with layers that quantization-aware training does not take
    either, those that carry their own ranges, and any without samples. Their files are as right as ever, only not as
    close to the original.
    """
    if source.loader != "keras" or source.fake_quantized or calibration is None:
        return model
    from edgeship.compress.bias import INT8, INT8_KERNELS, correct_bias
    from edgeship.data import load

    samples = load(calibration, "calibration").inputs
    try:
        return correct_bias(model, dict(samples), INT8 if activations else INT8_KERNELS)
    except UnsupportedModelError:
        return model
