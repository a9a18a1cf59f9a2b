"""The stage `prune-channels`: residual branches go, then channels, in rounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import keras

from edgeship.compress.channels.blocks import branches, prune_blocks
from edgeship.compress.channels.importance import taylor
from edgeship.compress.channels.latency import Latency
from edgeship.compress.channels.pruning import prune_channels
from edgeship.compress.context import Context
from edgeship.compress.finish import finalize
from edgeship.compress.graph.macs import macs
from edgeship.compress.graph.model import read
from edgeship.compress.training import gentle
from edgeship.compress.weights.pruning import clone
from edgeship.errors import InputError, UnsupportedModelError
from edgeship.recipe import PruneChannels

#: Training batches from which scores of channels and branches are taken.
_SCORED_BATCHES = 32
#: Training steps after which models without a branch are compared.
_TRIED_STEPS = 256
#: LiteRT 2.3 aborts at a residual branch in int8 with a single channel inside.
_FEWEST_CHANNELS = 2


def run_prune_channels(model: keras.Model, spec: PruneChannels, context: Context) -> keras.Model:
    """Take branches and channels away and train, in as many rounds as asked for."""
    with ExitStack() as stack:
        cost = macs if spec.budget == "macs" else stack.enter_context(Latency(model, context)).share
        whole = cost(model)
        model = _shortened(model, spec, context, cost)
        # Says at once, and by the whole model, what cannot be reached.
        multiple_of = _multiple(model, spec.share * whole / cost(model), spec, cost)
        if multiple_of < spec.multiple_of:
            context.notes.append(
                f"channels in multiples of {multiple_of} instead of {spec.multiple_of}, with which {spec.share:.0%} of "
                "the budget cannot be reached: runtimes may save less time than that"
            )
        for part in spec.in_rounds():
            left = part.share * whole / cost(model)
            if left < 1:  # else what went before was enough
                importance = _importance(model, part, context)
                model = _pruned(model, left, spec, cost, importance=importance, multiple_of=multiple_of)
            context.fit(model, part)
            model = finalize(model)
    return model


def _shortened(
    model: keras.Model, spec: PruneChannels, context: Context, cost: Callable[[keras.Model], float]
) -> keras.Model:
    """Without as many residual branches as were asked for and are there; notes what a person would not expect."""
    blocks, steps = min(spec.blocks, len(branches(read(model)))), 0
    if blocks < spec.blocks:
        there = f"only {blocks} of {spec.blocks} residual branches" if blocks else "no residual branch"
        context.notes.append(f"{there} to remove: channels have to save the rest")
    if not blocks:
        return model

    def loss(shorter: keras.Model) -> float:
        nonlocal steps
        steps += _TRIED_STEPS + _SCORED_BATCHES
        return _loss_after_a_while(shorter, spec, context)

    shortened = prune_blocks(model, blocks, loss, cost=None if spec.budget == "macs" else cost)
    epochs = steps / len(context.batches(model, "train"))
    context.notes.append(f"comparing residual branches took {steps:,} more training steps, {epochs:.1f} epochs")
    return shortened


def _multiple(model: keras.Model, left: float, spec: PruneChannels, cost: Callable[[keras.Model], float]) -> int:
    """What numbers of channels are a multiple of: of what was asked for, halved until the budget can be reached."""
    multiple_of = spec.multiple_of
    while left < 1:
        try:
            _pruned(model, left, spec, cost, multiple_of=multiple_of)
        except InputError:
            if multiple_of == 1:
                raise
            multiple_of //= 2
        else:
            break
    return multiple_of


def _pruned(
    model: keras.Model, left: float, spec: PruneChannels, cost: Callable[[keras.Model], float], **settings: Any
) -> keras.Model:
    """MACs are counted without making models of all candidates."""
    price = None if spec.budget == "macs" else cost
    return prune_channels(model, left, cost=price, min_channels=_FEWEST_CHANNELS, **settings)


def _loss_after_a_while(model: keras.Model, spec: PruneChannels, context: Context) -> float:
    """Mean training loss at the end of some steps: how a network recovers says more than how it was cut."""
    tried = clone(model)
    # Not with SGD: after so few steps the loss tells more of its momentum than of the model.
    rate = gentle(spec).learning_rate
    tried.compile(keras.optimizers.Adam(rate), context.loss(tried), jit_compile=False)
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
