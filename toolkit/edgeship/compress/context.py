"""What a stage of a recipe may use: the data, the original, training and measuring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgeship import data, metrics
from edgeship import source as sources
from edgeship.compress.distill.distiller import distiller
from edgeship.compress.distill.features import Features
from edgeship.compress.graph.model import input_structure
from edgeship.compress.graph.outputs import output_kinds
from edgeship.compress.helpers import callbacks
from edgeship.compress.training import Batches, EpochProgress, loss_for, optimizer, stable
from edgeship.data.augment import augmentation
from edgeship.errors import DataError, InputError, UnsupportedModelError
from edgeship.recipe import Distil, QuantizeAware, Recipe, Training
from edgeship.types import Array, Dataset, ProgressCallback, Source, Stage

if TYPE_CHECKING:
    from edgeship.compress.distill.distiller import Distiller

#: Tasks whose output can be called right or wrong.
_DECISIONS = ("classification", "binary", "segmentation")


class Context:
    """One recipe on one model and dataset.

    Attributes:
        plan: the recipe.
        source: the model as given.
        dataset: what is trained and calibrated with.
        int8: whether it ends in quantization-aware training, so that what counts are int8 numbers.
        seed: of the stage that runs.
        notes: what a person should know of how that stage went.
    """

    def __init__(
        self, source: Source, dataset: Dataset, plan: Recipe, metric: str | None, progress: ProgressCallback
    ) -> None:
        _check(source, dataset)
        self.plan = plan
        self.int8 = any(isinstance(spec, QuantizeAware) for spec in plan.stages)
        self.seed = plan.seed
        self.notes: list[str] = []
        self.progress = progress
        self.source = source
        self._names = [spec.name for spec in source.inputs]
        self.dataset = dataset
        self._metric = metrics.get_metric(metric, dataset)

    def start(self, number: int) -> None:
        """Seed stage `number`, of which nothing is noted yet."""
        self.seed = self.plan.seed + number
        self.notes = []
        repeatable(self.seed)

    def original(self) -> keras.Model:
        """A fresh copy of the model as given."""
        return sources.load(self.source)

    def calibration(self, model: keras.Model) -> Any:
        """The calibration split, packed as the model takes its inputs."""
        samples = data.load(self.dataset, "calibration")
        return keras.tree.pack_sequence_as(input_structure(model), [*self._inputs(samples).values()])

    def batches(self, model: keras.Model, split: str) -> Batches:
        """(inputs, labels) of a split: the training split shuffled and augmented, others in order."""
        samples = data.load(self.dataset, split)
        structure, inputs = input_structure(model), self._inputs(samples)
        if split != "train":
            return Batches(structure, inputs, samples.labels, self.plan.batch_size)
        augment = augmentation(self.dataset.augment)
        return Batches(structure, inputs, samples.labels, self.plan.batch_size, self.seed, augment)

    def fit(self, model: keras.Model, spec: Training) -> None:
        """Train `model` (or its student) in place by the stage's settings; its helpers ride along."""
        heads = len(model.outputs) if not hasattr(model, "student") else 0
        if heads > 1 or (heads and spec.teacher > 0):
            model = self.distiller(model, spec)  # labels belong to the first output: the teacher holds the others
        trained = getattr(model, "student", model)
        self._note_optimizer(trained, spec)
        batches = self.batches(trained, "train")
        model.compile(
            optimizer(spec, trained, spec.epochs * len(batches)),
            self.loss(trained),
            metrics=["accuracy"] if self.dataset.task in _DECISIONS and len(trained.outputs) == 1 else None,
            jit_compile=False,
        )
        helpers = [*callbacks(model), EpochProgress(spec.word, spec.epochs, len(batches), self.progress)]
        model.fit(batches, epochs=spec.epochs, shuffle=False, callbacks=helpers, verbose=0)

    def loss(self, model: keras.Model) -> Any:
        """The loss of the task for a model (see `training.loss_for`)."""
        return loss_for(self.dataset.task, model)

    def distiller(self, student: keras.Model, spec: Training) -> Distiller:
        """The student with the original as its teacher."""
        names = [*output_kinds(student)]
        linear: dict[str, Any] = dict.fromkeys(names, "values")
        if self.dataset.task in _DECISIONS:
            linear[names[0]] = "logits"
        inside = None
        if isinstance(spec, Distil) and spec.features + spec.attention > 0:
            inside = Features(spec.features, spec.attention)
        # Loaded anew: the model of the stages trains, where the student is that model.
        return distiller(student, self.original(), spec.temperature, spec.teacher, linear=linear, features=inside)

    def validate(self, model: keras.Model) -> float:
        """The task's metric on the validation split, in its own unit (accuracy 0..1)."""
        samples = data.load(self.dataset, "validation")
        assert samples.labels is not None  # checked at the start
        batches = Batches(input_structure(model), self._inputs(samples), None, self.plan.batch_size)
        outputs = keras.tree.flatten(model.predict(batches, verbose=0))[0]
        return self._metric.value(self._metric.per_sample(np.asarray(outputs), samples.labels))

    def check_student(self, model: keras.Model, base: Stage, after: Stage) -> None:
        """Raise InputError where a trained `model` answers no better than a constant, though the original does."""
        labels = data.load(self.dataset, "validation").labels
        assert labels is not None  # checked at the start
        guess = metrics.constant_guess(self._metric, self.dataset.task, labels, model.outputs[0].shape[-1])
        worse = [metrics.worse_by(self._metric, guess, stage.metric) for stage in (base, after)]
        if worse[0] < 0 <= worse[1]:
            raise InputError(
                f"{model.name} has learned nothing: its {self._metric.name} on {len(labels)} validation samples is "
                f"{after.metric:.4g}, that of a constant answer {guess:.4g}, of the original {base.metric:.4g}",
                remedy="Give distil more epochs, another learning_rate or a wider student, and check that a student of "
                "your own prepares its inputs as the original does.",
            )

    def _note_optimizer(self, model: keras.Model, spec: Training) -> None:
        used = stable(spec, model)
        if used.optimizer != spec.optimizer:
            note = f"nothing is normalized by batch: trained with {used.optimizer} at a rate of {used.learning_rate:g}"
            self.notes += [note] if note not in self.notes else []  # once for all rounds

    def _inputs(self, samples: data.Samples) -> dict[str, Array]:
        return {name: samples.inputs[name] for name in self._names}


def repeatable(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow, and have it sum in one order."""
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def _check(source: Source, dataset: Dataset) -> None:
    if source.loader != "keras":
        raise UnsupportedModelError(
            f"{source.path.name} is read with {source.loader}; training stages need a model that Keras 3 reads",
            remedy="Save it again with Keras 3 (.keras), or use a recipe without stages.",
        )
    names = {spec.name for spec in source.inputs}
    if names != {spec.name for spec in dataset.inputs}:
        raise DataError(
            f"{dataset.name} has inputs {[s.name for s in dataset.inputs]}, the model takes {sorted(names)}"
        )
    if dataset.task == "unlabelled":
        raise DataError(f"{dataset.name} has no labels to train with", remedy="Use a recipe without stages.")
