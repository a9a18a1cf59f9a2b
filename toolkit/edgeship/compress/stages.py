"""Runs the training stages of a recipe on a loaded model, measured after each."""

from __future__ import annotations

import time
from typing import Any

import keras
import numpy as np

from edgeship import data, metrics, references
from edgeship import source as sources
from edgeship.compress.clustering import cluster, most_values
from edgeship.compress.distill import distiller
from edgeship.compress.finish import finalize
from edgeship.compress.graph import input_structure
from edgeship.compress.helpers import callbacks
from edgeship.compress.kernels import parameters, prunable_kernels, sparsity
from edgeship.compress.pruning import prune
from edgeship.compress.quantize import quantize_aware
from edgeship.compress.students import narrow
from edgeship.compress.training import Batches, EpochProgress, cosine, loss_for, weight_bytes
from edgeship.errors import DataError, RecipeError, UnsupportedModelError
from edgeship.recipe import STAGES, Cluster, Distil, Prune, QuantizeAware, Recipe, StageSpec
from edgeship.types import Array, Dataset, ProgressCallback, Source, Stage

#: Tasks whose output can be called right or wrong.
_DECISIONS = ("classification", "binary", "segmentation")


class Runner:
    """One recipe on one model. `model` is what the stages made of it so far."""

    def __init__(
        self, source: Source, dataset: Dataset, plan: Recipe, metric: str | None, progress: ProgressCallback
    ) -> None:
        _check(source, dataset)
        self._source = source
        self._names = [spec.name for spec in source.inputs]
        self._dataset = dataset
        self._plan = plan
        self._metric = metrics.get_metric(metric, dataset)
        self._progress = progress
        _repeatable(plan.seed)
        # What clusters are shared in: int8 numbers where the recipe ends in them.
        self._int8 = any(isinstance(spec, QuantizeAware) for spec in plan.stages)
        self.model = sources.load(source)

    def run(self) -> tuple[Stage, ...]:
        """All stages in order; the first entry is the model as given."""
        stages = [self._measured("base", 0, 0.0)]
        for number, spec in enumerate(self._plan.stages):
            seed = self._plan.seed + number
            _repeatable(seed)
            name = next(word for word, kind in STAGES.items() if isinstance(spec, kind))
            start = time.monotonic()
            self.model = self._stage(name, spec, seed)
            stages.append(self._measured(name, spec.epochs, time.monotonic() - start))
        return tuple(stages)

    def _stage(self, name: str, spec: StageSpec, seed: int) -> keras.Model:
        if isinstance(spec, Prune):
            trained = prune(self.model, spec.sparsity, schedule=spec.schedule, ramp=spec.ramp)
        elif isinstance(spec, Cluster):
            trained = cluster(self.model, spec.clusters, per_channel=self._int8)
        elif isinstance(spec, Distil):
            linear: Any = "logits" if self._dataset.task in _DECISIONS else "values"
            teacher = sources.load(self._source)  # not `model`, which trains where the student is `self`
            trained = distiller(self._student(spec), teacher, spec.temperature, spec.weight, linear=linear)
        else:
            assert isinstance(spec, QuantizeAware)
            calibration = self._inputs(data.load(self._dataset, "calibration"))
            trained = quantize_aware(self.model, keras.tree.pack_sequence_as(input_structure(self.model), calibration))
        self._fit(trained, name, spec, seed)
        return finalize(trained)

    def _student(self, spec: Distil) -> keras.Model:
        if spec.student == "self":
            return self.model
        if spec.student == "narrow":
            return narrow(self.model, spec.width)
        student = references.resolve(spec.student, RecipeError)()
        if not isinstance(student, keras.Model):
            raise RecipeError(f"{spec.student} returned {type(student).__name__}", remedy="Return a keras.Model.")
        return student

    def _fit(self, model: keras.Model, name: str, spec: StageSpec, seed: int) -> None:
        """Train by the stage's settings: Adam, learning rate falling to zero along a cosine."""
        trained = getattr(model, "student", model)
        samples = data.load(self._dataset, "train")
        batches = Batches(input_structure(trained), self._inputs(samples), samples.labels, self._plan.batch_size, seed)
        model.compile(
            cosine(spec.learning_rate, spec.epochs * len(batches)),
            loss_for(self._dataset.task, trained),
            metrics=["accuracy"] if self._dataset.task in _DECISIONS else None,
            jit_compile=False,
        )
        helpers = [*callbacks(model), EpochProgress(name, spec.epochs, self._progress)]
        model.fit(batches, epochs=spec.epochs, shuffle=False, callbacks=helpers, verbose=0)

    def _inputs(self, samples: data.Samples) -> list[Array]:
        return [samples.inputs[name] for name in self._names]

    def _measured(self, name: str, epochs: int, seconds: float) -> Stage:
        """The model as it is now, on the validation split."""
        samples = data.load(self._dataset, "validation")
        assert samples.labels is not None  # checked at the start
        batches = Batches(input_structure(self.model), self._inputs(samples), None, self._plan.batch_size)
        outputs = keras.tree.flatten(self.model.predict(batches, verbose=0))[0]
        value = self._metric.value(self._metric.per_sample(np.asarray(outputs), samples.labels))
        zeros, size, count = sparsity(self.model), weight_bytes(self.model), parameters(self.model)
        return Stage(name, value, size, count, zeros, epochs, seconds, self._notes())

    def _notes(self) -> tuple[str, ...]:
        clustered, values = most_values(self.model)
        kind = "int8 numbers" if self._int8 else "values"
        total = len(prunable_kernels(self.model))
        return (f"{clustered} of {total} kernels have at most {values} different {kind} each",) if clustered else ()


def _repeatable(seed: int) -> None:
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
