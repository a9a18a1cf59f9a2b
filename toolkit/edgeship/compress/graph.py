"""A Keras model as a flat list of steps that can be rewritten, and back.

Nested models are inlined. What this file does not understand is refused with the layer's name, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import keras

from edgeship.compress.layers import FakeQuant
from edgeship.errors import UnsupportedModelError

if TYPE_CHECKING:
    from edgeship.types import Array

#: Arithmetic on tensors (`a + b`) -> the layer that does the same.
_OPERATORS: Mapping[str, type[keras.layers.Layer]] = {
    "Add": keras.layers.Add,
    "Subtract": keras.layers.Subtract,
    "Multiply": keras.layers.Multiply,
}


@dataclass(frozen=True)
class Ref:
    """A tensor between steps; `shape` (batch axis first, None = dynamic) is empty where it was not looked at."""

    id: int
    shape: tuple[int | None, ...] = field(default=(), compare=False)


@dataclass(frozen=True, eq=False)
class Step:
    """One call of one layer.

    Attributes:
        weights: in the order of `layer.get_weights()`; for kernel layers the kernel first, then the bias.
        args: positional arguments, `Ref` where a tensor goes in.
        options: keyword arguments of the call.
        key: steps with the same key (not None) are calls of one layer.
    """

    name: str
    layer: type[keras.layers.Layer]
    config: Mapping[str, Any]
    weights: tuple[Array, ...]
    args: tuple[Any, ...]
    outputs: tuple[Ref, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    key: object = None

    @property
    def inputs(self) -> tuple[Ref, ...]:
        """The tensors that go in, in order."""
        flat = keras.tree.flatten((self.args, dict(self.options)))
        return tuple(item for item in flat if isinstance(item, Ref))

    @property
    def output(self) -> Ref:
        """The only output."""
        (only,) = self.outputs
        return only

    def is_a(self, *kinds: type[keras.layers.Layer]) -> bool:
        """Whether the layer is of one of these classes (or a subclass)."""
        return issubclass(self.layer, kinds)

    def reading(self, moved: Mapping[Ref, Ref]) -> Step:
        """The same step reading other tensors where `moved` names them."""
        return replace(self, args=substitute(self.args, moved), options=substitute(dict(self.options), moved))

    def set(self, **config: Any) -> Step:
        """The same step with some settings changed."""
        return replace(self, config={**self.config, **config})


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as steps in the order of execution.

    Attributes:
        inputs: (name, shape with batch axis, dtype, tensor).
        outputs: (name, tensor); names are those of the original output layers.
        structures: how the model packs its inputs and outputs (a single tensor, a list, a dictionary).
    """

    name: str
    inputs: tuple[tuple[str, tuple[int | None, ...], str, Ref], ...]
    outputs: tuple[tuple[str, Ref], ...]
    steps: tuple[Step, ...]
    structures: tuple[Any, Any]

    def with_steps(self, steps: Iterable[Step], moved: Mapping[Ref, Ref] | None = None) -> Graph:
        """The graph with other steps; `moved` says where an output comes from now."""
        outputs = tuple((name, (moved or {}).get(ref, ref)) for name, ref in self.outputs)
        return replace(self, steps=tuple(steps), outputs=outputs)

    def consumers(self) -> Counter[Ref]:
        """How often each tensor is used, counting model outputs."""
        uses = Counter(ref for step in self.steps for ref in step.inputs)
        uses.update(ref for _, ref in self.outputs)
        return uses

    def refs(self) -> Refs:
        """A source of new tensors."""
        taken = [ref.id for *_, ref in self.inputs] + [r.id for step in self.steps for r in step.outputs]
        return Refs(max(taken) + 1)


class Refs:
    """Hands out tensors that no step uses yet."""

    def __init__(self, start: int = 0) -> None:
        self._next = start

    def new(self, shape: tuple[int | None, ...] = ()) -> Ref:
        """The next one."""
        self._next += 1
        return Ref(self._next - 1, shape)


def substitute(value: Any, moved: Mapping[Ref, Any]) -> Any:
    """`value` (nested arguments) with tensors replaced where `moved` has them."""
    return keras.tree.map_structure(lambda item: moved.get(item, item) if isinstance(item, Ref) else item, value)


def read(model: keras.Model) -> Graph:
    """Look through a functional or Sequential model. Raises UnsupportedModelError naming what is in the way."""
    functional = _functional(model)
    refs = Refs()
    inputs = []
    tensors: dict[int, Ref] = {}
    for tensor in functional.inputs:
        tensors[id(tensor)] = refs.new(tuple(tensor.shape))
        name = tensor._keras_history.operation.name
        inputs.append((name, tuple(tensor.shape), str(tensor.dtype), tensors[id(tensor)]))
    steps = list(_steps(functional, tensors, refs))
    _refuse_shared(functional)
    names = functional.output_names
    outputs = tuple((name, tensors[id(tensor)]) for name, tensor in zip(names, functional.outputs, strict=True))
    structures = (_shape_of(functional.input), _shape_of(functional.output))
    return Graph(model.name, tuple(inputs), outputs, tuple(steps), structures)


def _shape_of(structure: Any) -> Any:
    return keras.tree.map_structure(lambda _: 0, structure)


def _functional(model: Any) -> Any:
    """The functional model behind `model`."""
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise UnsupportedModelError(
                f"{model.name}: a Sequential model without input shape", remedy="Start it with keras.Input(shape)."
            )
        model = model._functional
    if not hasattr(model, "_nodes_by_depth"):
        raise UnsupportedModelError(
            f"{getattr(model, 'name', type(model).__name__)}: a {type(model).__name__} is not a functional or "
            "Sequential Keras 3 model",
            remedy="Rebuild it with the functional API: keras.Model(inputs, outputs).",
        )
    return model


def input_structure(model: keras.Model) -> Any:
    """How the model takes its inputs: one entry, a list or a dictionary of entries. Raises as `read`."""
    return _shape_of(_functional(model).input)


def _steps(functional: Any, tensors: dict[int, Ref], refs: Refs) -> Iterable[Step]:
    """Steps in order of execution; `tensors` maps ids of KerasTensors to ours and grows."""
    by_depth = functional._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.is_input:
                continue
            args, options = node.arguments.fill_in(tensors)
            operation = node.operation
            if hasattr(operation, "_nodes_by_depth") or isinstance(operation, keras.Sequential):
                yield from _inline(operation, args, node, tensors, refs)
                continue
            outputs = tuple(refs.new(tuple(t.shape)) for t in node.outputs)
            tensors.update((id(t), ref) for t, ref in zip(node.outputs, outputs, strict=True))
            yield _step(operation, args, options, outputs)


def _inline(model: Any, args: Any, node: Any, tensors: dict[int, Ref], refs: Refs) -> Iterable[Step]:
    inner = _functional(model)
    given = [item for item in keras.tree.flatten(args) if isinstance(item, Ref)]
    inside = {id(t): ref for t, ref in zip(inner.inputs, given, strict=True)}
    yield from _steps(inner, inside, refs)
    tensors.update((id(t), inside[id(i)]) for t, i in zip(node.outputs, inner.outputs, strict=True))


def _step(operation: Any, args: Any, options: Mapping[str, Any], outputs: tuple[Ref, ...]) -> Step:
    options = {key: value for key, value in options.items() if value is not None}
    if isinstance(operation, keras.layers.Layer):
        weights = tuple(operation.get_weights())
        config, key = operation.get_config(), id(operation)
        return Step(operation.name, type(operation), config, weights, tuple(args), outputs, options, key)
    given = [item for item in keras.tree.flatten((args, options)) if item is not None]
    kind = type(operation).__name__
    if kind in _OPERATORS and len(given) == 2 and all(isinstance(item, Ref) for item in given):
        layer = _OPERATORS[kind](name=operation.name)
        return Step(operation.name, _OPERATORS[kind], layer.get_config(), (), (given,), outputs)
    raise UnsupportedModelError(
        f"operation {operation.name} ({kind}) is not a layer", remedy="Write it with a layer of keras.layers."
    )


def _refuse_shared(functional: Any) -> None:
    calls = [node.operation for nodes in functional._nodes_by_depth.values() for node in nodes]
    for operation in functional.operations:
        uses = sum(called is operation for called in calls)
        if uses > 1 and bool(getattr(operation, "weights", None)) and not isinstance(operation, FakeQuant):
            raise UnsupportedModelError(
                f"layer {operation.name} is used {uses} times with the same weights",
                remedy="Give each use a layer of its own.",
            )
        if hasattr(operation, "_nodes_by_depth") or isinstance(operation, keras.Sequential):
            _refuse_shared(_functional(operation))


def build(graph: Graph) -> keras.Model:
    """The model of a graph. Input and output names stay. Raises UnsupportedModelError where a layer does not fit."""
    graph = unique_names(graph)
    tensors: dict[Ref, Any] = {}
    made: dict[object, keras.layers.Layer] = {}
    inputs = []
    for name, shape, dtype, ref in graph.inputs:
        tensors[ref] = keras.Input(batch_shape=shape, dtype=dtype, name=name)
        inputs.append(tensors[ref])
    for step in graph.steps:
        tensors.update(zip(step.outputs, keras.tree.flatten(_call(step, tensors, made)), strict=True))
    in_structure, out_structure = graph.structures
    return keras.Model(
        keras.tree.pack_sequence_as(in_structure, inputs),
        keras.tree.pack_sequence_as(out_structure, [tensors[ref] for _, ref in graph.outputs]),
        name=graph.name,
    )


def _call(step: Step, tensors: Mapping[Ref, Any], made: dict[object, keras.layers.Layer]) -> Any:
    args = substitute(step.args, tensors)
    options = substitute(dict(step.options), tensors)
    try:
        if step.key in made:
            return made[step.key](*args, **options)
        layer = step.layer.from_config({**step.config, "name": step.name})
        result = layer(*args, **options)
        if step.weights:
            layer.set_weights([*step.weights])
    except (ValueError, TypeError) as error:
        raise UnsupportedModelError(f"layer {step.name} ({step.layer.__name__}) does not fit: {error}") from error
    if step.key is not None:
        made[step.key] = layer
    return result


def unique_names(graph: Graph) -> Graph:
    """Output steps carry the output names; every other clash gets a number."""
    wanted = {ref: name for name, ref in graph.outputs}
    taken = {name for name, *_ in graph.inputs} | set(wanted.values())
    of_layer: dict[object, str] = {}
    for step in graph.steps:
        final = [wanted[ref] for ref in step.outputs if ref in wanted]
        if final:
            of_layer[_layer_key(step)] = final[0]
    for step in graph.steps:
        if _layer_key(step) in of_layer:
            continue
        name, number = step.name, 0
        while name in taken:
            number += 1
            name = f"{step.name}_{number}"
        taken.add(name)
        of_layer[_layer_key(step)] = name
    return graph.with_steps(replace(step, name=of_layer[_layer_key(step)]) for step in graph.steps)


def _layer_key(step: Step) -> object:
    return id(step) if step.key is None else ("layer", step.key)
