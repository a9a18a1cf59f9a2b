"""The stage `factorize`."""

from __future__ import annotations

import keras

from edgeship.compress.context import Context
from edgeship.compress.finish import finalize
from edgeship.compress.lowrank.factorize import factorize
from edgeship.recipe import Factorize


def run_factorize(model: keras.Model, spec: Factorize, context: Context) -> keras.Model:
    """Split kernels where that pays, and train."""
    calibration = context.calibration(model)
    if spec.share < 1:
        small = factorize(model, share=spec.share, budget=spec.budget, calibration=calibration, seed=context.seed)
    else:
        small = factorize(model, energy=spec.energy, calibration=calibration, seed=context.seed)
    context.fit(small, spec)
    return finalize(small)
