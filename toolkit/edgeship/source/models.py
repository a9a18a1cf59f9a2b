"""Loaded models: which framework reads a file, their inputs and outputs in one flat order, calling them [child]."""

from __future__ import annotations

import importlib.util
import inspect as python_inspect
import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from edgeship.errors import MissingPackageError, SourceError, first_line
from edgeship.files import storage_errors
from edgeship.names import safe_names
from edgeship.references import resolve
from edgeship.source.safety import Description
from edgeship.source.signature import Signature
from edgeship.types import TensorSpec

_KERAS_3 = 3
#: Functions of Keras 2 that Keras 3 reads under the same name and computes otherwise.
_CHANGED = frozenset({"hard_sigmoid"})
#: What TensorFlow takes for the name of a scope.
_SCOPE = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*")
#: Arguments that Keras 2 wrote and Keras 3 does not know, with the value at which they do nothing.
_IDLE: Mapping[str, Mapping[str, Any]] = {
    "DepthwiseConv2D": {"groups": 1},
    **{name: {"time_major": False} for name in ("GRU", "LSTM", "RNN", "SimpleRNN")},
}


def custom_objects(references: Sequence[str]) -> dict[str, Any]:
    """Name -> object for `module:name` references, also under the names they were registered with.

    Raises:
        SourceError: one cannot be imported.
    """
    import keras

    if importlib.util.find_spec("edgeship.compress.layers") is not None:
        importlib.import_module("edgeship.compress.layers")  # registers edgeship's own layers
    found: dict[str, Any] = {}
    for reference in references:
        value = resolve(reference, SourceError)
        name = value.__name__ if python_inspect.isclass(value) or python_inspect.isfunction(value) else ""
        registered = keras.saving.get_registered_name(value) if name else ""
        for key in {reference.rpartition(":")[2].rpartition(".")[2], name, registered} - {""}:
            found[key] = value
    return found


def _modern(value: Any) -> Any:
    """A description without the arguments of Keras 2 that say nothing, and that Keras 3 refuses."""
    if isinstance(value, list):
        return [_modern(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _modern(item) for key, item in value.items()}
    name, config = found.get("class_name"), found.get("config")
    if isinstance(name, str) and isinstance(config, dict):
        idle = _IDLE.get(name, {})
        found["config"] = {k: v for k, v in config.items() if k not in idle or v != idle[k]}
        if name == "BatchNormalization" and isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
            found["config"]["axis"] = config["axis"][0]
    return found


@contextmanager
def _for_keras_3(path: Path, description: Description) -> Iterator[Path]:
    """The file, or a temporary copy of an .h5 file whose description Keras 3 understands."""
    modern = _modern(description.config)
    if path.suffix.lower() == ".keras" or modern == description.config:
        yield path
        return
    import h5py

    with tempfile.TemporaryDirectory() as folder, storage_errors(Path(folder)):
        copy = Path(folder) / "model.h5"
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(modern)
        yield copy


def load_keras(path: Path, description: Description, custom: Mapping[str, Any], *, allow_unsafe: bool) -> Any:
    """Load with Keras 3, also files with arguments that only Keras 2 had (`groups`). Raises what Keras raises.

    A model that was trained in mixed precision computes in float32, which its weights are.
    """
    import keras

    with warnings.catch_warnings(), _for_keras_3(path, description) as file:
        # Keras tells about optimizer state and naming of dict inputs; neither concerns inference.
        warnings.simplefilter("ignore", UserWarning)
        model = keras.models.load_model(file, custom_objects=dict(custom), compile=False, safe_mode=not allow_unsafe)
        if any(layer.compute_dtype != layer.variable_dtype for layer in model._flatten_layers()):
            model = _in_full(model, custom, allow_unsafe=allow_unsafe)
    _name_layers(model)
    return model


def _in_full(model: Any, custom: Mapping[str, Any], *, allow_unsafe: bool) -> Any:
    """The same model without mixed precision; as it is where classes of the user cannot be made anew."""
    import keras

    config = _with_full_policies(keras.saving.serialize_keras_object(model))
    try:
        found = keras.saving.deserialize_keras_object(config, custom_objects=dict(custom), safe_mode=not allow_unsafe)
        found.set_weights(model.get_weights())
    except (TypeError, ValueError):
        return model
    return found


def _with_full_policies(value: Any) -> Any:
    """A description whose layers compute in the type of their weights."""
    if isinstance(value, list | tuple):
        return [_with_full_policies(item) for item in value]
    if not isinstance(value, dict):
        return value
    config = value.get("config")
    policy = value.get("class_name") == "DTypePolicy"
    if policy and isinstance(config, dict) and str(config.get("name")).startswith("mixed_"):
        return {**value, "config": {**config, "name": "float32"}}
    return {key: _with_full_policies(item) for key, item in value.items()}


def _name_layers(model: Any) -> None:
    """Give layers whose names TensorFlow takes for no scope (spaces, letters beyond ASCII) names that it takes."""
    import keras

    computing = [x for x in model._flatten_layers(include_self=False) if not isinstance(x, keras.layers.InputLayer)]
    layers = [layer for layer in computing if not _SCOPE.fullmatch(layer.name)]
    others = [layer.name for layer in computing if layer not in layers]
    for layer, name in zip(layers, safe_names([layer.name for layer in layers], "layer", others), strict=True):
        layer.name = name


def load_tf_keras(path: Path, custom: Mapping[str, Any], *, allow_unsafe: bool) -> Any:
    """Load with tf_keras (Keras 2). Raises what it raises, MissingPackageError where it is not installed."""
    try:
        import tf_keras
    except ImportError as error:
        raise MissingPackageError(
            "reading this file needs tf-keras", remedy="Get it: pip install 'edgeship[tensorflow]'"
        ) from error
    options = {} if path.suffix.lower() != ".keras" else {"safe_mode": not allow_unsafe}
    return tf_keras.models.load_model(path, custom_objects=dict(custom), compile=False, **options)


def choose_loader(
    path: Path, description: Description, custom: Mapping[str, Any], *, allow_unsafe: bool
) -> tuple[Any, str]:
    """Load a file with the framework that reads it right: the model, and `keras` or `tf_keras`.

    Keras 3 is tried first. A file not known to be written by it is also read with tf_keras and both are run on the same
    random input: some things have changed their meaning silently (`hard_sigmoid` has another slope), and then tf_keras,
    which computes as the model was trained, is used.

    Raises:
        SourceError: neither can read it; says what each found.
        MissingPackageError: the comparison needs tf_keras, which is not installed.
    """
    failures = {}
    model = None
    try:
        model = load_keras(path, description, custom, allow_unsafe=allow_unsafe)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - Keras raises anything for files it does not understand
        failures["Keras 3"] = error
    if model is not None and _major(description.keras_version) >= _KERAS_3:
        return model, "keras"
    try:
        reference = load_tf_keras(path, custom, allow_unsafe=allow_unsafe)
    except (MemoryError, MissingPackageError):
        raise
    except Exception as error:
        failures["tf_keras"] = error
        if model is not None:
            _refuse_changed(path, description, error)
            return model, "keras"
        raise _unreadable(path, failures) from error
    if model is not None and _agree(model, reference):
        return model, "keras"
    return reference, "tf_keras"


def _refuse_changed(path: Path, description: Description, error: Exception) -> None:
    """Raise SourceError where Keras 3 would silently compute something else than the Keras that wrote a file."""
    stack: list[Any] = [description.config]
    while stack:
        value = stack.pop()
        if isinstance(value, str) and value in _CHANGED:
            raise SourceError(
                f"{path.name} was not written by Keras 3, in which {value} is another function, and tf_keras cannot "
                f"read it ({first_line(error)})",
                remedy="Give classes for tf_keras as --custom-objects, or load it with the Keras that wrote it and "
                "export a SavedModel.",
            )
        stack += value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()


def _major(version: str) -> int:
    """`3.15.1` -> 3; 0 where the file does not say."""
    first = version.partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _unreadable(path: Path, failures: Mapping[str, Exception]) -> SourceError:
    found = "; ".join(f"{framework}: {first_line(error)}" for framework, error in failures.items())
    return SourceError(
        f"{path.name} cannot be loaded ({found})",
        remedy="If it uses layers or functions of your own, name them: --custom-objects your_module:YourLayer",
    )


def _agree(model: Any, reference: Any) -> bool:
    """Whether two loads of one file compute the same on random input, up to float32 rounding."""
    generator = np.random.default_rng(0)
    ours, theirs = keras_signature(model), tf_keras_signature(reference)
    samples = []
    for spec in theirs.inputs:
        shape = [4 if spec.shape[0] is None else spec.shape[0], *(16 if n is None else n for n in spec.shape[1:])]
        values = generator.normal(size=shape) if "float" in spec.dtype else generator.integers(0, 2, shape)
        samples.append(values.astype(spec.dtype))
    try:
        pairs = zip(ours.call(*samples), theirs.call(*samples), strict=True)
        return all(_close(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - not comparable: the framework that wrote the file decides
        return False


def _close(a: Any, b: Any) -> bool:
    return a.shape == b.shape and bool(
        np.allclose(a, b, rtol=1e-4, atol=1e-5 * max(1.0, float(np.abs(b).max(initial=0))))
    )


def keras_signature(model: Any) -> Signature:
    """Signature of a Keras 3 model: functional, sequential, or subclassed and built.

    Inputs and outputs are in the order of `keras.tree.flatten`; they are called by their key in a dict, or else by the
    name of the layer they belong to.

    Raises:
        SourceError: the model was never built, or takes sparse or ragged tensors.
    """
    import keras

    functional = getattr(model, "_functional", None) or model
    structure = getattr(functional, "_inputs_struct", None)
    if structure is None:
        structure = _built_inputs(
            model, lambda shape, name: keras.KerasTensor(shape, dtype=model.input_dtype, name=name)
        )
        results = _called(model, structure)
    else:
        results = functional._outputs_struct
    inputs, outputs = _named_tensors(structure, "input"), _named_tensors(results, "output")

    def call(*tensors: Any) -> list[Any]:
        packed = keras.tree.pack_sequence_as(structure, list(tensors))
        return list(keras.tree.flatten(model(packed, training=False)))

    return Signature(inputs, outputs, call)


def _built_inputs(model: Any, tensor: Callable[[tuple[int | None, ...], str], Any]) -> Any:
    """Symbolic inputs of a subclassed model from the shapes that it was built with: one, a list or a dict.

    `tensor` makes one of its shape and name.
    """
    config = model.get_build_config() or {}
    shapes = config.get("input_shape", config.get("shapes_dict"))

    def made(given: Any, name: str) -> Any:
        if isinstance(given, Mapping) and given:
            return {key: made(given[key], str(key)) for key in given}
        sizes = list(given) if given is not None and not isinstance(given, str) else []
        if sizes and all(size is None or isinstance(size, int) for size in sizes):
            return tensor((None, *sizes[1:]), name)
        if not sizes:
            raise SourceError(
                f"model {model.name!r} does not say which inputs it takes",
                remedy="Call it once on data, then save it again.",
            )
        return [made(shape, f"{name}_{index}") for index, shape in enumerate(sizes)]

    return made(shapes, "input")


def _called(model: Any, structure: Any) -> Any:
    """Outputs of a subclassed model for symbolic inputs."""
    try:
        return model(structure, training=False)
    except TypeError as error:
        raise SourceError(
            f"model {model.name!r} cannot be called with the inputs it was built for: {first_line(error)}",
            remedy="Let call() take one argument (a tensor, a list or a dict of them) beside training.",
        ) from error


def _named_tensors(structure: Any, fallback: str) -> tuple[TensorSpec, ...]:
    import keras
    from keras.src import tree  # keras.tree does not export flatten_with_path

    names, tensors = [], []
    for path, tensor in tree.flatten_with_path(structure):
        if _is_sparse(tensor) or getattr(tensor, "ragged", False):
            raise SourceError(
                f"{tensor.name!r} is a sparse or ragged tensor", remedy="Only dense tensors can be exported."
            )
        keys = [part for part in path if isinstance(part, str)]
        operation = getattr(getattr(tensor, "_keras_history", None), "operation", None)
        names.append("_".join(keys) or getattr(operation, "name", fallback))
        tensors.append(tensor)
    return tuple(
        TensorSpec(name, tuple(tensor.shape), keras.backend.standardize_dtype(tensor.dtype))
        for name, tensor in zip(safe_names(names, fallback), tensors, strict=True)
    )


def _is_sparse(tensor: Any) -> bool:
    """Whether a symbolic tensor is sparse: inputs and layers are believed.

    Keras 3.15 says it of every product with a number, and of what is computed from that.
    """
    import keras

    stack, seen = [tensor], set()
    while stack:
        found = stack.pop()
        if not getattr(found, "sparse", False) or id(found) in seen:
            continue
        seen.add(id(found))
        history = getattr(found, "_keras_history", None)
        if history is None or isinstance(history.operation, keras.Layer):
            return True
        stack += history.operation._inbound_nodes[history.node_index].input_tensors
    return False


def tf_keras_signature(model: Any) -> Signature:
    """Signature of a tf_keras model, in the order of `tf.nest.flatten`.

    Raises:
        SourceError: a subclassed model that was never built.
    """
    import tensorflow as tf

    def specs(tensors: Sequence[Any], names: Sequence[str], fallback: str) -> tuple[TensorSpec, ...]:
        safe = safe_names(names, fallback)
        return tuple(
            TensorSpec(name, tuple(t.shape), tf.as_dtype(t.dtype).name) for name, t in zip(safe, tensors, strict=True)
        )

    if model.inputs:
        structure, outputs = getattr(model, "_nested_inputs", model.inputs), model.outputs
        names = (model.input_names, model.output_names)
    else:
        structure, outputs, names = _built_tf_keras(model)
    inputs = tf.nest.flatten(structure)

    def call(*tensors: Any) -> list[Any]:
        packed = tf.nest.pack_sequence_as(structure, list(tensors))
        return list(tf.nest.flatten(model(packed, training=False)))

    return Signature(specs(inputs, names[0], "input"), specs(outputs, names[1], "output"), call)


def _built_tf_keras(model: Any) -> tuple[Any, list[Any], tuple[list[str], list[str]]]:
    """Of a subclassed model: symbolic inputs in their structure, flat outputs, and the names of both."""
    import tensorflow as tf
    import tf_keras

    structure = _built_inputs(
        model, lambda shape, name: tf_keras.Input(shape[1:], name=name, dtype=model.compute_dtype)
    )
    results = _called(model, structure)

    def names(tensors: Any, fallback: str) -> list[str]:
        count = len(tf.nest.flatten(tensors))
        keys = sorted(tensors) if isinstance(tensors, Mapping) else []  # the order in which TensorFlow flattens
        return [str(key) for key in keys] if len(keys) == count else [fallback] * count

    return structure, tf.nest.flatten(results), (names(structure, "input"), names(results, "output"))
