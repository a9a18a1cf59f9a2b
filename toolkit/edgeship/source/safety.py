"""What a model file asks for, found out without loading it: nothing of the file is executed here.

Keras files describe the model as JSON, which names classes and functions, and sometimes carries code (Lambda layers).
Frameworks have their own protection, which was bypassed before (CVE-2025-1550, CVE-2025-8747); this check comes first
and is an allow-list: what is not known to be harmless is refused, or has to be named by the user.
"""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeship.archives import MAX_BYTES, MAX_RATIO, check_zip
from edgeship.errors import SourceError, UnsafeModelError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MAX_CONFIG_BYTES = 256 << 20
_CARRIES_CODE = _words(
    "Lambda __lambda__ ClassMethod FlaxLayer InstanceMethod JaxLayer TFSMLayer TensorFlowOpLayer TorchModuleWrapper"
)
_PLAIN_VALUES = _words("__keras_tensor__ __tensor__ __numpy__ __bytes__ __ellipsis__ __slice__ __tuple__")
#: Parts of Keras whose classes only compute. `engine` is where Keras 2 kept its models.
_MODULES = _words(
    "activations constraints dtype_policies engine initializers layers losses metrics mixed_precision models ops "
    "optimizers quantizers random regularizers"
)
_FUNCTION_MODULES = _MODULES - {"engine", "layers", "models", "random"}
#: What may be taken from `keras` itself, `keras.models` and `keras.engine`, which hold functions of other kinds too.
_MODELS = _words("Functional Model Sequential DTypePolicy DTypePolicyMap FloatDTypePolicy QuantizedDTypePolicy Policy")
#: Layers that networks of `keras.applications` have for themselves (ConvNeXt, InceptionResNetV2).
_OF_APPLICATIONS = _words("CustomScaleLayer LayerScale StochasticDepth")
#: TensorFlow functions (Keras 2 stored calls of them as layers `TFOpLambda`) that only compute.
_TF_MODULES = _words("__operators__ bitwise dtypes image linalg math nn random signal")
_TF_FUNCTIONS = _words(
    "abs add argmax argmin boolean_mask broadcast_to cast clip_by_value concat convert_to_tensor cumsum divide einsum "
    "equal exp expand_dims eye fill floor gather gather_nd greater identity less matmul maximum minimum multiply "
    "negative norm one_hot ones ones_like pad pow range rank reduce_max reduce_mean reduce_min reduce_prod reduce_sum "
    "repeat reshape reverse roll round scatter_nd shape sigmoid sign size slice split sqrt square squeeze stack "
    "stop_gradient strided_slice subtract tanh tensordot tile transpose truediv unstack where zeros zeros_like"
)


@dataclass(frozen=True)
class Entry:
    """One object that a model's JSON describes."""

    class_name: str
    module: str | None
    registered_name: str | None
    config: Any
    layer: str


@dataclass(frozen=True)
class Description:
    """The JSON of a Keras file and the version of Keras that wrote it (empty where unknown)."""

    config: Mapping[str, Any]
    keras_version: str

    def entries(self) -> Iterator[Entry]:
        """All objects described, in no particular order. Training settings are left out: they are not loaded."""
        stack: list[tuple[Any, str]] = [
            ({key: value for key, value in self.config.items() if key != "compile_config"}, "the model")
        ]
        while stack:
            value, layer = stack.pop()
            if isinstance(value, dict):
                inner = value.get("config")
                name = inner.get("name") if isinstance(inner, dict) else None
                layer = name if isinstance(name, str) else layer
                if "class_name" in value:
                    yield _entry(value, layer)
                stack.extend((item, layer) for item in value.values())
            elif isinstance(value, list):
                stack.extend((item, layer) for item in value)


def _entry(value: Mapping[str, Any], layer: str) -> Entry:
    texts = [value.get(key) for key in ("class_name", "module", "registered_name")]
    class_name, module, registered = texts
    if not isinstance(class_name, str) or any(not isinstance(text, str | None) for text in texts):
        raise SourceError(f"layer {layer!r} is described by {class_name!r}, which is no class name")
    return Entry(class_name, module, registered, value.get("config"), layer)


def describe_keras_zip(path: Path) -> Description:
    """The description in a .keras file, after checks of the archive and of the weights file in it.

    Raises:
        SourceError: damaged, of another format, or unpacking to more than is plausible.
        UnsafeModelError: the weights refer to other files.
    """
    members = {member.filename for member in check_zip(path, SourceError)}
    if "config.json" not in members or "model.weights.h5" not in members:
        raise SourceError(
            f"{path.name} is a ZIP archive, but not a Keras model (config.json or model.weights.h5 is missing)",
            remedy="Save the model with model.save('model.keras').",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            config = _json(path, archive.read("config.json"))
            metadata = _json(path, archive.read("metadata.json")) if "metadata.json" in members else {}
            with archive.open("model.weights.h5") as file:
                check_hdf5(path, file)
    except (zipfile.BadZipFile, RuntimeError, EOFError, OSError) as error:
        raise SourceError(f"{path.name} is damaged: {error}", remedy="Copy or save the file again.") from error
    return Description(config, str(metadata.get("keras_version", "")))


def describe_hdf5(path: Path) -> Description:
    """The description in an .h5 file, after checks of the file.

    Raises:
        SourceError: damaged, weights only, or unpacking to more than is plausible.
        UnsafeModelError: the weights refer to other files.
    """
    import h5py

    check_hdf5(path, path)
    try:
        with h5py.File(path, "r") as file:
            config, version = file.attrs.get("model_config"), file.attrs.get("keras_version", "")
    except (OSError, RuntimeError, ValueError, TypeError) as error:
        raise SourceError(f"{path.name} has a damaged model description: {error}") from error
    if config is None:
        raise SourceError(
            f"{path.name} holds no model description (weights only, or not written by Keras)",
            remedy="Save the whole model with model.save(), not model.save_weights().",
        )
    return Description(_json(path, config), str(version.decode() if isinstance(version, bytes) else version))


def _json(path: Path, text: Any) -> dict[str, Any]:
    if not isinstance(text, str | bytes):
        raise SourceError(f"{path.name} has a damaged model description: {type(text).__name__} instead of text")
    if len(text) > _MAX_CONFIG_BYTES:
        raise SourceError(f"{path.name} describes the model in {len(text):,} bytes, more than is plausible")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path.name} has a damaged model description: {error}") from error
    if not isinstance(data, dict):
        raise SourceError(f"{path.name} has a damaged model description: {type(data).__name__} instead of a mapping")
    return data


def check_hdf5(path: Path, file: Any) -> None:
    """Refuse an HDF5 file that refers to other files or unpacks to more than is plausible.

    Args:
        path: names it in errors.
        file: what h5py opens: a path or a binary file object.
    """
    import h5py

    try:
        with h5py.File(file, "r") as opened:
            total = sum(_checked_bytes(path, dataset) for dataset in _datasets(path, opened))
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise SourceError(
            f"{path.name} is not a readable HDF5 file: {error}",
            remedy="It is truncated or of another type; copy or save the model again.",
        ) from error
    if total > MAX_BYTES:
        raise SourceError(f"{path.name} unpacks to {total:,} bytes", remedy=f"The limit is {MAX_BYTES:,} bytes.")


def _datasets(path: Path, root: Any) -> Iterator[Any]:
    import h5py

    stack, seen = [root], set()
    while stack:
        group = stack.pop()
        if group.id in seen:
            continue
        seen.add(group.id)
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise UnsafeModelError(f"{path.name}: {name!r} is a link ({type(link).__name__}), not weights")
            item = group[name]
            if isinstance(item, h5py.Group):
                stack.append(item)
            elif isinstance(item, h5py.Dataset):
                yield item


def _checked_bytes(path: Path, dataset: Any) -> int:
    if dataset.external or dataset.is_virtual:
        raise UnsafeModelError(f"{path.name}: {dataset.name!r} takes its values from another file")
    size = int(dataset.nbytes)
    if size > max(64 << 20, MAX_RATIO * dataset.id.get_storage_size()):
        raise SourceError(f"{path.name}: {dataset.name!r} unpacks to {size:,} bytes, more than is plausible")
    return size


def check_description(path: Path, description: Description, custom: Collection[str]) -> None:
    """Refuse what carries code or names code that is neither Keras's, edgeship's, nor given by the user.

    Args:
        path: names the file in errors.
        description: of the file.
        custom: names given with --custom-objects, with and without their package.

    Raises:
        UnsafeModelError: the model carries code, or asks to import some.
        SourceError: a class of the user's own is missing.
    """
    for entry in description.entries():
        _check_entry(path, entry, custom)


def _check_entry(path: Path, entry: Entry, custom: Collection[str]) -> None:
    name = entry.class_name
    if name in _CARRIES_CODE:
        raise _unsafe(path, entry, "carries code")
    if name.startswith("__"):
        if name not in _PLAIN_VALUES:
            raise _unsafe(path, entry, "is no value that we know")
    elif name in ("TFOpLambda", "SlicingOpLambda"):
        _check_tf_function(path, entry)
    elif name == "InstanceProperty":
        if str(entry.config.get("attr_name") if isinstance(entry.config, dict) else "_").startswith("_"):
            raise _unsafe(path, entry, "reads a private attribute")
    elif name == "function":
        _check_function(path, entry, custom)
    elif not _is_given(entry, custom):
        _check_class(path, entry)
    if isinstance(entry.config, dict) and isinstance(entry.config.get("vocabulary"), str):
        raise _unsafe(path, entry, "reads a vocabulary from a file")


def _is_given(entry: Entry, custom: Collection[str]) -> bool:
    """Whether the user named this class, or it is one of ours (registered under the package `edgeship`).

    The registered name decides, as in Keras, which imports `module` where that name is unknown.
    """
    registered = entry.registered_name or entry.class_name
    ours = registered.startswith("edgeship>") and (entry.module or "edgeship").split(".")[0] == "edgeship"
    return ours or registered in custom


def _check_class(path: Path, entry: Entry) -> None:
    module, name = entry.module, entry.class_name
    if module is None:
        if ">" in (entry.registered_name or name) or not _is_builtin(name):
            raise _missing(path, entry, "your_module", name.rpartition(">")[2])
        return
    root, part = _split_module(module)
    if root is None:
        raise _foreign(path, entry, module, name)
    if part == "applications" and name in _OF_APPLICATIONS:
        return
    if part not in _MODULES | {""} or (part in ("", "models", "engine") and name not in _MODELS):
        raise _unsafe(path, entry, f"is {module}.{name}, which is not a layer")


def _check_function(path: Path, entry: Entry, custom: Collection[str]) -> None:
    name = entry.config
    if not isinstance(name, str):
        raise SourceError(f"{path.name}: layer {entry.layer!r} names a function by {name!r}")
    if name in custom or (entry.registered_name or "") in custom:
        return
    if entry.module in (None, "builtins"):
        if not _is_builtin(name):
            raise _missing(path, entry, "your_module", name.rpartition(">")[2])
        return
    root, part = _split_module(str(entry.module))
    if root is None:
        raise _foreign(path, entry, str(entry.module), name)
    if part not in _FUNCTION_MODULES:
        raise _unsafe(path, entry, f"calls {entry.module}.{name}")


def _check_tf_function(path: Path, entry: Entry) -> None:
    symbol = entry.config.get("function") if isinstance(entry.config, dict) else None
    module, _, name = str(symbol).removeprefix("compat.v1.").rpartition(".")
    if not (module in _TF_MODULES or (module == "" and name in _TF_FUNCTIONS)):
        raise _unsafe(path, entry, f"calls tf.{symbol}")


def _split_module(module: str) -> tuple[str | None, str]:
    """`keras.src.layers.core.dense` -> (`keras`, `layers`); root None for what is not Keras."""
    parts = module.split(".")
    if parts[0] not in ("keras", "tf_keras"):
        return None, ""
    rest = [part for part in parts[1:] if part != "src"]
    return parts[0], rest[0] if rest else ""


@functools.cache
def _is_builtin(name: str) -> bool:
    """Whether Keras 3 or Keras 2 has a class or function of this name; older files do not say where it is from."""
    import keras

    if name in _MODELS or _has(keras, name):
        return True
    try:
        import tf_keras
    except ImportError:
        return False
    return _has(tf_keras, name)


def _has(framework: Any, name: str) -> bool:
    places = [getattr(framework, part, None) for part in _MODULES - {"models", "engine", "random"}]
    return not name.startswith("_") and any(hasattr(place, name) for place in places if place is not None)


def _unsafe(path: Path, entry: Entry, what: str) -> UnsafeModelError:
    return UnsafeModelError(
        f"{path.name}: layer {entry.layer!r} ({entry.class_name}) {what}; loading it could run code from the file",
        remedy="Replace it by a layer class of yours (--custom-objects), or, for a file that you trust: --allow-unsafe",
    )


def _foreign(path: Path, entry: Entry, module: str, name: str) -> UnsafeModelError:
    return UnsafeModelError(
        f"{path.name}: layer {entry.layer!r} needs {name!r} of module {module!r}, which is not part of Keras",
        remedy=f"Name what may be imported: --custom-objects {module}:{name}",
    )


def _missing(path: Path, entry: Entry, module: str, name: str) -> SourceError:
    return SourceError(
        f"{path.name}: layer {entry.layer!r} needs {name!r}, which is not part of Keras",
        remedy=f"Say where it is: --custom-objects {module}:{name}",
    )
