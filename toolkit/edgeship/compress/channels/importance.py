"""How much a model would miss each of its channels: three measures, comparable across groups of channels.

Magnitudes say nothing across layers. They are taken relative to the channels of the same group that are not smaller,
as LAMP does for single weights (arXiv 2010.07611, eq. 4): the last channels of a group become dear. Taylor scores are
changes of the loss, which compare as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import keras
import numpy as np
from keras import layers

from edgeship.compress.channels.coupling import layer_key
from edgeship.compress.channels.groups import Channels, Group, Member, find
from edgeship.compress.graph.model import Step, build
from edgeship.errors import DataError, InputError
from edgeship.types import Array

#: Name of a group -> importance of each of its channels, at least 0.
Scores = Mapping[str, Array]
Measure = Literal["l1", "bn"]
_Weights = Mapping[object, tuple[Array, ...]]


def scores(channels: Channels, measure: Measure | Scores) -> Scores:
    """Importance by weights alone, or `measure` itself where it is scores already.

    Args:
        channels: of a model.
        measure: `l1`: sums of the magnitudes of all kernels that a channel is in, each relative to the kernel's mean
            (arXiv 1608.08710, for coupled layers). `bn`: |gamma| of the batch normalization after it (arXiv
            1708.06519); `l1` for groups without one.

    Raises:
        InputError: unknown measure, no batch normalization for `bn`, or scores of another model.
    """
    if isinstance(measure, Mapping):
        return _checked(channels, measure)
    if measure not in ("l1", "bn"):
        raise InputError(
            f"importance is {measure!r}", remedy="Allowed: l1, bn, or what edgeship.taylor(model, batches) returned."
        )
    weights = {layer_key(step): step.weights for step in channels.graph.steps}
    found = {group.name: _magnitudes(group, weights) for group in channels.groups}
    if measure == "bn":
        gammas = {group.name: _gammas(group, channels.graph.steps) for group in channels.groups}
        if all(values is None for values in gammas.values()):
            raise InputError(
                f"{channels.graph.name} has no batch normalization with a scale after its channels",
                remedy="Use importance l1 or taylor.",
            )
        found |= {name: values for name, values in gammas.items() if values is not None}
    # Whoever is in more kernels is missed in more.
    return {group.name: _relative(found[group.name]) * len(_kernels(group, weights)) for group in channels.groups}


def taylor(model: keras.Model, batches: Iterable[Any], loss: Callable[[Any, Any], Any] | None = None) -> Scores:
    """First-order change of the loss when a channel goes: the mean over batches of (sum of gradient x weight)^2.

    This is arXiv 1906.10771, eq. 8 and section 3.2: summed over the weights that read the channel it is the
    derivative by a gate on the channel, whatever normalization and activation lie between.

    Args:
        model: functional or Sequential; it is not changed.
        batches: (inputs, targets) as `fit` takes them, some dozens with a few hundred samples in all. All are read.
        loss: of (targets, outputs). None: the one that the model was compiled with.

    Returns:
        Name of a group of channels -> scores, for `prune_channels(model, importance=...)`.

    Raises:
        DataError: no batches, or gradients that are not finite.
        InputError: neither a loss nor a compiled model.
        UnsupportedModelError: the model cannot be read.
    """
    if loss is None and not getattr(model, "compiled", False):
        raise InputError(f"{model.name} is not compiled", remedy="Compile it, or give loss=.")
    channels = find(model)
    copy = build(channels.graph)
    variables = _read_kernels(copy, channels)
    totals = {group.name: np.zeros(group.size) for group in channels.groups}
    count = 0
    for inputs, targets in batches:
        count += 1
        products = _products(copy, variables, inputs, lambda out, x=inputs, y=targets: _loss(model, loss, x, y, out))
        for group in channels.groups:
            totals[group.name] += np.square(sum(_by_channel(products, member) for member in _reading(group)))
    if not count:
        raise DataError("there are no batches", remedy="Give some dozens of batches of training samples.")
    result = {name: total / count for name, total in totals.items()}
    if not all(np.all(np.isfinite(values)) for values in result.values()):
        raise DataError(f"the loss of {model.name} has gradients that are not finite on these batches")
    return result


def _loss(model: keras.Model, loss: Callable[[Any, Any], Any] | None, x: Any, y: Any, outputs: Any) -> Any:
    return model.compute_loss(x=x, y=y, y_pred=outputs, training=False) if loss is None else loss(y, outputs)


def _products(copy: keras.Model, variables: Mapping[tuple[object, int], Any], inputs: Any, loss: Any) -> Any:
    """Gradient x weight of each kernel that reads channels, with the statistics of inference."""
    import tensorflow as tf

    chosen = [variable.value for variable in variables.values()]
    with tf.GradientTape() as tape:
        value = tf.reduce_mean(loss(copy(inputs, training=False)))
    gradients = tape.gradient(value, chosen, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    pairs = zip(variables, gradients, chosen, strict=True)
    return {key: np.asarray(gradient, np.float64) * np.asarray(weight) for key, gradient, weight in pairs}


def _reading(group: Group) -> list[Member]:
    return [member for member in group.members if member.slice.role == "takes"]


def _read_kernels(copy: keras.Model, channels: Channels) -> dict[tuple[object, int], Any]:
    """The variables of all slices that read channels."""
    places = {(m.slice.layer, int(m.slice.where)): m.slice.name for group in channels.groups for m in _reading(group)}
    return {place: copy.get_layer(name).weights[place[1]] for place, name in places.items()}


def _by_channel(arrays: Mapping[tuple[object, int], Array], member: Member) -> Array:
    """Sums of an array over all entries of each channel of a group."""
    values = arrays[member.slice.layer, int(member.slice.where)]
    along = np.moveaxis(values, member.slice.axis, 0)
    sums: Array = along.reshape(len(along), -1).sum(axis=1)[member.places].sum(axis=1)
    return sums


def _kernels(group: Group, weights: _Weights) -> list[Member]:
    """The members whose slices are of kernels."""
    return [
        member
        for member in group.members
        if isinstance(member.slice.where, int) and weights[member.slice.layer][member.slice.where].ndim > 1
    ]


def _magnitudes(group: Group, weights: _Weights) -> Array:
    total = np.zeros(group.size)
    for member in _kernels(group, weights):
        where = int(member.slice.where)
        sizes = _by_channel({(member.slice.layer, where): np.abs(weights[member.slice.layer][where])}, member)
        total += sizes / max(float(sizes.mean()), np.finfo(np.float32).tiny)
    return total


def _gammas(group: Group, steps: tuple[Step, ...]) -> Array | None:
    """Sum of |gamma| of the group's batch normalizations, each relative to its mean; None without any."""
    norms = {layer_key(step): step for step in steps if step.is_a(layers.BatchNormalization) and step.config["scale"]}
    found = [member for member in group.members if member.slice.layer in norms and member.slice.where == 0]
    if not found:
        return None
    sizes = [np.abs(norms[member.slice.layer].weights[0])[member.places].sum(axis=1) for member in found]
    total: Array = np.sum([size / max(float(size.mean()), np.finfo(np.float32).tiny) for size in sizes], axis=0)
    return total


def _relative(values: Array) -> Array:
    """Each value as a share of the sum of all that are not smaller (arXiv 2010.07611, eq. 4)."""
    order = np.argsort(values, kind="stable")
    larger = np.cumsum(values[order][::-1])[::-1]
    result = np.empty(len(values))
    result[order] = values[order] / np.maximum(larger, np.finfo(np.float64).tiny)
    return result


def _checked(channels: Channels, given: Scores) -> Scores:
    found = {name: np.asarray(values, np.float64) for name, values in given.items()}
    fits = set(found) == {group.name for group in channels.groups} and all(
        found[group.name].shape == (group.size,) for group in channels.groups
    )
    if not fits or not all(np.all(values >= 0) and np.all(np.isfinite(values)) for values in found.values()):
        raise InputError(
            f"the scores are not those of the channels of {channels.graph.name}",
            remedy="Call edgeship.taylor on this very model; after pruning, call it again.",
        )
    return found
