"""The kinds of models that come in: what they are called, and which of them lies at a path."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeship.errors import InputError, SourceError

#: A larger model.json holds no topology of layers.
MAX_JSON_BYTES = 64 << 20


@dataclass(frozen=True)
class Kind:
    """A kind of model.

    Attributes:
        what: for people.
        suffixes: of its files; the folder of a SavedModel has none.
        graph: whether TensorFlow can make a graph of it, which most formats start from.
        layers: whether it may hold layers, which training needs.
    """

    what: str
    suffixes: tuple[str, ...] = ()
    graph: bool = True
    layers: bool = False


#: `Source.kind` -> what it is. A live Keras 3 model is written as `keras`, one of tf_keras as `h5`.
KINDS: Mapping[str, Kind] = {
    "keras": Kind(".keras, live Keras 3 model", (".keras",), layers=True),
    "h5": Kind(".h5 of Keras 2 or 3, live tf_keras model", (".h5", ".hdf5"), layers=True),
    "savedmodel": Kind("SavedModel, by signature"),
    "graphdef": Kind("frozen GraphDef (.pb)", (".pb",)),
    "tfjs": Kind("TF.js layers model (model.json)", (".json",), layers=True),
    "onnx": Kind("float .onnx", (".onnx",)),
    "tflite": Kind("float .tflite", (".tflite",), graph=False),
}

#: Why a format cannot be made of a kind without a graph, and what to do.
NO_GRAPH = (
    "it holds no TensorFlow graph, which this format is made from",
    "Give the Keras model or SavedModel that it was made from, or choose --to tflite or onnx.",
)

#: What is no source, with the reason; told where one is given, and in the matrix of `edgeship plugins --matrix`.
NO_SOURCES: Mapping[str, tuple[str, str]] = {
    "TF.js graph model (model.json)": (
        "its operators were folded for TF.js, and it holds no layers",
        "Give the Keras model or SavedModel that it was made from, or a TF.js layers model (tf.LayersModel.save).",
    ),
    "quantized .tflite": (
        "only float .tflite files can be a source",
        "Give the model that it was made from, or its float32 .tflite.",
    ),
    "quantized .onnx": (
        "only float .onnx files can be a source",
        "Give the float model that it was made from.",
    ),
}

ALLOWED = (
    "Allowed: a .keras or .h5 file, a SavedModel folder, a frozen graph (.pb), the model.json of a TF.js layers model, "
    "a float .onnx or .tflite file."
)
_BY_SUFFIX = {suffix: name for name, kind in KINDS.items() for suffix in kind.suffixes}


def why_no_layers(kind: str) -> str:
    """Why recipes cannot train a kind of model; empty for those that hold layers."""
    if KINDS[kind].layers:
        return ""
    article = "an" if kind[0] in "aeiou" else "a"
    return f"{article} {kind} model holds what is computed, but not the layers that training needs"


def place_of(path: Path) -> Path:
    """The file that stands for a model: of the folder of a TF.js model its model.json, else the path itself."""
    if path.is_dir() and not (path / "saved_model.pb").is_file() and (path / "model.json").is_file():
        return path / "model.json"
    return path


def kind_of(path: Path) -> str:
    """Kind of the model that lies at `path`. Raises SourceError for what is none, and for `NO_SOURCES`."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        raise SourceError(f"{path} is a folder without saved_model.pb or model.json", remedy=ALLOWED)
    if not path.is_file():
        raise SourceError(f"there is no model at {path}", remedy=ALLOWED)
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        raise SourceError(
            f"{path.name} is of no type that edgeship reads ({path.suffix or 'no suffix'})", remedy=ALLOWED
        )
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    if not head:
        raise SourceError(f"{path.name} is empty (0 bytes)", remedy="Copy or save the file again.")
    _check_head(path, kind, head)
    if path.name == "saved_model.pb":
        raise SourceError(f"{path} is part of a SavedModel", remedy=f"Give its folder: {path.parent}")
    if kind == "tfjs":
        read_tfjs(path)
    return kind


def has_signatures(path: Path) -> bool:
    """Whether what lies at a path may have several signatures, or outputs, to choose from."""
    return path.suffix.lower() == ".pb" or (path / "saved_model.pb").is_file()


def files_of(path: Path) -> list[Path]:
    """The files and folders that a model at `path` (see `place_of`) is made of, as far as it can be read."""
    found = [path]
    try:
        if path.suffix.lower() == ".json":
            names = [name for group in read_tfjs(path)["weightsManifest"] for name in group["paths"]]
            found += [path.parent / name for name in names]
        elif path.suffix.lower() == ".onnx" and path.is_file():
            from edgeship.source.onnx.file import outside

            found += [path.parent / name for name in outside(path)]
    except (InputError, KeyError, TypeError):  # what is wrong with it is said where it is read
        return [path]
    folder = path.parent.resolve()
    return [file for file in found if file == path or (file.is_file() and file.resolve().is_relative_to(folder))]


def read_tfjs(path: Path) -> dict[str, Any]:
    """The model.json of a TF.js layers model. Raises SourceError for other JSON, and for graph models."""
    if path.stat().st_size > MAX_JSON_BYTES:
        raise SourceError(f"{path.name} has more than {MAX_JSON_BYTES >> 20} MiB, which no model.json has")
    try:
        data: Any = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path.name} is not JSON: {error}", remedy=ALLOWED) from error
    topology = data.get("modelTopology") if isinstance(data, dict) else None
    if not isinstance(topology, dict) or not isinstance(data.get("weightsManifest"), list):
        raise SourceError(f"{path.name} is not the model.json of a TF.js model", remedy=ALLOWED)
    if data.get("format") == "graph-model" or "node" in topology:
        why, remedy = NO_SOURCES["TF.js graph model (model.json)"]
        raise SourceError(f"{path.name} is a TF.js graph model: {why}", remedy=remedy)
    return {str(key): value for key, value in data.items()}


def _check_head(path: Path, kind: str, head: bytes) -> None:
    """Compare the suffix with the first bytes, to say what a renamed file really is."""
    found = "keras" if head.startswith(b"PK\x03\x04") else "h5" if head == b"\x89HDF\r\n\x1a\n" else ""
    suffix = {"keras": ".keras", "h5": ".h5"}
    if kind in suffix and found != kind:
        what = f"a {suffix[found]} file by its content" if found else "not a Keras model (neither HDF5 nor ZIP)"
        raise SourceError(f"{path.name} is {what}", remedy=f"Rename it to {suffix[found]}." if found else ALLOWED)
