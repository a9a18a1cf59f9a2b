"""Knowledge distillation (arXiv 1503.02531): a student learns from a teacher's softened output and from the labels."""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from edgeship.compress.helpers import attach, helpers
from edgeship.compress.outputs import OutputKind, output_kind
from edgeship.errors import InputError

#: Probabilities are kept away from 0 and 1 by this before their logarithm is taken.
_SMALLEST = 1e-7


class Distiller(keras.Model):  # type: ignore[misc] # Keras ships no types
    """Trains `student`; call, outputs, weights and saving are the student's. Made by `distiller`.

    The loss is `(1 - weight) * compiled loss + weight * soft loss`, in `fit` and through `compute_loss` in a loop of
    your own. Evaluation has the compiled loss only.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        soften: tuple[float, float],
        kinds: tuple[OutputKind, OutputKind],
    ) -> None:
        super().__init__(name=f"{student.name}_distiller")
        self.student = student
        # Past Keras's tracking: the teacher's weights are not this model's.
        object.__setattr__(self, "teacher", teacher)
        self.temperature, self.weight = soften
        self._student_kind, self._teacher_kind = kinds
        attach(self, *helpers(student))

    def build(self, input_shape: Any) -> None:  # noqa: ARG002 - the signature is Keras's
        """The student is built already."""
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's output."""
        return self.student(inputs, training=training)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The distillation loss, a scalar; `y_pred` is the student's output for `x`."""
        total = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return total
        penalty = ops.sum(ops.stack(self.losses)) if self.losses else 0.0
        soft = self.soft_loss(self.teacher(x, training=False), y_pred, sample_weight)
        return penalty + (1 - self.weight) * (total - penalty) + self.weight * soft

    def soft_loss(self, teacher_output: Any, student_output: Any, sample_weight: Any = None) -> Any:
        """Mean over the samples of what separates the student from the teacher, a scalar.

        Probabilities: T^2 KL(teacher at T, student at T), where the factor keeps the size of the gradient (section 2
        of the paper). Values: the squared difference.
        """
        if self._student_kind == "other":
            losses = ops.square(teacher_output - student_output)
        else:
            teacher = _log_probabilities(teacher_output, self._teacher_kind, self.temperature)
            student = _log_probabilities(student_output, self._student_kind, self.temperature)
            losses = self.temperature**2 * ops.sum(ops.exp(teacher) * (teacher - student), axis=-1)
        losses = ops.mean(ops.reshape(losses, (ops.shape(losses)[0], -1)), axis=-1)
        if sample_weight is not None:
            losses = losses * ops.cast(ops.reshape(sample_weight, (-1,)), losses.dtype)
        return ops.mean(losses)


def _log_probabilities(output: Any, kind: OutputKind, temperature: float) -> Any:
    """Logarithms of the probabilities softened by `temperature`; a sigmoid's output gets its complement beside it."""
    if kind == "sigmoid":
        clipped = ops.clip(output, _SMALLEST, 1 - _SMALLEST)
        logits = ops.stack([ops.log(clipped), ops.log(1 - clipped)], axis=-1)
    elif kind == "softmax":
        # The logarithm of a softmax differs from its logits by a constant, which the next softmax removes.
        logits = ops.log(ops.clip(output, _SMALLEST, 1.0))
    else:
        logits = output
    return ops.log_softmax(logits / temperature, axis=-1)


def distiller(
    student: keras.Model,
    teacher: keras.Model,
    temperature: float = 3.0,
    weight: float = 0.5,
    *,
    linear: Literal["logits", "values"] | None = None,
) -> Distiller:
    """A model that trains `student` (in place) towards `teacher` (not changed): compile and fit it like any model.

    Args:
        student: for instance the result of `prune` or `narrow`; `edgeship.callbacks` and `finalize` work on the result.
        teacher: same inputs and output shape.
        temperature: softens both outputs, > 0.
        weight: share of the soft loss, 0..1.
        linear: what an output without activation is: `logits` of classes, or `values` of a regression.

    Raises:
        InputError: outputs that cannot be compared, or `linear` is needed and was not given.
        UnsupportedModelError: models with several outputs, or not functional.
    """
    if not temperature > 0 or not 0 <= weight <= 1:
        raise InputError(
            f"temperature={temperature}, weight={weight}", remedy="Allowed: temperature > 0, 0 <= weight <= 1."
        )
    if student is teacher:
        raise InputError("student and teacher are the same model", remedy="Give a copy: keras.models.clone_model.")
    if tuple(student.output_shape) != tuple(teacher.output_shape):
        raise InputError(
            f"the student's output is {student.output_shape}, the teacher's {teacher.output_shape}",
            remedy="Both need the same classes in the same order.",
        )
    kinds = (_meaning(student, linear), _meaning(teacher, linear))
    if ("other" in kinds or "sigmoid" in kinds) and kinds[0] != kinds[1]:
        raise InputError(f"the student's output is {kinds[0]}, the teacher's {kinds[1]}: they cannot be compared")
    return Distiller(student, teacher, (float(temperature), float(weight)), kinds)


def _meaning(model: keras.Model, linear: Literal["logits", "values"] | None) -> OutputKind:
    kind = output_kind(model)
    if kind == "linear" and linear is None:
        raise InputError(
            f"the output of {model.name} has no activation",
            remedy="Say what it is: linear='logits' or linear='values'.",
        )
    return "other" if kind == "linear" and linear == "values" else kind
