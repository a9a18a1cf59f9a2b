"""The stage `prune-channels`: residual branches go, then channels, in rounds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras

from edgeship.compress.channels.blocks import branches, prune_blocks
from edgeship.compress.channels.importance import taylor
from edgeship.compress.channels.pruning import prune_channels
from edgeship.compress.context import Context
from edgeship.compress.finish import finalize
from edgeship.compress.graph.macs import macs
from edgeship.compress.graph.model import read
from edgeship.compress.weights.pruning import clone
from edgeship.errors import UnsupportedModelError
from edgeship.recipe import PruneChannels

#: Training batches from which scores of channels and branches are taken.
_SCORED_BATCHES = 32
#: Training steps after which models without a branch are compared.
_TRIED_STEPS = 256


def run_prune_channels(model: keras.Model, spec: PruneChannels, context: Context) -> keras.Model:
    """Take branches and channels away and train, in as many rounds as asked for."""
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
