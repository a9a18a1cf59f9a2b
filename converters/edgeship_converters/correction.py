"""Bias correction of a Keras model for one file (see `edgeship.compress.quantize.bias`)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgeship.errors import UnsupportedModelError
from edgeship.preprocessing import prepare
from edgeship.types import Dataset, Source

if TYPE_CHECKING:
    from edgeship.compress.quantize.bias import Rounding


def corrected(model: Any, source: Source, calibration: Dataset | None, *, activations: bool) -> Any:
    """The model with biases that make up for int8 kernels (and int8 `activations`); see `corrected_for`."""
    from edgeship.compress.quantize.bias import INT8, INT8_KERNELS

    return corrected_for(model, source, calibration, INT8 if activations else INT8_KERNELS)


def corrected_for(model: Any, source: Source, calibration: Dataset | None, rounding: Rounding) -> Any:
    """The model with biases that make up for what a file rounds; as it is where that is not known.

    Not known: models that Keras 3 does not read, those that augment their inputs in training, those with layers that
    quantization-aware training does not take either, those that carry their own ranges, and any without samples. Their
    files are as right as ever, only not as close to the original.
    """
    if calibration is None or not possible(source) or _augments(model):
        return model
    from edgeship.compress.quantize.bias import correct_bias
    from edgeship.data import load

    samples = dict(load(calibration, "calibration").inputs)
    if source.baked is not None:  # the samples are raw, the model is as it was
        samples = {name: prepare(array, source.baked) for name, array in samples.items()}
    try:
        return correct_bias(model, samples, rounding)
    except (UnsupportedModelError, KeyError):  # Keras takes the settings of stacked cells apart when it reads them
        return model


def _augments(model: Any) -> bool:
    """Whether a layer takes every call for training unless told otherwise: called alone, it would change the means."""
    calls = (inspect.signature(layer.call).parameters for layer in model._flatten_layers())
    return any("training" in known and known["training"].default is True for known in calls)


class Correction:
    """A change to a model that remembers whether there was anything to change: corrected or as it was."""

    def __init__(self, correct: Callable[[Any], Any]) -> None:
        self._correct = correct
        self.changed = False

    def __call__(self, model: Any) -> Any:
        """The model with other biases, or as it is."""
        better = self._correct(model)
        self.changed = better is not model
        return better


def possible(source: Source) -> bool:
    """Whether a model is one that Keras 3 reads, without ranges of its own; its layers may still refuse."""
    return source.loader == "keras" and not source.fake_quantized


def folded(model: Any, source: Source) -> Any:
    """The model with the layers that `corrected_for` gives, nothing corrected; as it is where that cannot be."""
    if not possible(source):
        return model
    from edgeship.compress.graph.folded import checked_fold
    from edgeship.compress.graph.model import build, read, unique_names

    try:
        return build(unique_names(checked_fold(model, unique_names(read(model)))))
    except (UnsupportedModelError, KeyError):  # as above
        return model
