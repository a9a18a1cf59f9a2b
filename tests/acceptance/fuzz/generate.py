"""`candidates(seed)`: random, valid, trained-looking models; the same seed gives the same ones. Needs Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import Any

from tests.acceptance.fuzz.catalogue import RULES
from tests.acceptance.fuzz.description import Description, Entry, InvalidModel, Node
from tests.acceptance.fuzz.draw import Draw
from tests.acceptance.fuzz.network import Network
from tests.acceptance.fuzz.rules.base import Rule, Settings, Shape
from tests.acceptance.fuzz.rules.core import VOCABULARY

#: How many layers each seed has to have; each block of seeds covers all of them.
WISHES = 3
#: What grows between them.
_FILLERS = ("Dense", "BatchNormalization", "ReLU", "Activation", "Add", "Concatenate", "Dropout", "LayerNormalization")
_IMAGE_FILLERS = ("Conv2D", "DepthwiseConv2D", "MaxPooling2D", "SeparableConv2D", "ZeroPadding2D", "BatchNormalization")
_ATTEMPTS, _TRIES = 30, 8
_MOST_ENTRIES, _MOST_OUTPUTS = 3, 3
#: The most numbers of a tensor that a dense layer may follow.
_MOST_DENSE = 96


def wishes(seed: int) -> list[str]:
    """The layers that the model of a seed is asked to have."""
    names = sorted(RULES)
    positions = range(WISHES * seed, WISHES * seed + WISHES)
    return [Draw(p // len(names), "wishes").shuffled(names)[p % len(names)] for p in positions]


def candidates(seed: int) -> Iterator[Description]:
    """The models of a seed: the first one that holds is taken. Raises InvalidModel after the last."""
    reason = ""
    for attempt in range(_ATTEMPTS):
        garden = _Garden(seed, attempt)
        try:
            found = garden.grow()
            garden.network.model(found)
        except InvalidModel as error:
            reason = str(error)
            continue
        yield _dynamic(garden, found)
    raise InvalidModel(f"seed {seed}: {reason}")


def _dynamic(garden: _Garden, found: Description) -> Description:
    """Now and then with axes of any size, where the layers allow it."""
    first = found.entries[0]
    spatial = tuple(range(len(first.shape) - 1))
    if not garden.draw.chance(0.08) or not spatial or len(found.entries) > 1:
        return found
    free = replace(found, entries=(replace(first, free=spatial),))
    try:
        garden.network.model(free)
    except InvalidModel:
        return found
    return free


class _Garden:
    """A network that grows at random."""

    def __init__(self, seed: int, attempt: int) -> None:
        self.draw = Draw(seed, "structure", str(attempt))
        self.network = Network(seed)
        self._seed = seed
        self._leaves: list[str] = []
        self._pixels: set[str] = set()
        self._ids: set[str] = set()
        self._count = 0

    def grow(self) -> Description:
        """A whole model."""
        draw = self.draw
        for wish in draw.shuffled(wishes(self._seed)):
            self._place(wish)
            for _ in range(draw.number(0, 2)):
                self._fill()
            if draw.chance(0.15):
                self._share()
        outputs = self._finish()
        nodes = self._grouped(outputs)
        entries = tuple(self.network.entries)
        chain = len(entries) == len(outputs) == 1 and _is_chain(entries[0].name, nodes)
        sequential = chain and not any(node.group for node in nodes) and draw.chance(0.6)
        return Description(self._seed, entries, nodes, outputs, sequential)

    # layers

    def _place(self, wish: str) -> None:
        """Call the layer on something that it takes; the first layer that is asked for, or InvalidModel."""
        for _ in range(_TRIES):
            if self._try(wish, own_entry=self.draw.chance(0.35)):
                return
        raise InvalidModel(f"no place for {wish}")

    def _fill(self) -> None:
        images = [leaf for leaf in self._leaves if len(self.network.shape(leaf)) == 3]
        name = self.draw.one(_IMAGE_FILLERS if images else _FILLERS)
        if self._floats(RULES[name].ranks):
            self._try(name, own_entry=False)

    def _try(self, name: str, *, own_entry: bool) -> bool:
        rule = RULES[name]
        start = self._start(rule, own_entry=own_entry)
        if start is None:
            return False
        settings = rule.settings(self.draw, self.network.shape(start))
        if settings is None:
            return False
        inputs = [start, *self._siblings(start, self.draw.number(*rule.alike) - 1)]
        return bool(self._call(rule.layer or name, settings, tuple(inputs), rule))

    def _call(self, layer: str, settings: Settings, inputs: tuple[str, ...], rule: Rule | None = None) -> str:
        """The name of what a new call gives; empty where it is not valid."""
        self._count += 1
        options: Mapping[str, Any] = rule.options(self.draw) if rule is not None else {}
        as_list = rule.as_list if rule is not None else len(inputs) > 1
        node = Node(f"{layer.lower()}_{self._count}", layer, settings, inputs, as_list, options)
        return self._grow_by(node, rule)

    def _grow_by(self, node: Node, rule: Rule | None) -> str:
        try:
            found = self.network.call(node)
        except InvalidModel:
            return ""
        self._leaves = [leaf for leaf in self._leaves if leaf not in node.inputs] + list(found)
        if rule is not None and rule.gives_ids:
            self._ids.update(found)
        if rule is not None and rule.takes == "pixels" and node.layer not in ("Rescaling", "Pipeline"):
            self._pixels.update(found)
        return found[0]

    def _share(self) -> None:
        """Call a layer with weights once more: on what it gave, or on a second input like the one it had."""
        alone = [n for n in self.network.nodes if len(n.inputs) == 1 and n.layer in _SHARED and not n.shares]
        if not alone:
            return
        node = self.draw.one(alone)
        start = node.inputs[0]
        if self.network.shape(node.name) == self.network.shape(start) and self.draw.chance(0.5):
            start = node.name
        else:
            first = next((e for e in self.network.entries if e.name == start), None)
            if first is None or len(self.network.entries) >= _MOST_ENTRIES:
                return
            start = self._enter(replace(first, name=f"input_{len(self.network.entries)}"))
        self._count += 1
        again = replace(node, name=f"{node.layer.lower()}_{self._count}", inputs=(start,), shares=node.name)
        self._grow_by(again, None)

    # what layers start from

    def _floats(self, ranks: tuple[int, ...]) -> list[str]:
        shapes = {name: self.network.shape(name) for name in self.network.values if name not in self._ids}
        return [name for name, shape in shapes.items() if len(shape) in ranks and name not in self._pixels]

    def _start(self, rule: Rule, *, own_entry: bool) -> str | None:
        """Something that a layer takes: there already, made for it, or brought to its rank."""
        room = len(self.network.entries) < _MOST_ENTRIES
        if rule.takes == "ids":
            there = sorted(self._ids - {name for node in self.network.nodes for name in node.inputs})
            there += [e.name for e in self.network.entries if e.values == "ids"]
        elif rule.takes == "pixels":
            there = sorted(self._pixels)
        else:
            there = [] if rule.values else self._floats(rule.ranks)
        if there and not (own_entry and room):
            fresh = [name for name in there if name in self._leaves]
            return self.draw.one(fresh or there)
        if room:
            return self._enter(_entry(self.draw, rule, f"input_{len(self.network.entries)}"))
        if rule.takes != "float" or rule.values:
            return None
        others = [leaf for leaf in self._leaves if leaf not in self._ids and leaf not in self._pixels]
        return self._to_rank(self.draw.one(others), self.draw.one(rule.ranks)) if others else None

    def _enter(self, entry: Entry) -> str:
        name = self.network.enter(entry)
        self._leaves.append(name)
        if entry.values == "ids":
            self._ids.add(name)
        if entry.values == "pixels":
            self._pixels.add(name)
        return name

    def _siblings(self, start: str, count: int) -> list[str]:
        """Others of the same shape: there already, or computed from the same, as residual branches are."""
        shape, found = self.network.shape(start), []
        alike = [n for n in self._floats((len(shape),)) if n != start and self.network.shape(n) == shape]
        for _ in range(count):
            if alike and self.draw.chance(0.4):
                found.append(alike.pop(self.draw.number(0, len(alike) - 1)))
                continue
            settings = {"units": shape[-1], "activation": self.draw.one(("relu", "tanh", "linear"))}
            made = self._call("Dense", settings, (start,))
            found.append(made or start)
        return found

    def _to_rank(self, name: str, rank: int) -> str | None:
        """A tensor of another rank from this one; None where that fails."""
        shape = self.network.shape(name)
        if len(shape) == rank:
            return name
        if rank == 1 and prod(shape) > _MOST_DENSE and len(shape) in (2, 3, 4):
            kind = self.draw.one(("Average", "Max"))
            return self._call(f"Global{kind}Pooling{len(shape) - 1}D", {}, (name,)) or None
        if rank == 1:
            return self._call("Flatten", {}, (name,)) or None
        if rank < len(shape):
            merged = [prod(shape[: len(shape) - rank + 1]), *shape[len(shape) - rank + 1 :]]
            return self._call("Reshape", {"target_shape": merged}, (name,)) or None
        flat = self._to_rank(name, 1)
        if flat is None:
            return None
        wanted = [*self.draw.numbers(rank - 1, 2, 4), self.draw.number(1, 4)]
        wide = self._call("Dense", {"units": prod(wanted)}, (flat,))
        return (wide and self._call("Reshape", {"target_shape": wanted}, (wide,))) or None

    # the end

    def _finish(self) -> tuple[str, ...]:
        """Every leaf becomes an output or part of one; returns the outputs."""
        for leaf in [leaf for leaf in self._leaves if leaf in self._ids]:
            if len(self.network.shape(leaf)) != 1 or not self._call(
                "Embedding", {"input_dim": VOCABULARY, "output_dim": 4}, (leaf,)
            ):
                raise InvalidModel("ids that nothing can follow")
        used = {name for node in self.network.nodes for name in node.inputs}
        leaves = [leaf for leaf in self._leaves if not leaf.endswith((":1", ":2"))]
        ends = []
        for leaf in leaves:
            whole = leaf not in used and self.draw.chance(0.35) and leaf not in {e.name for e in self.network.entries}
            ends.append(leaf if whole else self._head(leaf))
        while len(ends) > _MOST_OUTPUTS:
            heads = [self._head(end) for end in (ends.pop(), ends.pop())]
            joined = self._call("Concatenate", {}, tuple(heads))
            if not joined:
                raise InvalidModel("outputs that cannot be joined")
            ends.append(joined)
        if not ends:
            raise InvalidModel("no outputs")
        return tuple(ends)

    def _head(self, name: str) -> str:
        flat = self._to_rank(name, 1)
        head = {
            "units": self.draw.number(2, 7),
            "activation": self.draw.one(("softmax", "sigmoid", "linear", "linear")),
        }
        found = flat and self._call("Dense", head, (flat,))
        if not found:
            raise InvalidModel("no head")
        return found

    def _grouped(self, outputs: tuple[str, ...]) -> tuple[Node, ...]:
        """The nodes, some of them as a model within the model."""
        nodes = self.network.nodes
        if len(nodes) < 4 or any(node.shares for node in nodes) or not self.draw.chance(0.2):
            return tuple(nodes)
        first = self.draw.number(0, len(nodes) - 3)
        last = self.draw.number(first + 1, len(nodes) - 1)
        return tuple(replace(n, group="inner") if first <= i <= last else n for i, n in enumerate(nodes))


#: Layers that are called twice now and then.
_SHARED = ("Dense", "Conv1D", "Conv2D", "DepthwiseConv2D", "LSTM", "GRU", "Embedding", "BatchNormalization")


def _is_chain(start: str, nodes: tuple[Node, ...]) -> bool:
    before = [start, *(node.name for node in nodes)]
    plain = (not node.as_list and not node.options and not node.shares for node in nodes)
    linked = (node.inputs == (name,) for node, name in zip(nodes, before, strict=False))
    states = any(node.settings.get("return_state") for node in nodes)
    return all(plain) and all(linked) and not states


def _entry(draw: Draw, rule: Rule, name: str) -> Entry:
    """An input that a layer takes."""
    if rule.takes == "ids":
        shape: Shape = (draw.one((1, 1, 3, 5, 8)),)
        return Entry(name, shape, draw.one(("int32", "int64")), "ids", VOCABULARY)
    if rule.takes == "pixels":
        shape = (draw.number(5, 14), draw.number(5, 14), 3)
        return Entry(name, shape, draw.one(("float32", "float32", "float32", "uint8")), "pixels")
    rank = draw.one(rule.ranks)
    if rule.values == "signal":
        shape = (draw.number(48, 96),) if rank == 1 else (draw.number(24, 64), draw.number(1, 2))
    else:
        longest = {1: 24, 2: 20, 3: 14, 4: 6, 5: 4}[rank]
        shape = (*(draw.number(min(3, longest - 1), longest) for _ in range(rank - 1)), draw.number(1, 6))
        shape = (draw.number(2, longest),) if rank == 1 else shape
    values = rule.values or draw.one(("normal", "normal", "unit"))
    return Entry(name, shape, "float32", values)
