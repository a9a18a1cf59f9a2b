"""The stage `distil`."""

from __future__ import annotations

import keras

from edgeship import references
from edgeship.compress.context import Context
from edgeship.compress.distill.students import narrow
from edgeship.compress.finish import finalize
from edgeship.errors import RecipeError
from edgeship.recipe import Distil


def run_distil(model: keras.Model, spec: Distil, context: Context) -> keras.Model:
    """Train the student that the settings name towards the original."""
    distilled = context.distiller(_student(model, spec), spec)
    context.fit(distilled, spec)
    return finalize(distilled)


def _student(model: keras.Model, spec: Distil) -> keras.Model:
    if spec.student == "self":
        return model
    if spec.student == "narrow":
        return narrow(model, spec.width)
    student = references.resolve(spec.student, RecipeError)()
    if not isinstance(student, keras.Model):
        raise RecipeError(f"{spec.student} returned {type(student).__name__}", remedy="Return a keras.Model.")
    return student
