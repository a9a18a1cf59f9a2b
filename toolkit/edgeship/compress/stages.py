"""Runs the stages of a recipe on a loaded model, measured after each.

A method is a package with its functions on Keras models and, in its `stage.py`, one of the contract of `Method`; its
settings are in `edgeship.recipe.stages`, and `METHODS` brings both together.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import keras

from edgeship.compress.channels.stage import run_prune_channels
from edgeship.compress.context import Context, repeatable
from edgeship.compress.distill.stage import run_distil
from edgeship.compress.graph.kernels import parameters, prunable_kernels, sparsity
from edgeship.compress.graph.macs import macs
from edgeship.compress.lowrank.stage import run_factorize
from edgeship.compress.quantize.entropy import carried_bits
from edgeship.compress.quantize.stage import run_equalize, run_quantize_aware
from edgeship.compress.tfmot import backend as tfmot
from edgeship.compress.training import weight_bytes
from edgeship.compress.weights.budgets import in_fours
from edgeship.compress.weights.clustering import most_values
from edgeship.compress.weights.stage import run_cluster, run_prune
from edgeship.errors import UnsupportedModelError
from edgeship.recipe import (
    Cluster,
    Distil,
    Equalize,
    Factorize,
    Prune,
    PruneChannels,
    QuantizeAware,
    Recipe,
    StageSpec,
    Training,
)
from edgeship.types import Dataset, ProgressCallback, Source, Stage


class Method(Protocol):
    """What a stage does to a model."""

    def __call__(self, model: keras.Model, spec: Any, context: Context) -> keras.Model:
        """The model after the stage, plain and with its promises kept; `spec` is the stage's settings."""


#: Settings of a stage -> what it does.
METHODS: Mapping[type[StageSpec], Method] = {
    Prune: run_prune,
    PruneChannels: run_prune_channels,
    Factorize: run_factorize,
    Cluster: run_cluster,
    Distil: run_distil,
    Equalize: run_equalize,
    QuantizeAware: run_quantize_aware,
}


class Runner:
    """One recipe on one model. `model` is what the stages made of it so far."""

    def __init__(
        self, source: Source, dataset: Dataset, plan: Recipe, metric: str | None, progress: ProgressCallback
    ) -> None:
        if any(getattr(spec, "backend", "native") == "tfmot" for spec in plan.stages):
            tfmot.import_tfmot()  # said before anything trains
        self._context = Context(source, dataset, plan, metric, progress)
        self._plan = plan
        repeatable(plan.seed)
        self.model = self._context.original()

    def run(self, done: Sequence[Stage] = (), end: int | None = None) -> Iterator[Stage]:
        """Stages in order, `model` being what each left; the first is the model as given.

        Args:
            done: what this gave before; it goes on there, and `model` is what the last of them left.
            end: how many stages of the recipe there are in the end; None: all.
        """
        base = done[0] if done else self._measured("base", 0, 0.0)
        if not done:
            yield base
        for number, spec in [*enumerate(self._plan.stages[:end])][max(0, len(done) - 1) :]:
            self._context.start(number)
            start = time.monotonic()
            self.model = METHODS[type(spec)](self.model, spec, self._context)
            epochs = spec.epochs if isinstance(spec, Training) else 0
            stage = self._measured(spec.word, epochs, time.monotonic() - start)
            if isinstance(spec, Distil) and spec.student != "self":
                self._context.check_student(self.model, base, stage)
            yield stage

    def _measured(self, name: str, epochs: int, seconds: float) -> Stage:
        """The model as it is now, on the validation split."""
        value = self._context.validate(self.model)
        zeros, size, count = sparsity(self.model), weight_bytes(self.model), parameters(self.model)
        operations, uncounted = self._macs()
        return Stage(name, value, size, count, zeros, epochs, seconds, (*self._notes(), *uncounted), operations)

    def _macs(self) -> tuple[int | None, tuple[str, ...]]:
        try:
            return macs(self.model), ()
        except UnsupportedModelError as error:
            return None, (error.message,)

    def _notes(self) -> tuple[str, ...]:
        clustered, values = most_values(self.model)
        kind = "int8 numbers" if self._context.int8 else "values"
        total = len(prunable_kernels(self.model))
        notes = [*self._context.notes]
        notes += [f"{clustered} of {total} kernels have at most {values} different {kind} each"] if clustered else []
        fours = in_fours(self.model)
        notes += [f"{fours} of {total} kernels have 2 zeros in every 4"] if fours else []
        bits = carried_bits(self.model)
        return (*notes, *([f"kernels carry {bits:.2f} bits a weight"] if bits is not None else []))
