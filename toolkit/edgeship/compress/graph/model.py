"""A Keras model as a flat list of steps that can be rewritten, and back.

Nested models are inlined. What this file does not understand is refused with the layer's name, never dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgeship.compress.graph.operators import as_layer
from edgeship.errors import UnsupportedModelError

if TYPE_CHECKING:
    from edgeship.types import Array


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
        key: steps with the same key (not None) are calls of one layer. Whoever changes the weights or the settings of
            one of them does so for all alike, or gives them other keys; `build` refuses anything else.
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

    def calls(self) -> Mapping[object, tuple[Step, ...]]:
        """The steps of each layer, by its key, in order of execution; a step without key is a layer of its own."""
        found: dict[object, list[Step]] = {}
        for step in self.steps:
            found.setdefault(_layer_key(step), []).append(step)
        return {key: tuple(steps) for key, steps in found.items()}

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
    reader = _Reader(tensors, refs)
    steps = list(reader.steps(functional, None))
    reader.check([tensors[id(tensor)] for tensor in functional.outputs])
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


class _Reader:
    """Walks a functional model; `tensors` maps ids of KerasTensors to ours and grows."""

    def __init__(self, tensors: dict[int, Ref], refs: Refs) -> None:
        self._tensors = tensors
        self._refs = refs
        self._layers: dict[int, Step] = {}
        # Masks are made by operations that only they need; rebuilt layers make them anew.
        self._unknown: dict[Ref, UnsupportedModelError] = {}

    def steps(self, functional: Any, training: bool | None) -> Iterator[Step]:
        """Steps in order of execution; `training` is what a model around this one called it with."""
        tensors, by_depth = self._tensors, functional._nodes_by_depth
        for depth in sorted(by_depth, reverse=True):
            for node in by_depth[depth]:
                if node.is_input:
                    continue
                args, options = node.arguments.fill_in(tensors)
                implicit = _implicit_masks(node)
                options = {key: value for key, value in options.items() if value is not None and key not in implicit}
                operation = node.operation
                if isinstance(operation, keras.layers.Layer):
                    self.check((args, options))
                if hasattr(operation, "_nodes_by_depth") or isinstance(operation, keras.Sequential):
                    yield from self._inline(node, args, options, options.pop("training", training))
                    continue
                outputs = tuple(self._refs.new(tuple(t.shape)) for t in node.outputs)
                tensors.update((id(t), ref) for t, ref in zip(node.outputs, outputs, strict=True))
                if training is not None and getattr(operation, "_call_has_training_arg", False):
                    options.setdefault("training", training)
                try:
                    self.check((args, options))
                    step = self._step(operation, tuple(args), options, outputs)
                except UnsupportedModelError as error:
                    self._unknown.update(dict.fromkeys(outputs, error))
                else:
                    yield step

    def check(self, values: Any) -> None:
        """Raise the error of the operation that makes one of these tensors, if it is not understood."""
        for item in keras.tree.flatten(values):
            if isinstance(item, Ref) and item in self._unknown:
                raise self._unknown[item]

    def _inline(self, node: Any, args: Any, options: Mapping[str, Any], training: bool | None) -> Iterator[Step]:
        inner = _functional(node.operation)
        given = _in_order(args[0] if args else options.get("inputs"), inner)
        if len(args) + len(options) != 1 or len(given) != len(inner.inputs):
            raise UnsupportedModelError(
                f"model {node.operation.name} is called with more than its inputs",
                remedy="Call it with its inputs only (and training=).",
            )
        inside = {id(t): ref for t, ref in zip(inner.inputs, given, strict=True)}
        reader = _Reader(inside, self._refs)
        reader._layers, reader._unknown = self._layers, self._unknown
        yield from reader.steps(inner, training)
        self._tensors.update((id(t), inside[id(i)]) for t, i in zip(node.outputs, inner.outputs, strict=True))

    def _step(
        self, operation: Any, args: tuple[Any, ...], options: Mapping[str, Any], outputs: tuple[Ref, ...]
    ) -> Step:
        if not isinstance(operation, keras.layers.Layer):
            return _operation(operation, args, options, outputs)
        key = id(operation)
        if key not in self._layers:
            weights = tuple(operation.get_weights())
            self._layers[key] = Step(operation.name, type(operation), operation.get_config(), weights, (), (), key=key)
        return replace(self._layers[key], args=args, options=options, outputs=outputs)


def _implicit_masks(node: Any) -> set[str]:
    """The arguments of a call that Keras filled in with the masks that came with its inputs."""
    carried = {id(getattr(tensor, "_keras_mask", None)) for tensor in node.input_tensors} | {id(None)}
    masks = {key: value for key, value in node.arguments.kwargs.items() if key == "mask" or key.endswith("_mask")}
    return {key for key, value in masks.items() if all(id(mask) in carried for mask in keras.tree.flatten(value))}


def _in_order(given: Any, inner: Any) -> list[Ref]:
    """The tensors that a nested model is called with, in the order of its inputs."""
    if isinstance(given, Mapping) and not isinstance(inner.input, Mapping):
        given = [given.get(tensor.name) for tensor in inner.inputs]
    return [item for item in keras.tree.flatten(given) if isinstance(item, Ref)]


def _operation(operation: Any, args: tuple[Any, ...], options: Mapping[str, Any], outputs: tuple[Ref, ...]) -> Step:
    tensors = [item for item in keras.tree.flatten(args) if isinstance(item, Ref)]
    found = None if options or len(outputs) > 1 else as_layer(operation, args, tensors, outputs[0].shape)
    if found is None:
        raise UnsupportedModelError(
            f"operation {operation.name} ({type(operation).__name__}) is not a layer",
            remedy="Write it with a layer of keras.layers.",
        )
    layer, given = found
    return Step(operation.name, type(layer), layer.get_config(), (), (given,), outputs)


def build(graph: Graph) -> keras.Model:
    """The model of a graph. Input and output names stay. Raises UnsupportedModelError where a layer does not fit."""
    graph = unique_names(graph)
    tensors: dict[Ref, Any] = {}
    made: dict[object, tuple[keras.layers.Layer, Step]] = {}
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


def _call(step: Step, tensors: Mapping[Ref, Any], made: dict[object, tuple[keras.layers.Layer, Step]]) -> Any:
    args = substitute(step.args, tensors)
    options = substitute(dict(step.options), tensors)
    try:
        if step.key in made:
            layer, first = made[step.key]
            if not _same_layer(step, first):
                raise UnsupportedModelError(
                    f"layer {step.name} is used several times, and its uses would need different weights or settings",
                    remedy="Give each use a layer of its own.",
                )
            return layer(*args, **options)
        layer = step.layer.from_config({**step.config, "name": step.name})
        result = layer(*args, **options)
        if step.weights:
            layer.set_weights([*step.weights])
    except (ValueError, TypeError) as error:
        raise UnsupportedModelError(f"layer {step.name} ({step.layer.__name__}) does not fit: {error}") from error
    if step.key is not None:
        made[step.key] = (layer, step)
    return result


def _same_layer(one: Step, two: Step) -> bool:
    """Whether two calls mean one layer."""
    same = one.layer is two.layer and (one.config is two.config or _plain(one.config) == _plain(two.config))
    if one.weights is two.weights or not same:
        return same
    return len(one.weights) == len(two.weights) and all(map(np.array_equal, one.weights, two.weights))


def _plain(config: Any) -> Any:
    """Settings as values that can be compared."""
    return keras.tree.map_structure(lambda item: item.tolist() if isinstance(item, np.ndarray) else item, dict(config))


def unique_names(graph: Graph) -> Graph:
    """Output steps carry the output names; every other clash gets a number."""
    wanted = {ref: name for name, ref in graph.outputs}
    of_layer: dict[object, str] = {}
    for key, calls in graph.calls().items():
        final = [wanted[ref] for step in calls for ref in step.outputs if ref in wanted]
        # Two layers may have become of one that made two outputs.
        if final and final[-1] not in of_layer.values():
            of_layer[key] = final[-1]
    taken = {name for name, *_ in graph.inputs} | set(of_layer.values())
    for key, (step, *_) in graph.calls().items():
        if key in of_layer:
            continue
        name, number = step.name, 0
        while name in taken:
            number += 1
            name = f"{step.name}_{number}"
        taken.add(name)
        of_layer[key] = name
    return graph.with_steps(replace(step, name=of_layer[_layer_key(step)]) for step in graph.steps)


def _layer_key(step: Step) -> object:
    return id(step) if step.key is None else ("layer", step.key)
