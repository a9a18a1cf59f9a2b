"""Runs the stages of a recipe on a loaded model, measured after each.

A method is one file with a function on Keras models, its settings in `edgeship.recipe.stages`, and a line in
`METHODS`: (model, settings, context) -> the model after the stage, plain and with its promises kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras

from edgeship import references
from edgeship.compress import tfmot
from edgeship.compress.blocks import branches, prune_blocks
from edgeship.compress.budgets import in_fours
from edgeship.compress.clustering import cluster, most_values
from edgeship.compress.context import Context, repeatable
from edgeship.compress.entropy import carried_bits
from edgeship.compress.equalize import equalize
from edgeship.compress.finish import finalize
from edgeship.compress.graph import read
from edgeship.compress.importance import taylor
from edgeship.compress.kernels import parameters, prunable_kernels, sparsity
from edgeship.compress.lowrank import factorize
from edgeship.compress.macs import macs
from edgeship.compress.pruning import clone, prune
from edgeship.compress.quantize import quantize_aware
from edgeship.compress.structured import prune_channels
from edgeship.compress.students import narrow
from edgeship.compress.training import weight_bytes
from edgeship.errors import RecipeError, UnsupportedModelError
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

#: Training batches from which scores of channels and branches are taken.
_SCORED_BATCHES = 32
#: Training steps after which models without a branch are compared.
_TRIED_STEPS = 256


def _prune(model: keras.Model, spec: Prune, context: Context) -> keras.Model:
    if spec.backend == "tfmot":
        return tfmot.prune(model, spec, context)
    pruned = prune(
        model,
        spec.sparsity,
        schedule=spec.schedule,
        ramp=spec.ramp,
        pattern=spec.pattern,
        scope=spec.scope,
        per_layer=spec.layers,
    )
    context.fit(pruned, spec)
    return finalize(pruned)


def _prune_channels(model: keras.Model, spec: PruneChannels, context: Context) -> keras.Model:
    whole = macs(model)
    blocks = min(spec.blocks, len(branches(read(model))))
    if blocks:
        model = prune_blocks(model, blocks, lambda shorter: _loss_after_a_while(shorter, spec, context))
    if spec.macs * whole < macs(model):
        # Says at once, and by the whole model, what cannot be reached.
        prune_channels(model, spec.macs * whole / macs(model), multiple_of=spec.multiple_of)
    for part in spec.in_rounds():
        left = part.macs * whole / macs(model)
        if left < 1:  # else what went before was enough
            importance = _importance(model, part, context)
            model = prune_channels(model, left, importance=importance, multiple_of=part.multiple_of)
        context.fit(model, part)
        model = finalize(model)
    return model


def _loss_after_a_while(model: keras.Model, spec: PruneChannels, context: Context) -> float:
    """Mean training loss at the end of some steps: how a network recovers says more than how it was cut."""
    tried = clone(model)
    tried.compile(keras.optimizers.Adam(spec.learning_rate), context.loss(tried), jit_compile=False)
    tried.fit(_few(tried, context, _TRIED_STEPS), steps_per_epoch=_TRIED_STEPS, shuffle=False, verbose=0)
    # Not evaluated: the moving statistics of batch normalization are still nearly those of the uncut model.
    last = _few(tried, context, _SCORED_BATCHES)
    history = tried.fit(last, steps_per_epoch=_SCORED_BATCHES, shuffle=False, verbose=0).history
    return float(history["loss"][-1])


def _few(model: keras.Model, context: Context, count: int) -> Iterator[Any]:
    """So many training batches, from the first again where there are fewer."""
    batches = context.batches(model, "train")
    return (batches[number % len(batches)] for number in range(count))


def _importance(model: keras.Model, spec: PruneChannels, context: Context) -> Any:
    if spec.importance != "taylor":
        return spec.importance
    if len(model.outputs) > 1:
        raise UnsupportedModelError(
            f"prune-channels: {model.name} has several outputs, labels belong to the first",
            remedy="Use importance l1, which asks no labels.",
        )
    return taylor(model, _few(model, context, _SCORED_BATCHES), context.loss(model))


def _factorize(model: keras.Model, spec: Factorize, context: Context) -> keras.Model:
    calibration = context.calibration(model)
    if spec.share < 1:
        small = factorize(model, share=spec.share, budget=spec.budget, calibration=calibration, seed=context.seed)
    else:
        small = factorize(model, energy=spec.energy, calibration=calibration, seed=context.seed)
    context.fit(small, spec)
    return finalize(small)


def _cluster(model: keras.Model, spec: Cluster, context: Context) -> keras.Model:
    if spec.backend == "tfmot":
        return tfmot.cluster(model, spec, context)
    clustered = cluster(model, spec.clusters, per_channel=context.int8)
    context.fit(clustered, spec)
    return finalize(clustered)


def _distil(model: keras.Model, spec: Distil, context: Context) -> keras.Model:
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


def _equalize(model: keras.Model, spec: Equalize, context: Context) -> keras.Model:
    return equalize(model, context.calibration(model), relu6_to_relu=spec.relu6 == "relu")


def _quantize_aware(model: keras.Model, spec: QuantizeAware, context: Context) -> keras.Model:
    if spec.backend == "tfmot":
        return tfmot.quantize_aware(model, spec, context)
    quantized = quantize_aware(model, context.calibration(model), bits=spec.bits)
    context.fit(quantized, spec)
    return finalize(quantized)


#: Settings of a stage -> what it does.
METHODS: Mapping[type[StageSpec], Callable[[keras.Model, Any, Context], keras.Model]] = {
    Prune: _prune,
    PruneChannels: _prune_channels,
    Factorize: _factorize,
    Cluster: _cluster,
    Distil: _distil,
    Equalize: _equalize,
    QuantizeAware: _quantize_aware,
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

    def run(self) -> Iterator[Stage]:
        """All stages in order, `model` being what each left; the first is the model as given."""
        base = self._measured("base", 0, 0.0)
        yield base
        for number, spec in enumerate(self._plan.stages):
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
        notes = [f"{clustered} of {total} kernels have at most {values} different {kind} each"] if clustered else []
        fours = in_fours(self.model)
        notes += [f"{fours} of {total} kernels have 2 zeros in every 4"] if fours else []
        bits = carried_bits(self.model)
        return (*notes, *([f"kernels carry {bits:.2f} bits a weight"] if bits is not None else []))
