"""A small mutable graph that the TF.js passes rewrite: nodes, constants as arrays, consumers kept up to date.

A tensor is named by its node (`conv`) or, for an output other than the first, `node:1`. Constants are no nodes: they
live in `Graph.constants` under their name. Attributes are plain Python values; dtypes are their names in TensorFlow's
protocol buffers (`DT_FLOAT`), shapes are tuples with None for a dynamic axis, or None for an unknown rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgeship.errors import EdgeshipError

if TYPE_CHECKING:
    from edgeship.types import Array

Shape = tuple[int | None, ...]


@dataclass
class Node:
    """One operation. `inputs` are tensor names; assign through `Graph.set_inputs` only."""

    name: str
    op: str
    inputs: tuple[str, ...]
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TensorType:
    """What is known of a tensor before running."""

    shape: Shape | None
    dtype: str


def node_of(tensor: str) -> str:
    """Name of the node that gives a tensor."""
    return tensor.partition(":")[0]


class Graph:
    """The graph of one model.

    Attributes:
        nodes: by name; not ordered, see `ordered`.
        constants: name -> array.
        types: tensor -> type, for every tensor that is used.
        inputs: placeholder names in the model's order.
        outputs: output name -> tensor, in the model's order.
    """

    def __init__(self, inputs: Sequence[str], outputs: Mapping[str, str]) -> None:
        self.nodes: dict[str, Node] = {}
        self.constants: dict[str, Array] = {}
        self.types: dict[str, TensorType] = {}
        self.inputs = tuple(inputs)
        self.outputs = dict(outputs)
        self._consumers: dict[str, dict[str, None]] = {}

    def add(self, node: Node, *types: TensorType) -> str:
        """Add a node with the types of its outputs; returns the name of its first output."""
        self.nodes[node.name] = node
        for index, known in enumerate(types):
            self.types[node.name if index == 0 else f"{node.name}:{index}"] = known
        for tensor in node.inputs:
            self._consumers.setdefault(tensor, {})[node.name] = None
        return node.name

    def add_step(self, base: Node, op: str, inputs: tuple[str, ...], known: TensorType, **attrs: Any) -> str:
        """Add a node named after the one that it helps to replace; returns its output."""
        return self.add(Node(self.free_name(f"{base.name}/{op}"), op, inputs, attrs), known)

    def add_constant(self, name: str, array: Array, dtype: str) -> str:
        """Add a constant under a name like `name` that is still free; returns that name."""
        free = self.free_name(name)
        self.constants[free] = array
        self.types[free] = TensorType(tuple(array.shape), dtype)
        return free

    def free_name(self, name: str) -> str:
        """`name`, or `name_1`, `name_2`... where it is taken."""
        taken, free, count = (self.nodes, self.constants, self.outputs), name, 0
        while any(free in names for names in taken):
            count += 1
            free = f"{name}_{count}"
        return free

    def set_inputs(self, node: Node, inputs: Sequence[str]) -> None:
        """Connect a node to other tensors."""
        for tensor in node.inputs:
            self._consumers[tensor].pop(node.name, None)
        node.inputs = tuple(inputs)
        for tensor in node.inputs:
            self._consumers.setdefault(tensor, {})[node.name] = None

    def redirect(self, old: str, new: str) -> None:
        """Let everything that uses tensor `old` use `new`."""
        for consumer in self.consumers(old):
            self.set_inputs(consumer, [new if tensor == old else tensor for tensor in consumer.inputs])
        for name, tensor in self.outputs.items():
            if tensor == old:
                self.outputs[name] = new

    def remove(self, node: Node) -> None:
        """Remove a node that nothing uses any more."""
        self.set_inputs(node, ())
        del self.nodes[node.name]

    def consumers(self, tensor: str) -> list[Node]:
        """Nodes that read a tensor, in a stable order."""
        return [self.nodes[name] for name in self._consumers.get(tensor, ())]

    def only_consumer(self, tensor: str) -> Node | None:
        """The node that alone reads a tensor; None where there are several, none, or it is an output of the model."""
        found = self._consumers.get(tensor, {})
        if len(found) != 1 or tensor in self.outputs.values():
            return None
        return self.nodes[next(iter(found))]

    def producer(self, tensor: str) -> Node | None:
        """The node that gives a tensor; None for a constant."""
        return self.nodes.get(node_of(tensor))

    def constant(self, tensor: str) -> Array | None:
        """The value of a tensor that is a constant."""
        return self.constants.get(tensor)

    def shape(self, tensor: str) -> Shape | None:
        """The known shape of a tensor."""
        return self.types[tensor].shape

    def ordered(self) -> Iterator[Node]:
        """Nodes that the outputs need, each after its inputs; placeholders first, in the model's order."""
        done: set[str] = set()
        begun: set[str] = set()
        for name in self.inputs:
            done.add(name)
            yield self.nodes[name]
        for tensor in self.outputs.values():
            stack = [(node_of(tensor), False)]
            while stack:
                name, ready = stack.pop()
                if name in done or name not in self.nodes:
                    continue
                if ready:
                    done.add(name)
                    yield self.nodes[name]
                    continue
                if name in begun:
                    raise EdgeshipError(f"a pass of the TF.js writer made a loop through {name}")
                begun.add(name)
                stack.append((name, True))
                stack.extend((node_of(i), False) for i in reversed(self.nodes[name].inputs))

    def prune(self) -> None:
        """Drop nodes and constants that no output needs; inputs stay."""
        needed = {node.name: node for node in self.ordered()}
        for node in [node for name, node in self.nodes.items() if name not in needed]:
            self.remove(node)
        self.nodes = needed
        used = {tensor for node in needed.values() for tensor in node.inputs} | set(self.outputs.values())
        self.constants = {name: array for name, array in self.constants.items() if name in used}
