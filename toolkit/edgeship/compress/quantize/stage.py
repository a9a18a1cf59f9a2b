"""The stages `quantize-aware` and `equalize`."""

from __future__ import annotations

import keras

from edgeship.compress.context import Context
from edgeship.compress.finish import finalize
from edgeship.compress.helpers import said
from edgeship.compress.quantize.aware import quantize_aware
from edgeship.compress.quantize.equalize import equalize
from edgeship.compress.tfmot import backend as tfmot
from edgeship.recipe import Equalize, QuantizeAware


def run_quantize_aware(model: keras.Model, spec: QuantizeAware, context: Context) -> keras.Model:
    """Train with the roundings of an int8 file."""
    if spec.backend == "tfmot":
        return tfmot.quantize_aware(model, spec, context)
    quantized = quantize_aware(model, context.calibration(model), bits=spec.bits)
    context.fit(quantized, spec)
    final = finalize(quantized)
    context.notes += said(quantized)
    return final


def run_equalize(model: keras.Model, spec: Equalize, context: Context) -> keras.Model:
    """Make the channels of neighbouring layers similar in size; nothing trains."""
    return equalize(model, context.calibration(model), relu6_to_relu=spec.relu6 == "relu")
