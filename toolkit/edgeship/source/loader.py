"""A trained model in: looked at, checked, and described as a `Source`; loaded and run again from that.

Kinds: `.keras` (Keras 3), `.h5` (Keras 2 and 3), SavedModel folders, float `.tflite` files, and live models, which
`save_live` writes to disk first. What needs TensorFlow is marked [child] and runs in a worker.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import DataError, MissingPackageError, SourceError
from edgeship.files import storage_errors
from edgeship.types import Dataset, Progress, ProgressCallback, Source

if TYPE_CHECKING:
    from edgeship.source.models import Signature
    from edgeship.source.safety import Description
    from edgeship.types import Array

_KINDS = {".keras": "keras", ".h5": "h5", ".hdf5": "h5", ".tflite": "tflite"}
_ALLOWED = "Allowed: a .keras or .h5 file, a SavedModel folder, a float .tflite file."
_BATCH = 128


def inspect(path: Path, custom_objects: tuple[str, ...] = (), allow_unsafe: bool = False) -> Source:
    """Look at a model: how it is read, what it takes and gives, and whether it is fit for use [child].

    Args:
        path: a .keras, .h5 or .tflite file, or the folder of a SavedModel.
        custom_objects: `module:name` references to the user's own layers and functions.
        allow_unsafe: load models that carry code.

    Raises:
        SourceError: missing, empty, damaged or of another type; a class is missing; NaN weights.
        UnsafeModelError: it carries code, or asks to import some, and `allow_unsafe` is False.
        MissingPackageError: TensorFlow or Keras is not installed.
    """
    kind = _kind(path)
    if kind == "tflite":
        from edgeship.source.tflite import inspect_tflite

        return inspect_tflite(path)
    _need_tensorflow(path)
    if kind == "savedmodel":
        return _inspect_saved_model(path, allow_unsafe)
    return _inspect_keras(path, kind, custom_objects, allow_unsafe)


def load(source: Source) -> Any:
    """The model itself: a Keras or tf_keras model, or the loaded SavedModel [child].

    The file is checked again, so it is safe to call on a Source from elsewhere.

    Raises:
        SourceError: the file is not what it was, or a .tflite file, which has no such object.
    """
    if source.loader == "litert":
        raise SourceError(f"{source.path.name} is a TFLite file; it can be run, but not loaded for training")
    _need_tensorflow(source.path)
    if source.loader == "savedmodel":
        return _load_saved_model(source.path, source.allow_unsafe)
    from edgeship.source import models

    description, custom = _checked(source.path, source.kind, source.custom_objects, source.allow_unsafe)
    try:
        if source.loader == "keras":
            return models.load_keras(source.path, description, custom, allow_unsafe=source.allow_unsafe)
        return models.load_tf_keras(source.path, custom, allow_unsafe=source.allow_unsafe)
    except (MemoryError, SourceError):
        raise
    except Exception as error:
        raise SourceError(f"{source.path.name} cannot be loaded with {source.loader}: {error}") from error


def forward(model: Any, source: Source) -> Callable[..., list[Any]]:
    """How to call a loaded model: input tensors in the order of `source.inputs` to outputs in that of `source.outputs`.

    The call is in inference mode and can be traced by tf.function. Works for every structure of inputs and outputs
    (single, list, dict) and for SavedModels whose own names are not the safe ones of the Source [child].
    """
    return _signature(model, source.loader, source.path).call


def predict(source: Source, dataset: Dataset, split: str, out_dir: Path, progress: ProgressCallback) -> tuple[str, ...]:
    """Run the original model on a split; writes `<out_dir>/<output>.npy`, one row a sample [child].

    Returns:
        Output names in the order of `source.outputs`.

    Raises:
        DataError: the dataset was made for other inputs.
        SourceError: an output does not have one row a sample, or is not numeric.
        StorageFullError: no space in `out_dir`.
    """
    import tensorflow as tf

    from edgeship import data
    from edgeship.data.arrays import RowWriter

    samples = data.load(dataset, split)
    names = [spec.name for spec in source.inputs]
    if set(names) != set(samples.inputs):
        raise DataError(f"the dataset has inputs {', '.join(samples.inputs)}; the model takes {', '.join(names)}")
    arrays = [samples.inputs[name] for name in names]
    if any(not spec.shape for spec in source.inputs):
        raise SourceError(f"{source.path.name} takes single values, not batches", remedy="Export it with a batch axis.")
    rows, batch = len(arrays[0]), source.inputs[0].shape[0] or _BATCH
    call = tf.function(forward(load(source), source), autograph=False)
    with storage_errors(out_dir), ExitStack() as stack:
        out_dir.mkdir(parents=True, exist_ok=True)
        writers = [stack.enter_context(RowWriter(out_dir / f"{spec.name}.npy", rows)) for spec in source.outputs]
        for start in range(0, rows, batch):
            count = min(batch, rows - start)
            results = call(*(tf.constant(_batch(array, start, batch)) for array in arrays))
            for spec, writer, result in zip(source.outputs, writers, results, strict=True):
                writer.write(_rows(spec.name, result.numpy(), batch)[:count])
            progress(Progress("run the original", start + count, rows))
    return tuple(spec.name for spec in source.outputs)


def save_live(model: Any, folder: Path) -> Path:
    """Write a live Keras 3 or tf_keras model to `folder` (`model.keras` or `model.h5`) and return the file.

    Runs in the user's own process, where the framework is loaded already.

    Raises:
        SourceError: not a model of either, not built yet, or not savable.
        StorageFullError: no space in `folder`.
    """
    framework = next((name for name in ("keras", "tf_keras") if _is_model(model, name)), None)
    if framework is None:
        raise SourceError(
            f"{type(model).__name__} is not a Keras model", remedy="Give a keras.Model, a tf_keras.Model or a path."
        )
    if not model.built:
        raise SourceError(f"model {model.name!r} has no weights yet", remedy="Build it, or call it once on data.")
    suffix = ".keras" if framework == "keras" else ".h5"
    place, temporary = folder / f"model{suffix}", folder / f".saving{suffix}"
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # tf_keras calls .h5 a legacy format
                model.save(temporary)
            temporary.replace(place)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise SourceError(f"model {model.name!r} cannot be saved: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)
    return place


def why_not_trainable(source: Source) -> str:
    """Why there is only post-training work for a source, for messages; empty for one that can be trained."""
    if source.trainable:
        return ""
    if source.loader == "tf_keras":
        return (
            f"{source.path.name} was written by Keras 2 and computes otherwise, or cannot be read, in Keras 3, which "
            "trains here"
        )
    return f"a {source.kind} model holds what is computed, but not the layers that training needs"


def _need_tensorflow(path: Path) -> None:
    missing = [name for name in ("tensorflow", "keras", "h5py") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"reading {path.name} needs {', '.join(missing)}", remedy="Get it: pip install 'edgeship[tensorflow]'"
        )


def _is_model(model: Any, framework: str) -> bool:
    loaded = sys.modules.get(framework)
    return loaded is not None and isinstance(model, loaded.Model)


def _kind(path: Path) -> str:
    """Kind of a model by what lies at `path`."""
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        raise SourceError(f"{path} is a folder without saved_model.pb", remedy=_ALLOWED)
    if not path.is_file():
        raise SourceError(f"there is no model at {path}", remedy=_ALLOWED)
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        raise SourceError(
            f"{path.name} is of no type that edgeship reads ({path.suffix or 'no suffix'})", remedy=_ALLOWED
        )
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from error
    if not head:
        raise SourceError(f"{path.name} is empty (0 bytes)", remedy="Copy or save the file again.")
    _check_head(path, kind, head)
    return kind


def _check_head(path: Path, kind: str, head: bytes) -> None:
    """Compare the suffix with the first bytes, to say what a renamed file really is."""
    found = "keras" if head.startswith(b"PK\x03\x04") else "h5" if head == b"\x89HDF\r\n\x1a\n" else ""
    suffix = {"keras": ".keras", "h5": ".h5"}
    if kind in suffix and found != kind:
        what = f"a {suffix[found]} file by its content" if found else "not a Keras model (neither HDF5 nor ZIP)"
        raise SourceError(f"{path.name} is {what}", remedy=f"Rename it to {suffix[found]}." if found else _ALLOWED)


def _checked(
    path: Path, kind: str, references: tuple[str, ...], allow_unsafe: bool
) -> tuple[Description, dict[str, Any]]:
    """The description of a Keras file and the custom objects, once the file is found safe."""
    from edgeship.source import models, safety

    description = (safety.describe_keras_zip if kind == "keras" else safety.describe_hdf5)(path)
    custom = models.custom_objects(references)
    for entry in description.entries():  # a class that the user named may have been registered in a package
        bare = (entry.registered_name or "").rpartition(">")[2]
        if bare in custom:
            custom.setdefault(str(entry.registered_name), custom[bare])
    if not allow_unsafe:
        safety.check_description(path, description, custom)
    return description, custom


def _signature(model: Any, loader: str, path: Path) -> Signature:
    from edgeship.source import models

    if loader == "savedmodel":
        return models.saved_model_signature(model, path.name)
    return models.keras_signature(model) if loader == "keras" else models.tf_keras_signature(model)


def _inspect_keras(path: Path, kind: str, references: tuple[str, ...], allow_unsafe: bool) -> Source:
    import json

    from edgeship.source import hashing, models

    description, custom = _checked(path, kind, references, allow_unsafe)
    model, loader = models.choose_loader(path, description, custom, allow_unsafe=allow_unsafe)
    signature = _signature(model, loader, path)
    parameters = hashing.check_weights(path.name, _weights(model))
    if loader == "keras":
        import keras

        architecture = keras.saving.serialize_keras_object(model)
    else:
        architecture = json.loads(model.to_json())
    return Source(
        path=path,
        kind=kind,
        loader=loader,
        sha256=hashing.hash_keras(architecture, _weights(model)),
        inputs=signature.inputs,
        outputs=signature.outputs,
        parameters=parameters,
        trainable=loader == "keras",
        fake_quantized=any((e.registered_name or "").startswith("edgeship>") for e in description.entries()),
        custom_objects=references,
        allow_unsafe=allow_unsafe,
    )


def _weights(model: Any) -> Iterator[tuple[str, Any]]:
    for weight in model.weights:
        yield getattr(weight, "path", weight.name), weight.numpy()


def _load_saved_model(path: Path, allow_unsafe: bool) -> Any:
    import tensorflow as tf

    from edgeship.source.graphs import check_saved_model

    check_saved_model(path, allow_unsafe=allow_unsafe)
    try:
        return tf.saved_model.load(str(path))
    except MemoryError:
        raise
    except Exception as error:
        raise SourceError(
            f"{path.name} cannot be loaded as a SavedModel: {str(error).splitlines()[0][:300]}",
            remedy="Copy the whole folder again (saved_model.pb and variables/).",
        ) from error


def _inspect_saved_model(path: Path, allow_unsafe: bool) -> Source:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from edgeship.source import hashing, models

    model = _load_saved_model(path, allow_unsafe)
    signature = models.saved_model_signature(model, path.name)
    function = model.signatures[models.SIGNATURE]
    frozen = convert_variables_to_constants_v2(function)
    return Source(
        path=path,
        kind="savedmodel",
        loader="savedmodel",
        sha256=hashing.hash_graph(
            frozen.graph.as_graph_def(), [t.op.name for t in frozen.outputs], signature.inputs, signature.outputs
        ),
        inputs=signature.inputs,
        outputs=signature.outputs,
        parameters=hashing.check_weights(path.name, ((v.name, v.numpy()) for v in function.variables)),
        trainable=False,
        allow_unsafe=allow_unsafe,
    )


def _batch(array: Array, start: int, batch: int) -> Array:
    """Rows `start` to `start + batch`, the last one repeated at the end: one shape for all batches."""
    import numpy as np

    rows = np.asarray(array[start : start + batch])
    return rows if len(rows) == batch else np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)])


def _rows(name: str, result: Array, batch: int) -> Array:
    if result.ndim == 0 or len(result) != batch:
        raise SourceError(f"output {name!r} of shape {result.shape} does not have one row for each of {batch} samples")
    if result.dtype.name == "bfloat16":
        return result.astype("float32")
    if result.dtype.kind not in "fiub":
        raise SourceError(f"output {name!r} is of type {result.dtype}, not numeric")
    return result
