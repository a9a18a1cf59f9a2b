"""A trained model in: looked at, checked, and described as a `Source`; loaded and run again from that.

The kinds are in `edgeship.source.kinds`; live models are written to disk first by `save_live`. What needs TensorFlow
is marked [child] and runs in a worker.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import DataError, MissingPackageError, SourceError
from edgeship.files import storage_errors
from edgeship.source.kinds import has_signatures, kind_of, place_of, why_no_layers
from edgeship.source.signature import Signature
from edgeship.types import Dataset, Progress, ProgressCallback, Source

if TYPE_CHECKING:
    from edgeship.source.safety import Description
    from edgeship.types import Array

_BATCH = 128


def inspect(
    path: Path, custom_objects: tuple[str, ...] = (), allow_unsafe: bool = False, signature: str | None = None
) -> Source:
    """Look at a model: how it is read, what it takes and gives, and whether it is fit for use [child].

    Args:
        path: a .keras, .h5, .pb, .onnx or .tflite file, the folder of a SavedModel, or the model.json (or folder) of a
            TF.js layers model.
        custom_objects: `module:name` references to the user's own layers and functions.
        allow_unsafe: load models that carry code.
        signature: of a SavedModel, which of its signatures; of a frozen graph, the names of its outputs, divided by
            commas. None: `serving_default` or the only one; the only output.

    Raises:
        SourceError: missing, empty, damaged or of another type; a class is missing; NaN weights; no such signature.
        UnsafeModelError: it carries code, or asks to import some, and `allow_unsafe` is False.
        MissingPackageError: TensorFlow or Keras is not installed.
    """
    path = place_of(path)
    kind = kind_of(path)
    if signature is not None and not has_signatures(path):
        raise SourceError(f"{path.name} has no signatures to choose from", remedy="Leave --signature out.")
    if kind == "tflite":
        from edgeship.source.tflite import inspect_tflite

        return inspect_tflite(path)
    if kind == "onnx":
        from edgeship.source.onnx import inspect_onnx

        return inspect_onnx(path)
    _need_tensorflow(path)
    if kind == "savedmodel":
        from edgeship.source.saved import inspect_saved_model

        return inspect_saved_model(path, allow_unsafe, signature)
    if kind == "graphdef":
        from edgeship.source.graphdef import inspect_graph

        return inspect_graph(path, allow_unsafe, signature)
    return _inspect_keras(path, kind, custom_objects, allow_unsafe)


def load(source: Source) -> Any:
    """The model itself: a Keras or tf_keras model, the loaded SavedModel, or for a graph its Signature [child].

    The file is checked again, so it is safe to call on a Source from elsewhere.

    Raises:
        SourceError: the file is not what it was, or a .tflite file, which has no such object.
    """
    if source.loader == "litert":
        raise SourceError(f"{source.path.name} is a TFLite file; it can be run, but not loaded for training")
    _need_tensorflow(source.path)
    if source.kind == "savedmodel":
        from edgeship.source.saved import load_saved_model

        return load_saved_model(source.path, allow_unsafe=source.allow_unsafe)
    if source.kind == "graphdef":
        from edgeship.source.graphdef import load_graph

        return load_graph(source.path, source.allow_unsafe, source.signature)
    if source.kind == "onnx":
        from edgeship.source.onnx import load_onnx

        return load_onnx(source.path)
    from edgeship.source import models

    with _keras_file(source.path, source.kind) as file:
        description, custom = _checked(file, source.kind, source.custom_objects, source.allow_unsafe)
        try:
            if source.loader == "keras":
                return models.load_keras(file, description, custom, allow_unsafe=source.allow_unsafe)
            return models.load_tf_keras(file, custom, allow_unsafe=source.allow_unsafe)
        except (MemoryError, SourceError):
            raise
        except Exception as error:
            raise SourceError(f"{source.path.name} cannot be loaded with {source.loader}: {error}") from error


def forward(model: Any, source: Source) -> Callable[..., list[Any]]:
    """How to call a loaded model: input tensors in the order of `source.inputs` to outputs in that of `source.outputs`.

    The call is in inference mode and can be traced by tf.function. Works for every structure of inputs and outputs
    (single, list, dict) and for SavedModels whose own names are not the safe ones of the Source [child].
    """
    if isinstance(model, Signature):
        return model.call
    return _signature(model, source.loader, source.signature).call


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


def save_live(model: Any, folder: Path, custom_objects: tuple[str, ...] = (), *, allow_unsafe: bool = False) -> Path:
    """Write a live Keras 3 or tf_keras model to `folder` and return what was written: `model.keras` or `model.h5`.

    A model that these cannot hold (subclassed without a config), or that asks for code which the user did not name, is
    written as what it computes: the SavedModel `model`. It needs no code, and cannot be trained.

    Runs in the user's own process, where the framework is loaded already.

    Args:
        model: live, and built or called once.
        folder: is made.
        custom_objects: `module:name` references that will be given when it is read.
        allow_unsafe: whether it may carry code.

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
        problem = _saved(model, temporary, place)
        if problem is None and (allow_unsafe or _needs_nothing(place, custom_objects)):
            return place
        exported = _exported(model, folder)
        if exported is not None:
            return exported
        if problem is None:
            return place
        raise SourceError(
            f"model {model.name!r} cannot be saved: {problem}",
            remedy="Call it once on data, so that its inputs are known; or write get_config() for its classes.",
        ) from problem


def _saved(model: Any, temporary: Path, place: Path) -> Exception | None:
    """Save a model at `place`, whole or not at all; what the framework says where it cannot."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # tf_keras calls .h5 a legacy format
            model.save(temporary)
        temporary.replace(place)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - frameworks raise anything
        return error
    finally:
        temporary.unlink(missing_ok=True)
    return None


def _needs_nothing(file: Path, custom_objects: tuple[str, ...]) -> bool:
    """Whether a saved model can be read with no more code than the user names."""
    try:
        _checked(file, "keras" if file.suffix == ".keras" else "h5", custom_objects, allow_unsafe=False)
    except SourceError:
        return False
    return True


def _exported(model: Any, folder: Path) -> Path | None:
    """What the model computes, as a SavedModel in `folder`; None where that cannot be written."""
    from edgeship.source.saved import write_saved_model

    place, temporary = folder / "model", folder / ".exporting"
    shutil.rmtree(place, ignore_errors=True)
    try:
        loader = "keras" if _is_model(model, "keras") else "tf_keras"
        write_saved_model(_signature(model, loader, ""), model.variables, temporary)
        temporary.rename(place)
    except (OSError, MemoryError):
        raise
    except Exception:  # noqa: BLE001 - frameworks raise anything; what is wrong was said when it was to be saved
        return None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
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
    return why_no_layers(source.kind)


def _need_tensorflow(path: Path) -> None:
    missing = [name for name in ("tensorflow", "keras", "h5py") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingPackageError(
            f"reading {path.name} needs {', '.join(missing)}", remedy="Get it: pip install 'edgeship[tensorflow]'"
        )


def _is_model(model: Any, framework: str) -> bool:
    loaded = sys.modules.get(framework)
    return loaded is not None and isinstance(model, loaded.Model)


@contextmanager
def _keras_file(path: Path, kind: str) -> Iterator[Path]:
    """The file that Keras reads."""
    if kind != "tfjs":
        yield path
        return
    from edgeship.source.tfjs import as_h5

    with as_h5(path) as file:
        yield file


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


def _signature(model: Any, loader: str, key: str) -> Signature:
    from edgeship.source import models

    if loader == "savedmodel":
        from edgeship.source.saved import saved_model_signature

        return saved_model_signature(model, key)
    return models.keras_signature(model) if loader == "keras" else models.tf_keras_signature(model)


def _inspect_keras(path: Path, kind: str, references: tuple[str, ...], allow_unsafe: bool) -> Source:
    import json

    from edgeship.source import hashing, models

    with _keras_file(path, kind) as file:
        description, custom = _checked(file, kind, references, allow_unsafe)
        model, loader = models.choose_loader(file, description, custom, allow_unsafe=allow_unsafe)
    if kind == "tfjs":
        from edgeship.source.tfjs import check_order

        check_order(path, model)
    signature = _signature(model, loader, "")
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
