"""Places inside a model whose values can be read while it runs, and which of two models belong together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from edgeship.compress.graph.model import _functional as functional_of
from edgeship.compress.layers import fake_quantized
from edgeship.errors import InputError, UnsupportedModelError

_ACTIVATIONS = (layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU)
#: Not features: nothing, gates and probabilities.
_NO_FEATURES = ("linear", "sigmoid", "hard_sigmoid", "softmax", "log_softmax")
#: Where the value of a layer is found once `quantize_aware` has split and rounded it, the last first.
_QUANTIZED_NAMES = ("{}_activation_range", "{}_activation", "{}_range", "{}")


@dataclass(frozen=True)
class Point:
    """The first output of a layer.

    Attributes:
        layer: the Keras layer, whose calls `Tap` watches.
        shape: of the output, batch axis first; None = dynamic.
    """

    name: str
    layer: Any
    shape: tuple[int | None, ...]

    @property
    def positions(self) -> tuple[int | None, ...]:
        """The axes between batch and channels; those of size 1 say nothing and are left out."""
        return tuple(size for size in self.shape[1:-1] if size != 1)

    @property
    def channels(self) -> int:
        """Size of the last axis. Raises UnsupportedModelError where that is not the channels."""
        if len(self.shape) < 2 or self.shape[-1] is None or _channels_first(self.layer):
            raise UnsupportedModelError(
                f"layer {self.name} with output {self.shape} has no known number of channels on its last axis",
                remedy="Choose other layers to compare.",
            )
        return self.shape[-1]


def _channels_first(layer: Any) -> bool:
    return getattr(layer, "data_format", None) == "channels_first"


class Tap:
    """Runs a model and brings the values at some points beside its output."""

    def __init__(self, model: keras.Model, points: Sequence[Point]) -> None:
        self._model = model
        self._layers = [point.layer for point in points]

    def __call__(self, inputs: Any, training: bool) -> tuple[Any, list[Any]]:
        """The model's output, and the first output of each point's layer."""
        found: dict[int, Any] = {}
        wanted = {id(layer) for layer in self._layers}

        def run(model: Any, given: Any) -> Any:
            functional = functional_of(model)
            outputs = functional._run_through_graph(functional._standardize_inputs(given), operation_fn=watched)
            return outputs[0] if isinstance(outputs, list | tuple) and len(outputs) == 1 else outputs

        def watched(operation: Any) -> Any:
            def call(*args: Any, **options: Any) -> Any:
                if _nested(operation):
                    outputs = run(operation, args[0] if args else options["inputs"])
                else:
                    if getattr(operation, "_call_has_training_arg", False):
                        options["training"] = training
                    outputs = operation(*args, **options)
                if id(operation) in wanted:
                    found.setdefault(id(operation), keras.tree.flatten(outputs)[0])
                return outputs

            return call

        outputs = run(self._model, inputs)
        return outputs, [found[id(layer)] for layer in self._layers]


def _nested(operation: Any) -> bool:
    return hasattr(operation, "_nodes_by_depth") or isinstance(operation, keras.Sequential)


def _points(model: Any) -> Iterator[Point]:
    """All points in the order of execution, those of nested models before the nested model itself."""
    by_depth = functional_of(model)._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            if node.is_input:
                continue
            if _nested(node.operation):
                yield from _points(node.operation)
            yield Point(node.operation.name, node.operation, tuple(node.outputs[0].shape))


def _heads(model: Any) -> set[int]:
    """Layers that make the outputs."""
    found: set[int] = set()
    for tensor in functional_of(model).outputs:
        operation = tensor._keras_history.operation
        found |= {id(operation)} | (_heads(operation) if _nested(operation) else set())
    return found


def _activates(layer: Any) -> bool:
    function = getattr(layer, "activation", None)
    if isinstance(layer, _ACTIVATIONS) or isinstance(function, layers.Layer):
        return True
    return function is not None and getattr(function, "__name__", "?") not in _NO_FEATURES


def stage_ends(model: keras.Model) -> list[Point]:
    """The last activation of each spatial size, in order; without any, every hidden activation. Outputs stay out."""
    heads = _heads(model)
    inside = [point for point in _points(model) if id(point.layer) not in heads and _activates(point.layer)]
    spatial = {point.positions: point for point in inside if point.positions and not _channels_first(point.layer)}
    return list(spatial.values()) or [point for point in inside if len(point.shape) == 2]


def auto_pairs(student: keras.Model, teacher: keras.Model) -> list[tuple[Point, Point]]:
    """(student's, teacher's) points that belong together: the teacher's stage ends by name, else both's by size.

    Raises InputError where none do.
    """
    theirs = stage_ends(teacher)
    places = _Places(student)
    same = [(places.get(point.name), point) for point in theirs]
    named = [(one, other) for one, other in same if one is not None and one.positions == other.positions]
    if theirs and len(named) == len(theirs):
        return named
    ours = stage_ends(student)
    if all(point.positions for point in (*ours, *theirs)):
        by_size = {point.positions: point for point in ours}
        sized = [(by_size[other.positions], other) for other in theirs if other.positions in by_size]
    else:
        sized = list(zip(ours, theirs, strict=True)) if len(ours) == len(theirs) else []
    if not sized:
        raise InputError(
            f"features: no layers of {student.name} ({_listed(ours)}) fit those of {teacher.name} ({_listed(theirs)})",
            remedy="Name pairs in a script, Features(layers=[(student's, teacher's), ...]), or leave features out.",
        )
    # Values that went through the rounding of a quantization-aware student are the ones that its file has.
    return [(places.get(one.name) or one, other) for one, other in sized]


def named_pairs(
    student: keras.Model, teacher: keras.Model, names: Sequence[tuple[str, str]]
) -> list[tuple[Point, Point]]:
    """Points by the names of their layers. Raises InputError for a name that there is not, or more than once."""
    ours, theirs = _Places(student), _Places(teacher)
    return [(ours.find(one), theirs.find(other)) for one, other in names]


def _listed(points: Sequence[Point]) -> str:
    sizes = (f"{point.name} {'x'.join(str(size) for size in point.shape[1:])}" for point in points)
    return ", ".join(sizes) or "no hidden activation"


class _Places:
    """Points of a model by name."""

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._forms = _QUANTIZED_NAMES if fake_quantized(model) else ("{}",)
        self._points: dict[str, dict[int, Point]] = {}
        for point in _points(model):
            self._points.setdefault(point.name, {}).setdefault(id(point.layer), point)

    def get(self, name: str) -> Point | None:
        """The point of that name; None where there is none or more than one."""
        for form in self._forms:
            found = self._points.get(form.format(name), {})
            if found:
                return next(iter(found.values())) if len(found) == 1 else None
        return None

    def find(self, name: str) -> Point:
        """The same, or InputError."""
        found = self.get(name)
        if found is None:
            known = [other for other in self._points if other not in ("", name)]
            count = len(self._points.get(name, {}))
            raise InputError(
                f"features: {self._model.name} has {count or 'no'} layers called {name!r}",
                remedy=f"Its layers: {', '.join(known[:30])}{', ...' if len(known) > 30 else ''}.",
            )
        return found
