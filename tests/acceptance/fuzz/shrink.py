"""A failing model made as small as it can be while it still fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.acceptance.fuzz.description import Description, Entry, Node

Fails = Callable[[Description], bool]


def shrink(description: Description, fails: Fails, limit: int = 200) -> Description:
    """The smallest description found for which `fails` holds, as it does for the one given.

    Greedy: the first simplification that still fails is taken, until none is left or `limit` have been tried.
    """
    tried, found = 0, True
    seen: set[str] = set()
    while found and tried < limit:
        found = False
        for candidate in simpler(description):
            if repr(candidate) in seen:
                continue
            seen.add(repr(candidate))
            tried += 1
            if fails(candidate):
                description, found = candidate, True
                break
            if tried >= limit:
                break
    return description


def kind(status: str, message: str) -> str:
    """What two failures have in common that are the same: numbers and paths do not count."""
    plain = re.sub(r"[0-9.]+(e-?[0-9]+)?", "#", re.sub(r"/\S+", "PATH", message))
    return f"{status}: {plain[:80]}"


def simpler(description: Description) -> Iterator[Description]:
    """Descriptions with less in them, those with much less first."""
    yield from _fewer_outputs(description)
    yield from _earlier_outputs(description)
    yield from _bypassed(description)
    yield from _plainer_structure(description)
    yield from _plainer_settings(description)
    yield from _smaller_entries(description)


def pruned(description: Description) -> Description:
    """Without the nodes and inputs on which no output depends."""
    needed = {name.split(":")[0] for name in description.outputs}
    nodes: list[Node] = []
    for node in reversed(description.nodes):
        if node.name in needed:
            nodes.insert(0, node)
            needed |= {name.split(":")[0] for name in node.inputs} | ({node.shares} if node.shares else set())
    kept = tuple(entry for entry in description.entries if entry.name in needed)
    return replace(description, entries=kept, nodes=tuple(nodes))


def _fewer_outputs(description: Description) -> Iterator[Description]:
    for output in description.outputs if len(description.outputs) > 1 else ():
        yield pruned(replace(description, outputs=(output,)))


def _earlier_outputs(description: Description) -> Iterator[Description]:
    """Each node's result as the only output: what comes after it goes."""
    for node in description.nodes:
        if (node.name,) != description.outputs:
            yield pruned(replace(description, outputs=(node.name,)))


def _bypassed(description: Description) -> Iterator[Description]:
    """Without one node: what came after it takes one of its inputs, or an input of the model that is new."""
    for node in description.nodes:
        if node.name in {other.shares for other in description.nodes}:
            continue
        for start in node.inputs:
            yield _without(description, node, start)


def _without(description: Description, node: Node, start: str) -> Description:
    names = {node.name: start}
    nodes = tuple(
        replace(other, inputs=tuple(names.get(name, name) for name in other.inputs))
        for other in description.nodes
        if other is not node
    )
    outputs = tuple(names.get(name, name) for name in description.outputs)
    return pruned(replace(description, nodes=nodes, outputs=outputs))


def _plainer_structure(description: Description) -> Iterator[Description]:
    if description.sequential:
        yield replace(description, sequential=False)
    if any(node.group for node in description.nodes):
        yield replace(description, nodes=tuple(replace(node, group="") for node in description.nodes))
    for position, node in enumerate(description.nodes):
        if node.shares:
            own = next(other.settings for other in description.nodes if other.name == node.shares)
            yield _with_node(description, position, replace(node, shares="", settings=own))
        if node.options:
            yield _with_node(description, position, replace(node, options={}))
        if len(node.inputs) > 2:
            yield pruned(_with_node(description, position, replace(node, inputs=node.inputs[:2])))


def _plainer_settings(description: Description) -> Iterator[Description]:
    """One setting less, or a smaller number in one."""
    for position, node in enumerate(description.nodes):
        for key, value in node.settings.items():
            rest = {other: v for other, v in node.settings.items() if other != key}
            yield _with_node(description, position, replace(node, settings=rest))
            for smaller in _smaller(value):
                yield _with_node(description, position, replace(node, settings={**node.settings, key: smaller}))


def _smaller(value: Any) -> Iterator[Any]:
    if isinstance(value, bool) or not isinstance(value, int | list | tuple):
        return
    if isinstance(value, int):
        yield from (v for v in (1, value // 2, value - 1) if 0 < v < value)
        return
    for position, item in enumerate(value):
        for smaller in _smaller(item):
            yield [*value[:position], smaller, *value[position + 1 :]]


def _smaller_entries(description: Description) -> Iterator[Description]:
    for position, entry in enumerate(description.entries):
        for simple in _simpler_entries(entry):
            entries = (*description.entries[:position], simple, *description.entries[position + 1 :])
            yield replace(description, entries=entries)


def _simpler_entries(entry: Entry) -> Iterator[Entry]:
    if entry.free:
        yield replace(entry, free=())
    if entry.values in ("unit", "padded", "signal"):
        yield replace(entry, values="normal")
    for smaller in _smaller(list(entry.shape)):
        yield replace(entry, shape=tuple(smaller))


def _with_node(description: Description, position: int, node: Node) -> Description:
    nodes = (*description.nodes[:position], node, *description.nodes[position + 1 :])
    return replace(description, nodes=nodes)
