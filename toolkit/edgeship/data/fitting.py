"""Do samples and labels fit the model? Arrays become what the model takes, or a DataError says why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import DataError
from edgeship.metrics import BY_TASK, VOID
from edgeship.preprocessing import PIXELS, changes, prepare
from edgeship.types import Preprocessing, TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array

TASKS = tuple(BY_TASK)

Labels = Mapping[str, "Array | None"]


def fit_input(array: Array, spec: TensorSpec | None, where: str, wanted: Preprocessing) -> Array:
    """Samples in the shape and dtype that the model takes.

    A missing last axis of length 1 is added, channels are put in order, float inputs are scaled; nothing else changes.

    Args:
        array: (N, ...).
        spec: the model's input; None where there is no model yet (floats become float32).
        where: names the array in errors.
        wanted: what to do to raw values; integer inputs get their channels in order only.

    Raises:
        DataError: no samples, another shape, a dtype that cannot be converted without loss, NaN or infinity, numbers
            that do not fit the channels.
    """
    if array.dtype.kind not in "fiub":
        raise DataError(f"{where} has dtype {array.dtype}", remedy="Inputs are numbers.")
    if array.ndim == 0 or len(array) == 0:
        raise DataError(f"{where} is empty")
    if spec is not None:
        array = _fit_shape(array, spec, where)
    if array.dtype.kind == "f":
        _check_finite(array, where)
    dtype = (
        np.dtype(spec.dtype) if spec is not None else np.dtype("float32" if array.dtype.kind == "f" else array.dtype)
    )
    return _convert(array, dtype, where, wanted)


def total(
    given: Sequence[tuple[Array, TensorSpec | None]], before: Preprocessing, wanted: Preprocessing
) -> Preprocessing:
    """From raw values to what the model takes; the scale is None where nobody said how the samples were prepared.

    Args:
        given: each array as it came, with the model's input for it.
        before: what was done to raw values before they were these arrays, as far as that is known.
        wanted: what the user wants done to float inputs, which speaks of raw values.
    """
    channels = wanted.channels or before.channels
    scaled = [spec is None or np.dtype(spec.dtype).kind == "f" for _, spec in given]
    raw = all(array.dtype == np.uint8 for array, _ in given)
    values = before.value_range or (PIXELS if raw else None)
    if not all(scaled):
        kept = None if any(scaled) else 1.0
        return replace(before, scale=kept, channels=channels, value_range=values)
    found = replace(wanted, resize=before.resize, channels=channels, value_range=values)
    if before.scale is not None:
        return replace(found, scale=before.scale * (wanted.scale or 1.0))
    said = raw or changes(wanted)
    return found if said else replace(found, scale=None)


def _fit_shape(array: Array, spec: TensorSpec, where: str) -> Array:
    wanted = spec.shape[1:]
    if len(wanted) == array.ndim and wanted[-1] == 1:
        array = array[..., None]
    if len(wanted) != array.ndim - 1 or any(
        want is not None and want != have for want, have in zip(wanted, array.shape[1:], strict=True)
    ):
        expected = ", ".join("any" if n is None else str(n) for n in wanted)
        raise DataError(
            f"{where} has samples of shape {array.shape[1:]}, but input {spec.name!r} of the model takes ({expected})",
            remedy="Prepare the samples as for training; edgeship resizes only folders of images.",
        )
    return array


def _check_finite(array: Array, where: str) -> None:
    for start in range(0, len(array), 4096):
        bad = ~np.isfinite(array[start : start + 4096]).reshape(len(array[start : start + 4096]), -1).all(axis=1)
        if bad.any():
            first = start + int(np.argmax(bad))
            raise DataError(f"{where} contains NaN or infinite values (first in sample {first})")


def _convert(array: Array, dtype: np.dtype[np.generic], where: str, wanted: Preprocessing) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is found by comparing
        converted = array.astype(dtype, copy=False)
    if dtype.kind != "f":
        if not np.array_equal(converted, array):
            raise DataError(
                f"{where} has dtype {array.dtype}, and its values do not all fit the model's {dtype}",
                remedy=f"Give whole numbers in the range of {dtype}.",
            )
        return prepare(converted, Preprocessing(channels=wanted.channels))
    if array.dtype.kind == "f" and not np.isfinite(converted).all():
        raise DataError(f"{where} has values beyond the range of {dtype}")
    return prepare(converted, wanted)


def infer_task(labels: Labels, first_inputs: Mapping[str, Array], outputs: Sequence[TensorSpec]) -> str:
    """The task that labels and the model's first output speak of (see `Dataset.task`).

    Args:
        labels: split -> labels as given, None where there are none.
        first_inputs: split -> samples of the first input.
        outputs: of the model; empty where there is no model yet.

    Raises:
        DataError: there are no labels and the output does not have the input's shape.
    """
    split = next(iter(labels))
    y, x = labels[split], first_inputs[split]
    if y is None:
        if outputs and not _fits(x.shape[1:], outputs[0].shape[1:]):
            raise DataError(
                "the dataset has no labels", remedy="Add y_train and y_test (or y); only autoencoders do without."
            )
        return "reconstruction"
    if y.shape == x.shape and y.dtype.kind in "fiub" and np.array_equal(y.astype(x.dtype), x):
        return "reconstruction"
    every = [value for value in labels.values() if value is not None]
    if not outputs:
        return _task_of_labels(y)
    shape = outputs[0].shape
    return _task_of_map(y, shape) if len(shape) > 2 else _task_of_rows(every, shape)


def _task_of_rows(every: Sequence[Array], shape: tuple[int | None, ...]) -> str:
    """For outputs of shape (N,) or (N, K)."""
    if len(shape) == 1 or shape[1] == 1:
        return "binary" if all(np.isin(y, (0, 1)).all() for y in every) else "regression"
    targets = all(y.ndim == 2 and y.shape[1] == shape[1] for y in every)
    return "regression" if targets and not all(map(_is_one_hot, every)) else "classification"


def _task_of_labels(y: Array) -> str:
    if y.ndim == 1 or y.shape[1:] == (1,) or (y.ndim == 2 and _is_one_hot(y)):
        return "classification" if _is_whole(y) else "regression"
    return "segmentation" if _is_whole(y) and y.dtype.kind in "iub" else "regression"


def _task_of_map(y: Array, shape: tuple[int | None, ...]) -> str:
    """Segmentation for labels without the channel axis, one-hot, or a 0/1 mask of one channel."""
    one_hot = _fits(y.shape[1:], shape[1:]) and shape[-1] != 1 and _is_one_hot(y)
    per_pixel = _fits(y.shape[1:], shape[1:-1]) or (y.shape[-1:] == (1,) and _fits(y.shape[1:-1], shape[1:-1]))
    mask = shape[-1] != 1 or bool(np.isin(y, (0, 1, VOID)).all())
    return "segmentation" if one_hot or (per_pixel and _is_whole(y) and mask) else "regression"


def _fits(have: tuple[int, ...], want: tuple[int | None, ...]) -> bool:
    return len(have) == len(want) and all(w is None or w == h for h, w in zip(have, want, strict=True))


def _is_whole(array: Array) -> bool:
    return array.dtype.kind in "iub" or (array.dtype.kind == "f" and bool((array == np.floor(array)).all()))


def _is_one_hot(array: Array) -> bool:
    if array.dtype.kind not in "fiub" or array.ndim < 2 or array.shape[-1] < 2:
        return False
    return bool(np.isin(array, (0, 1)).all() and (array.sum(axis=-1) == 1).all())


def fit_labels(task: str, y: Array, outputs: Sequence[TensorSpec], where: str) -> Array:
    """Labels in the form of `Dataset.task`: int64 classes, or float32 targets of the output's shape.

    Raises:
        DataError: another shape, a dtype that is no class, labels out of range, NaN in targets, one class only.
    """
    if y.dtype.kind not in "fiub":
        raise DataError(f"{where} has dtype {y.dtype}", remedy="Labels are numbers or class names.")
    shape = outputs[0].shape if outputs else None
    if task == "regression":
        return _fit_targets(y, shape, where)
    rank = 1 if task != "segmentation" else (len(shape) - 1 if shape else None)
    labels = _fit_classes(y, rank, count_classes(task, shape), where)
    if rank not in (None, labels.ndim) or (
        task == "segmentation" and shape and not _fits(labels.shape[1:], shape[1:-1])
    ):
        raise DataError(
            f"{where} has shape {y.shape}, which does not fit a {task} model with output {list(shape or ())}"
        )
    _check_range(task, labels, shape, where)
    return labels


def _fit_classes(y: Array, rank: int | None, classes: int | None, where: str) -> Array:
    """Integer labels of the given rank from integers, whole floats or one-hot rows of `classes` numbers."""
    if rank is not None and y.ndim == rank + 1:
        if y.shape[-1] == 1:
            y = y[..., 0]
        elif _is_one_hot(y):
            if classes not in (None, y.shape[-1]):
                raise DataError(f"{where} has one-hot rows of {y.shape[-1]} classes, but the model has {classes}")
            y = y.argmax(axis=-1)
        else:
            raise DataError(
                f"{where} has rows of {y.shape[-1]} numbers that are not one-hot",
                remedy="Give integer labels or one-hot rows; soft labels are a regression task.",
            )
    if not _is_whole(y):
        raise DataError(f"{where} has labels that are not whole numbers", remedy="Labels are class indices 0, 1, ...")
    labels: Array = y.astype(np.int64)
    return labels


def _check_range(task: str, labels: Array, shape: tuple[int | None, ...] | None, where: str) -> None:
    counted = labels[labels != VOID] if task == "segmentation" else labels
    classes = count_classes(task, shape)
    low, high = (int(counted.min()), int(counted.max())) if counted.size else (0, 0)
    if low < 0 or (classes is not None and high >= classes):
        allowed = f"0 to {classes - 1}" if classes is not None else "0 and up"
        raise DataError(
            f"{where} has labels from {low} to {high}, but the model's labels are {allowed}",
            remedy="Number the classes from 0 in the order of the model's outputs.",
        )
    if task != "segmentation" and low == high:
        raise DataError(
            f"{where} holds a single class ({low})",
            remedy="A check on one class proves nothing: add samples of others.",
        )


def count_classes(task: str, shape: tuple[int | None, ...] | None) -> int | None:
    """Number of classes by the shape of the model's output; None where that does not tell."""
    if task == "binary":
        return 2
    if shape is None or task not in ("classification", "segmentation") or len(shape) < 2:
        return None
    return 2 if shape[-1] == 1 else shape[-1]


def _fit_targets(y: Array, shape: tuple[int | None, ...] | None, where: str) -> Array:
    if shape is not None:
        if y.ndim == len(shape) - 1 and shape[-1] == 1:
            y = y[..., None]
        if not _fits(y.shape[1:], shape[1:]):
            raise DataError(f"{where} has targets of shape {y.shape[1:]}, but the model gives {list(shape[1:])}")
    targets = y.astype(np.float32)
    _check_finite(targets, where)
    return targets
