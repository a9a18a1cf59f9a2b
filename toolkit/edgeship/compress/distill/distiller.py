"""Knowledge distillation: a student learns from the labels and from what a teacher answers (arXiv 1503.02531).

Beside the softened outputs a student may learn intermediate features and attention maps (`features.py`). Models with
several outputs are compared output by output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
from keras import ops

from edgeship.compress.distill.features import FeatureLoss, Features, mean, relative_error
from edgeship.compress.graph.outputs import OutputKind, output_kinds
from edgeship.compress.graph.points import Tap
from edgeship.compress.helpers import attach, helpers
from edgeship.errors import InputError

#: A softmax is kept away from 0 by this before its logarithm is taken. float32 holds smaller numbers with all their
#: digits; a larger one would raise unlikely classes, of which a temperature makes much, and stop their gradients.
_SMALLEST = 1e-30
#: A sigmoid is kept away from 0 and 1 by this: float32 holds nothing nearer to 1.
_NEAREST = 1e-7

#: What an output without activation is.
Linear = Literal["logits", "values"]


@dataclass(frozen=True)
class _Head:
    """An output of the student and the teacher's that it is held against."""

    name: str
    places: tuple[int, int]
    kinds: tuple[OutputKind, OutputKind]

    def losses(self, student: Any, teacher: Any, temperature: float) -> Any:
        """(N,): what separates the student from the teacher in each sample; squared differences for values."""
        if self.kinds[0] == "other":
            losses = ops.square(teacher - student)
        else:
            ours = _log_probabilities(student, self.kinds[0], temperature)
            theirs = _log_probabilities(teacher, self.kinds[1], temperature)
            losses = temperature**2 * ops.sum(ops.exp(theirs) * (theirs - ours), axis=-1)
        return ops.mean(ops.reshape(losses, (ops.shape(losses)[0], -1)), axis=-1)


class Distiller(keras.Model):  # type: ignore[misc] # Keras ships no types
    """Trains `student`; call, outputs and saving are the student's. Made by `distiller`.

    The loss, in `fit` and through `compute_loss` in a loop of your own, is the sum over the outputs of
    `(1 - weight) * compiled loss + weight * soft loss`, each output by its `loss_weights`, plus the features' loss. An
    output without a compiled loss learns from the teacher alone. Evaluation has the compiled loss only.
    """

    def __init__(
        self,
        student: keras.Model,
        teacher: keras.Model,
        soften: tuple[float, float],
        heads: Sequence[_Head],
        features: Features | None,
    ) -> None:
        super().__init__(name=f"{student.name}_distiller")
        self.student = student
        self.temperature, self.weight = soften
        self.features = None if features is None else FeatureLoss(student, teacher, features)
        pairs = () if self.features is None else self.features.pairs
        # Past Keras's tracking: the teacher's weights are not this model's, and the student's are already.
        object.__setattr__(self, "teacher", teacher)
        object.__setattr__(self, "_heads", tuple(heads))
        object.__setattr__(
            self, "_taps", [Tap(model, [p[n] for p in pairs]) for n, model in enumerate((student, teacher))]
        )
        object.__setattr__(self, "_seen", None)
        attach(self, *helpers(student))

    @property
    def output_names(self) -> list[str]:
        """The student's, for losses and metrics given by name."""
        # A Sequential model has no such attribute.
        return [tensor._keras_history.operation.name for tensor in self.student.outputs]

    def build(self, input_shape: Any) -> None:  # noqa: ARG002 - the signature is Keras's
        """The student is built already."""
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """The student's output."""
        if self.features is None or not training:
            return self.student(inputs, training=training)
        outputs, found = self._taps[0](inputs, training=True)
        object.__setattr__(self, "_seen", (keras.tree.flatten(outputs)[0], found))
        return outputs

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The distillation loss, a scalar; `y_pred` is the student's output for `x`, as `call` gave it.

        Raises InputError with features, where it is another output than that of the last call with training=True.
        """
        total = super().compute_loss(x, y, y_pred, sample_weight, training)
        weights = self._compiled_weights()
        if not training or (self.weight == 0 and self.features is None and None not in weights.values()):
            return total
        penalty = ops.sum(ops.stack(self.losses)) if self.losses else 0.0
        answer, theirs = self._taps[1](x, training=False)
        answers = keras.tree.map_structure(ops.stop_gradient, answer)
        loss = penalty + (1 - self.weight) * (total - penalty) + self._soft(answers, y_pred, sample_weight, weights)
        if self.features is None:
            return loss
        ours = self._take(y_pred)
        overall = None if keras.tree.is_nested(sample_weight) else sample_weight
        return loss + self.features(ours, [ops.stop_gradient(value) for value in theirs], overall)

    def soft_loss(self, teacher_output: Any, student_output: Any, sample_weight: Any = None) -> Any:
        """Mean over the samples of what separates the student from the teacher, summed over the outputs; a scalar.

        Probabilities: T^2 KL(teacher at T, student at T), where the factor keeps the size of the gradient (section 2
        of the paper). Values: the squared difference.
        """
        return self._soft(teacher_output, student_output, sample_weight, None)

    def _soft(self, answers: Any, outputs: Any, sample_weight: Any, weights: Mapping[str, float | None] | None) -> Any:
        """The soft losses by the weight of each output; without `weights`, each once."""
        total = ops.zeros(())
        for head in self._heads:
            ours, theirs = (
                ops.cast(keras.tree.flatten(values)[place], "float32")
                for values, place in zip((outputs, answers), head.places, strict=True)
            )
            counted = sample_weight
            if keras.tree.is_nested(sample_weight):
                counted = keras.tree.flatten(sample_weight)[head.places[0]]
            compiled = None if weights is None else weights[head.name]
            if weights is not None and compiled is None and head.kinds[0] == "other":
                # Nothing else sets the unit of values that have no loss of their own.
                losses = relative_error(theirs, ours, centred=True)
            else:
                losses = head.losses(ours, theirs, self.temperature)
            share = 1.0 if weights is None or compiled is None else self.weight * compiled
            total = total + share * mean(losses, counted)
        return total

    def _compiled_weights(self) -> dict[str, float | None]:
        """Each output's weight in the compiled loss; None where it has no loss."""
        weights: dict[str, float | None] = dict.fromkeys((head.name for head in self._heads), None)
        if self._compile_loss is None:
            return weights
        names = {head.places[0]: head.name for head in self._heads}
        by_layer = {name: names[place] for place, name in enumerate(self.output_names)}
        for path, _, weight, _ in self._compile_loss._flat_losses:
            # What Keras made of the user's losses: () for the only output, else its index, its key or its name.
            key = path[0] if path else 0
            name = names[key] if isinstance(key, int) else key if key in weights else by_layer[key]
            weights[name] = 1.0 if weight is None else float(weight)
        return weights

    def _take(self, y_pred: Any) -> list[Any]:
        """The student's features that belong to `y_pred`."""
        seen = self._seen
        object.__setattr__(self, "_seen", None)  # a tensor of a traced function must not be met again
        if seen is None or seen[0] is not keras.tree.flatten(y_pred)[0]:
            raise InputError(
                "the features of this output are not known",
                remedy="In a loop of your own: y_pred = model(x, training=True), then compute_loss(x, y, y_pred).",
            )
        features: list[Any] = seen[1]
        return features


def _log_probabilities(output: Any, kind: OutputKind, temperature: float) -> Any:
    """Logarithms of the probabilities softened by `temperature`; a sigmoid's output gets its complement beside it."""
    if kind == "sigmoid":
        clipped = ops.clip(output, _NEAREST, 1 - _NEAREST)
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
    linear: Linear | Mapping[str, Linear] | None = None,
    features: Features | None = None,
) -> Distiller:
    """A model that trains `student` (in place) towards `teacher` (not changed): compile and fit it like any model.

    Outputs are compared with the teacher's of the same name. The teacher runs once a batch, in inference mode.

    Args:
        student: for instance the result of `prune`, `narrow` or `quantize_aware`; `edgeship.callbacks` and `finalize`
            work on the result.
        teacher: same inputs; outputs of the same names and shapes.
        temperature: softens both outputs, > 0.
        weight: share of the soft loss, 0..1.
        linear: what an output without activation is: `logits` of classes, or `values` of a regression; for several
            outputs, by name.
        features: also compare what both compute inside (`edgeship.Features`); None does not.

    Raises:
        InputError: outputs or features that cannot be compared, or `linear` is needed and was not given.
        UnsupportedModelError: a model that is not functional.
    """
    if not temperature > 0 or not 0 <= weight <= 1:
        raise InputError(
            f"temperature={temperature}, weight={weight}", remedy="Allowed: temperature > 0, 0 <= weight <= 1."
        )
    if {id(variable) for variable in student.variables} & {id(variable) for variable in teacher.variables}:
        raise InputError(
            "student and teacher are the same model, or share weights",
            remedy="Give a copy: keras.models.clone_model, then set_weights.",
        )
    return Distiller(student, teacher, (float(temperature), float(weight)), _paired(student, teacher, linear), features)


def _paired(student: keras.Model, teacher: keras.Model, linear: Any) -> list[_Head]:
    """The student's outputs in order, each with the teacher's of the same name (the only one, whatever its name)."""
    kinds = [output_kinds(model) for model in (student, teacher)]
    shapes = [
        dict(zip(found, (tuple(t.shape) for t in model.outputs), strict=True))
        for found, model in zip(kinds, (student, teacher), strict=True)
    ]
    ours, theirs = (list(found) for found in kinds)
    if len(ours) != len(theirs) or (len(ours) > 1 and set(ours) != set(theirs)):
        raise InputError(
            f"the student's outputs are {', '.join(ours)}, the teacher's {', '.join(theirs)}",
            remedy="Give the layers that make the outputs the same names in both.",
        )
    heads = []
    for place, name in enumerate(ours):
        other = name if len(ours) > 1 else theirs[0]
        if shapes[0][name] != shapes[1][other]:
            raise InputError(
                f"the student's output is {shapes[0][name]}, the teacher's {shapes[1][other]} ({name})",
                remedy="Both need the same classes in the same order.",
            )
        given = linear.get(name) if isinstance(linear, Mapping) else linear
        pair = (_meaning(name, kinds[0][name], given), _meaning(name, kinds[1][other], given))
        if ("other" in pair or "sigmoid" in pair) and pair[0] != pair[1]:
            raise InputError(f"the student's {name} is {pair[0]}, the teacher's {pair[1]}: they cannot be compared")
        heads.append(_Head(name, (place, theirs.index(other)), pair))
    return heads


def _meaning(name: str, kind: OutputKind, linear: Linear | None) -> OutputKind:
    if kind == "linear" and linear is None:
        raise InputError(
            f"output {name} has no activation", remedy="Say what it is: linear='logits' or linear='values'."
        )
    return "other" if kind == "linear" and linear == "values" else kind
