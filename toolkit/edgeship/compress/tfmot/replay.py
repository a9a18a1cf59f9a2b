"""Keras 3 models as tf_keras models, and trained weights back: for tools that know Keras 2 only.

The model is replayed layer by layer, from each layer's settings and weights. What tf_keras cannot express is refused
with the layer's name, and the outputs of both are compared: some words mean another function there (`hard_sigmoid`).
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from edgeship.compress.graph.model import Graph, Step, build, read, substitute, unique_names
from edgeship.errors import MissingPackageError, UnsupportedModelError
from edgeship.types import Array

#: Settings that say nothing about a trained layer. tf_keras writes initializers and types in its own way.
_SILENT = ("build_config", "compile_config", "dtype", "initializer", "registered_name", "seed")
_REGULARIZERS = ("L1", "L2", "L1L2")
#: tf_keras's word for a setting.
_RENAMED: Mapping[str, Mapping[str, str]] = {"LeakyReLU": {"negative_slope": "alpha"}}
#: Largest difference of an output between the two, as a share of its largest value: sums in another order, no more.
_TOLERANCE = 1e-4
_SAMPLES = 4
_REMEDY = "Use the native back end, which is the default."


def to_tf_keras(model: keras.Model) -> Any:
    """The same network as a functional tf_keras model with the same weights, layer names, inputs and outputs.

    Nested models are inlined. Regularizers come along, constraints do not exist yet at this point.

    Args:
        model: functional or Sequential; it is not changed.

    Raises:
        UnsupportedModelError: a layer, setting or operation that tf_keras does not have or computes differently.
        MissingPackageError: tf_keras is not installed.
    """
    tf_keras = import_tf_keras()
    graph = unique_names(read(model))
    tensors: dict[Any, Any] = {}
    made: dict[object, Any] = {}
    inputs = []
    for name, shape, dtype, ref in graph.inputs:
        tensors[ref] = tf_keras.Input(shape[1:], batch_size=shape[0], dtype=dtype, name=name)
        inputs.append(tensors[ref])
    for step in graph.steps:
        outputs = keras.tree.flatten(_call(step, tensors, made))
        tensors.update(zip(step.outputs, outputs, strict=True))
    in_structure, out_structure = graph.structures
    replayed = tf_keras.Model(
        keras.tree.pack_sequence_as(in_structure, inputs),
        keras.tree.pack_sequence_as(out_structure, [tensors[ref] for _, ref in graph.outputs]),
        name=model.name,
    )
    compare(model, replayed)
    return replayed


def from_tf_keras(trained: Any, like: keras.Model) -> keras.Model:
    """A Keras 3 model with the architecture of `like` and the weights of its trained replay.

    Args:
        trained: a tf_keras model whose layers have the names that `to_tf_keras(like)` gave them.
        like: it is not changed.

    Raises:
        UnsupportedModelError: a layer is missing, has other weights, or the outputs differ.
    """
    graph = unique_names(read(like))
    layers = {layer.name: layer for layer in trained.layers}
    model = build(graph.with_steps(_with_weights(graph, layers)))
    compare(model, trained)
    return model


def import_tf_keras() -> Any:
    """tf_keras. Raises MissingPackageError."""
    try:
        import tf_keras
    except ImportError as error:
        raise MissingPackageError("tf_keras is not installed", remedy="pip install 'edgeship[tensorflow]'") from error
    return tf_keras


def compare(model: keras.Model, replayed: Any) -> None:
    """Raise UnsupportedModelError unless both give the same outputs for the same seeded inputs."""
    random = np.random.default_rng(0)
    inputs = [_sample(random, tensor) for tensor in keras.tree.flatten(replayed.inputs)]
    graph = read(model)
    given = keras.tree.pack_sequence_as(graph.structures[0], inputs)
    ours = keras.tree.flatten(model(given, training=False))
    theirs = keras.tree.flatten(replayed(given, training=False))
    for (name, _), a, b in zip(graph.outputs, map(np.asarray, ours), map(np.asarray, theirs), strict=True):
        difference = float(np.max(np.abs(a - b), initial=0.0)) / max(1.0, float(np.max(np.abs(a), initial=0.0)))
        if not difference <= _TOLERANCE:
            raise UnsupportedModelError(
                f"{model.name}: output {name} of its tf_keras replay differs by {difference:.2g}", remedy=_REMEDY
            )


def _sample(random: np.random.Generator, tensor: Any) -> Array:
    shape = [_SAMPLES if tensor.shape[0] is None else tensor.shape[0], *(size or 8 for size in tensor.shape[1:])]
    dtype = np.dtype(tensor.dtype.as_numpy_dtype)
    if dtype.kind in "iu":  # small enough to be an index
        return random.integers(0, 2, shape).astype(dtype)
    return random.random(shape).astype(dtype)


def _call(step: Step, tensors: Mapping[Any, Any], made: dict[object, Any]) -> Any:
    args, options = substitute(step.args, tensors), substitute(dict(step.options), tensors)
    if step.key is not None and step.key in made:
        return made[step.key](*args, **options)
    layer = _layer(step)
    try:
        result = layer(*args, **options)
        layer.set_weights(list(step.weights))
    except (ValueError, TypeError) as error:
        raise _refusal(step, f"does not fit tf_keras: {error}") from error
    if step.key is not None:
        made[step.key] = layer
    return result


def _layer(step: Step) -> Any:
    """The tf_keras layer with the settings of a step."""
    cls = getattr(import_tf_keras().layers, step.layer.__name__, None)
    if cls is None or not step.layer.__module__.startswith("keras."):
        raise _refusal(step, "has no counterpart in tf_keras")
    allowed, defaults = _parameters(cls), _defaults(step.layer)
    renamed = _RENAMED.get(step.layer.__name__, {})
    config: dict[str, Any] = {"name": step.name}
    for key, value in step.config.items():
        word = renamed.get(key, key)
        if word in ("name", "trainable") or word.endswith(_SILENT):
            continue
        if word.endswith("_constraint"):
            if value is not None:
                raise _refusal(step, f"has a {key}, which is not carried over")
        elif word not in allowed:
            if value != defaults.get(key) and value:
                raise _refusal(step, f"has {key}={value!r}, which tf_keras does not know")
        else:
            config[word] = _regularizer(step, value) if word.endswith("_regularizer") else value
    try:
        return cls(**config)
    except (ValueError, TypeError) as error:
        raise _refusal(step, f"does not fit tf_keras: {error}") from error


def _regularizer(step: Step, value: Any) -> Any:
    if value is None:
        return None
    name = value.get("class_name") if isinstance(value, Mapping) else None
    if name not in _REGULARIZERS:
        raise _refusal(step, f"has the regularizer {name}, which is not carried over")
    return import_tf_keras().regularizers.get({"class_name": name, "config": dict(value["config"])})


def _parameters(cls: type) -> set[str]:
    """What the constructors of a layer class and of its bases take."""
    found: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base):
            found |= set(inspect.signature(vars(base)["__init__"]).parameters)
    return found - {"self", "kwargs", "args"}


def _defaults(cls: type) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(cls).parameters.items()}


def _with_weights(graph: Graph, layers: Mapping[str, Any]) -> Iterator[Step]:
    for step in graph.steps:
        if not step.weights:
            yield step
            continue
        layer = layers.get(step.name)
        weights = tuple(layer.get_weights()) if layer is not None else ()
        if [w.shape for w in weights] != [w.shape for w in step.weights]:
            raise _refusal(step, "is not in the trained tf_keras model, or has other weights there")
        yield replace(step, weights=weights)


def _refusal(step: Step, reason: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"layer {step.name} ({step.layer.__name__}) {reason}", remedy=_REMEDY)
