"""TF.js layers models as sources: rebuilt as the .h5 file of Keras 2 that describes the same layers and weights.

Everything after that is what happens to any .h5 file: the checks of what it asks for, Keras 3 where it computes the
same and tf_keras where it does not. (The format: model.json with the topology in Keras 2's JSON, and a manifest of
weights by name in files beside it, as `tf.LayersModel.save` and the official converter write them.)
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.artifact import read_artifact
from edgeship.errors import SourceError
from edgeship.files import storage_errors
from edgeship.source.kinds import read_tfjs

if TYPE_CHECKING:
    from edgeship.types import Array

_ITEM_BYTES = {"float32": 4, "int32": 4, "float16": 2, "uint16": 2, "uint8": 1, "bool": 1}
_REMEDY = "Copy the model.json and all of its weight files again."


@contextmanager
def as_h5(path: Path) -> Iterator[Path]:
    """A temporary .h5 file with the layers and weights of a TF.js layers model.

    Raises:
        SourceError: damaged; weight files are missing, of another size, or outside of the folder; a weight belongs to
            no layer.
        StorageFullError: no space for it.
    """
    topology = _topology(path)
    weights = _weights(path)
    by_layer = _by_layer(path, topology["model_config"], weights)
    with tempfile.TemporaryDirectory(prefix="edgeship-") as folder, storage_errors(Path(folder)):
        place = Path(folder) / f"{path.name}.h5"  # errors name it
        _write(place, topology, by_layer)
        yield place


def _topology(path: Path) -> dict[str, Any]:
    """What a .h5 file says of a model: `model_config` and `keras_version`."""
    topology = read_tfjs(path)["modelTopology"]
    config = topology.get("model_config", topology)
    if isinstance(config, dict) and isinstance(config.get("config"), list):  # a Sequential of early versions
        config = {**config, "config": {"name": "sequential", "layers": config["config"]}}
    inner = config.get("config") if isinstance(config, dict) else None
    layers = inner.get("layers") if isinstance(inner, dict) else None
    plain = isinstance(layers, list) and all(isinstance(layer, dict) and _name(layer) for layer in layers)
    if not plain or not isinstance(config.get("class_name"), str):
        raise SourceError(f"{path.name}: its topology does not describe layers", remedy=_REMEDY)
    return {"model_config": config, "keras_version": str(topology.get("keras_version", ""))}


def _weights(path: Path) -> dict[str, Array]:
    """Weights by name in the order of the file, with the values that TF.js computes with."""
    import numpy as np

    from edgeship.inspection.tfjs import open_tfjs

    artifact = read_artifact(path)  # names stay in the folder
    opened = open_tfjs(path)
    found: dict[str, Array] = {}
    total = 0
    for group in read_tfjs(path)["weightsManifest"]:
        for weight in group["weights"]:
            name, stored = str(weight["name"]), (weight.get("quantization") or {}).get("dtype", weight["dtype"])
            if name in found or stored not in _ITEM_BYTES:
                raise SourceError(f"{path.name}: the weight {name!r} is there twice, or of type {stored}")
            values = opened.values(name)
            assert values is not None, "its type is known"
            found[name] = values.astype(np.float32) if values.dtype.kind == "f" else values
            total += math.prod(weight["shape"]) * _ITEM_BYTES[stored]
    held = sum(file.size_bytes for file in artifact.files[1:])
    if held != total:
        raise SourceError(
            f"{path.name}: its weight files hold {held:,} bytes, its weights take {total:,}", remedy=_REMEDY
        )
    return found


def _by_layer(path: Path, config: Mapping[str, Any], weights: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """The layers of the model in its order, each with its weights in the order of the file."""
    owners: dict[str, str] = {}
    found: dict[str, dict[str, Array]] = {}
    for layer in config["config"]["layers"]:
        found[_name(layer)] = {}
        for inner in _names_within(layer):
            owners.setdefault(inner, _name(layer))
    for name, values in weights.items():
        parts = name.split("/")
        owner = next((owners[part] for part in parts[:-1] if part in owners), None)
        if owner is None:
            raise SourceError(f"{path.name}: the weight {name!r} belongs to none of its layers", remedy=_REMEDY)
        found[owner][name] = values
    return found


def _name(layer: Mapping[str, Any]) -> str:
    config = layer.get("config")
    name = (config.get("name") if isinstance(config, dict) else None) or layer.get("name")
    return name if isinstance(name, str) else ""


def _names_within(layer: Mapping[str, Any]) -> Iterator[str]:
    """Names of a layer and of those that it wraps or holds."""
    yield _name(layer)
    config = layer.get("config")
    held = config if isinstance(config, dict) else {"layers": config}
    wrapped = [item for key in ("layer", "backward_layer", "cell") if isinstance(item := held.get(key), dict)]
    for item in wrapped:
        for name in _names_within(item):
            yield from (name, f"forward_{name}", f"backward_{name}")
    for item in held.get("layers") or ():
        if isinstance(item, dict):
            yield from _names_within(item)


def _write(place: Path, topology: Mapping[str, Any], by_layer: Mapping[str, Mapping[str, Array]]) -> None:
    """Write the file as Keras 2 does: a group for each layer, its weights in order."""
    import h5py
    import numpy as np

    with h5py.File(place, "w") as file:
        file.attrs["model_config"] = json.dumps(topology["model_config"])
        file.attrs["keras_version"] = topology["keras_version"]
        file.attrs["backend"] = "tensorflow"
        root = file.create_group("model_weights")
        _set_names(root, "layer_names", by_layer)
        for layer, weights in by_layer.items():
            group = root.create_group(layer)
            # Numbered, because the names of the model may be anything; order is what counts.
            names = [f"weight_{number:06d}" for number in range(len(weights))]
            _set_names(group, "weight_names", names)
            for name, values in zip(names, weights.values(), strict=True):
                group.create_dataset(name, data=np.asarray(values))


def _set_names(group: Any, key: str, names: Any) -> None:
    """An attribute holds 64 KiB: more names are divided as Keras does."""
    import numpy as np

    encoded = [name.encode() for name in names]
    size = max(map(len, encoded), default=1)
    step = max(1, 60_000 // size)
    if len(encoded) <= step:
        group.attrs[key] = np.asarray(encoded, f"S{size}") if encoded else np.asarray([], "S1")
        return
    for number, start in enumerate(range(0, len(encoded), step)):
        group.attrs[f"{key}{number}"] = np.asarray(encoded[start : start + step], f"S{size}")


def check_order(path: Path, model: Any) -> None:
    """Raise SourceError where the loaded model took weights in another order than the file names them."""
    by_layer = _by_layer(path, _topology(path)["model_config"], _weights(path))
    for layer in model.layers:
        ours = [w.name.rpartition("/")[2].removesuffix(":0") for w in _in_order(layer)]
        theirs = [name.rpartition("/")[2] for name in by_layer.get(layer.name, ())]
        if sorted(ours) == sorted(theirs) and ours != theirs:
            raise SourceError(
                f"{path.name}: layer {layer.name!r} has its weights in the order {', '.join(theirs)}; Keras wants "
                f"{', '.join(ours)}",
                remedy="Save the model again with tf.LayersModel.save or tensorflowjs_converter.",
            )


def _in_order(layer: Any) -> list[Any]:
    return [*layer.trainable_weights, *layer.non_trainable_weights]
