"""The channels of a model that can be removed, in groups, and the model without some of them.

A channel is everything that goes with it: the filter that makes it, its batch normalization, the filters that a sum or
a gate couples to it, and the entries of all kernels that read it. Channels that are in the same layers form a group.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from edgeship.compress.channels.coupling import Coupling, Slice, couple, layer_key
from edgeship.compress.graph.model import Graph, Step, build, read, unique_names
from edgeship.types import Array


@dataclass(frozen=True, eq=False)
class Member:
    """A slice that channels of a group are in.

    Attributes:
        places: (channels of the group, entries of a channel): positions along the slice's axis. A channel has several
            where a tensor was flattened (one for each spatial position), or where groups of a convolution go together.
    """

    slice: Slice
    places: Array


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that are in the same layers, in the order in which the first of them makes them.

    Attributes:
        name: the layers that make them, joined by `+`; no other group has it.
        size: how many channels there are.
    """

    name: str
    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, eq=False)
class Channels:
    """What can be removed from a model.

    Attributes:
        graph: the model; names of its steps are unique.
        groups: in order of execution.
        kept: layers that keep all, or some, of their channels -> why.
    """

    graph: Graph
    groups: tuple[Group, ...]
    kept: Mapping[str, str]

    def without(self, removed: Mapping[str, Array]) -> keras.Model:
        """The model without some channels.

        Args:
            removed: name of a group -> numbers of its channels that go; at least one must stay in each group.
        """
        gone: dict[int, list[Array]] = defaultdict(list)
        slices: dict[int, Slice] = {}
        for group in self.groups:
            if len(removed.get(group.name, ())):
                for member in group.members:
                    gone[id(member.slice)].append(member.places[removed[group.name]].ravel())
                    slices[id(member.slice)] = member.slice
        changes: dict[object, list[tuple[Slice, Array]]] = defaultdict(list)
        for number, parts in gone.items():
            changes[slices[number].layer].append((slices[number], np.concatenate(parts)))
        steps = (_without(step, changes[layer_key(step)]) for step in self.graph.steps)
        return build(self.graph.with_steps(steps))


def find(model: keras.Model) -> Channels:
    """The channels of a functional or Sequential model. Raises UnsupportedModelError where it cannot be read."""
    graph = unique_names(read(model))
    coupling = couple(graph)
    return Channels(graph, _groups(coupling), _kept(coupling))


def _groups(coupling: Coupling) -> tuple[Group, ...]:
    """Channels by the slices that they are in, and how often."""
    found: dict[int, Counter[int]] = defaultdict(Counter)
    for number, part in enumerate(coupling.slices):
        for channel in part.channels.tolist():
            if channel not in coupling.held:
                found[channel][number] += 1
    alike: dict[frozenset[tuple[int, int]], list[int]] = defaultdict(list)
    for channel in sorted(found):
        alike[frozenset(found[channel].items())].append(channel)
    names: Counter[str] = Counter()
    groups = []
    for signature, channels in alike.items():
        slices = [coupling.slices[number] for number, _ in sorted(signature)]
        members = tuple(Member(part, _places(part, channels)) for part in slices)
        name = "+".join(part.name for part in slices if part.role == "makes")
        names[name] += 1
        unique = name if names[name] == 1 else f"{name}#{names[name]}"
        groups.append(Group(unique, len(channels), members))
    return tuple(groups)


def _places(part: Slice, channels: list[int]) -> Array:
    """Where each of the (sorted) channels is along the slice; each is there equally often."""
    order = np.argsort(part.channels, kind="stable")
    inside = order[np.isin(part.channels[order], channels)]
    return inside.reshape(len(channels), -1)


def _kept(coupling: Coupling) -> dict[str, str]:
    kept: dict[str, str] = {}
    for part in coupling.slices:
        reason = next((coupling.held[c] for c in part.channels.tolist() if c in coupling.held), None)
        if part.role == "makes" and reason is not None:
            kept.setdefault(part.name, reason)
    return kept


def _without(step: Step, changes: list[tuple[Slice, Array]]) -> Step:
    """A step without the entries at these places."""
    weights, config = list(step.weights), dict(step.config)
    for part, places in changes:
        if isinstance(part.where, int):
            weights[part.where] = np.delete(weights[part.where], places, axis=part.axis)
        else:
            config[part.where] = _counted(config[part.where], len(part.channels) - len(places))
    return replace(step, weights=tuple(weights), config=config)


def _counted(setting: Any, count: int) -> Any:
    """A number of channels in the settings: the number itself, or the end of a shape that states it."""
    if isinstance(setting, int):
        return count
    return (*setting[:-1], count)
