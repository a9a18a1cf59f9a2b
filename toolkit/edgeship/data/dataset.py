"""A dataset in: read, checked against the model, split, and written to disk once (`Dataset`).

Train, validation and calibration samples come from the training split and never from test: validation is held out
first, unless it was given apart; calibration samples are a stratified, seeded part of what remains. Labels belong to
the model's first output.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeship import cache
from edgeship.codec import from_json, to_json
from edgeship.data import digits, readers
from edgeship.data.arrays import save_rows, update_hash
from edgeship.data.fitting import count_classes, fit_input, fit_labels, infer_task, total
from edgeship.data.options import DataOptions
from edgeship.data.splits import choose, remaining
from edgeship.errors import DataError
from edgeship.files import whole_folder, write_text
from edgeship.metrics import VOID
from edgeship.types import Dataset, Preprocessing, TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array

_TEST_SHARE = 0.2
#: What samples are given as: splits, or `all` of them together.
_PARTS = ("all", "train", "validation", "test")
_KEY = re.compile(r"(?P<what>x|y|slice)(_(?P<split>train|validation|test))?(\.(?P<name>.+))?")
_SLICE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DESCRIPTION = "dataset.json"
_UNKNOWN = Preprocessing()


@dataclass(frozen=True)
class Samples:
    """One split, memory-mapped: inputs by name, labels and slices, all with N on the first axis.

    `labels` is the first input for a reconstruction task, and None for inputs without labels.
    """

    inputs: dict[str, Array]
    labels: Array | None
    slices: dict[str, Array]


@dataclass
class _Part:
    """Samples as given, before they are divided: one of `_PARTS`."""

    x: dict[str, Array] = field(default_factory=dict)
    y: Array | None = None
    slices: dict[str, Array] = field(default_factory=dict)


def open_dataset(
    spec: str, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], options: DataOptions, cache_dir: Path
) -> Dataset:
    """Read a dataset, check it against a model, and materialize it under `cache_dir/<hash>`.

    Args:
        spec: `digits`, an .npz file, a folder of images by class, or `module:function`.
        inputs: of the model; empty where there is none yet.
        outputs: of the model; labels belong to the first.
        options: how to divide and scale.
        cache_dir: where datasets are kept; an equal one is reused.

    Raises:
        DataError: what cannot be read or does not fit, and what is allowed.
        StorageFullError: no space under `cache_dir`.
    """
    name, arrays = readers.read(spec, inputs)
    if spec == "digits" and not inputs:
        inputs = (digits.INPUT,)
    return from_arrays(arrays, inputs, outputs, options, cache_dir, name, readers.preparation(spec, inputs))


def from_arrays(
    arrays: Mapping[str, Array],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    options: DataOptions,
    cache_dir: Path,
    name: str = "arrays",
    prepared: Preprocessing = _UNKNOWN,
) -> Dataset:
    """The same door for arrays in memory; their keys are those of an .npz file (`readers.KEYS`).

    `prepared` is what was done to them before, where that is known.
    """
    parts, classes = _parse(arrays, inputs)
    specs = {spec.name: spec for spec in inputs}
    given = [(array, specs.get(key)) for part in parts.values() for key, array in part.x.items()]
    preprocessing = total(given, prepared, options.preprocessing)
    for split, part in parts.items():
        for key, array in part.x.items():
            where = _key("x", split, key if len(part.x) > 1 else "")
            part.x[key] = fit_input(array, specs.get(key), where, options.preprocessing)
    if not inputs:
        inputs = tuple(
            TensorSpec(k, (None, *v.shape[1:]), str(v.dtype)) for k, v in next(iter(parts.values())).x.items()
        )
    classes = _number_text_labels(parts, classes)
    task = _label(parts, inputs[0].name, outputs, options)
    classes = _check_classes(classes, task, parts, outputs)
    for split, part in parts.items():
        _check_lengths(split, part)
    splits = _divide(parts, task, options)
    dataset = Dataset(
        path=Path(),
        name=name,
        sha256=_content_hash(parts, splits, (task, *classes), inputs),
        task=task,
        inputs=inputs,
        counts={split: len(index) for split, (_, index) in splits.items()},
        classes=classes,
        slices=tuple(next(iter(parts.values())).slices),
        preprocessing=preprocessing,
        augment=options.augment,
    )
    return _materialize(dataset, splits, cache_dir)


def load(dataset: Dataset, split: str) -> Samples:
    """A split of a dataset, memory-mapped read-only. Raises DataError for a split that it does not have."""
    if split not in dataset.counts:
        raise DataError(
            f"dataset {dataset.name!r} has no {split} samples", remedy=f"It has: {', '.join(dataset.counts)}."
        )
    folder = dataset.path / split

    def read(path: Path) -> Array:
        try:
            array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"dataset {dataset.name!r} is incomplete: {path.name}: {error}") from error
        return array

    inputs = {spec.name: read(folder / "x" / f"{spec.name}.npy") for spec in dataset.inputs}
    labels = folder / "y.npy"
    if dataset.task == "reconstruction":
        expected: Array | None = next(iter(inputs.values()))
    else:
        expected = None if dataset.task == "unlabelled" else read(labels)
    return Samples(
        inputs=inputs,
        labels=expected,
        slices={name: read(folder / "slices" / f"{name}.npy") for name in dataset.slices},
    )


def _key(what: str, split: str, name: str) -> str:
    """The .npz key of an array, for errors."""
    return what + ("" if split == "all" else f"_{split}") + (f".{name}" if name else "")


def _parse(arrays: Mapping[str, Array], inputs: Sequence[TensorSpec]) -> tuple[dict[str, _Part], tuple[str, ...]]:
    """Group arrays by split and input. Raises DataError for unknown or missing keys."""
    parts: dict[str, _Part] = {}
    classes: tuple[str, ...] = ()
    for key, array in arrays.items():
        match = _KEY.fullmatch(key)
        if key == "classes":
            classes = tuple(str(name) for name in np.asarray(array).ravel())
        elif match is None or (match["what"] != "x" and (match["name"] is None) == (match["what"] == "slice")):
            raise DataError(f"the dataset has an unknown key {key!r}", remedy=f"Keys: {readers.KEYS}.")
        else:
            _place(parts.setdefault(match["split"] or "all", _Part()), match["what"], match["name"], np.asarray(array))
    if not parts or ("all" in parts and len(parts) > 1) or any(not part.x for part in parts.values()):
        found = ", ".join(arrays) or "nothing"
        raise DataError(f"the dataset holds {found}", remedy=f"Keys: {readers.KEYS}.")
    for split, part in parts.items():
        part.x = _name_inputs(part.x, inputs, split)
    parts = {name: parts[name] for name in _PARTS if name in parts}
    first = next(iter(parts.values()))
    for split, part in parts.items():
        if (set(part.x), part.y is None, set(part.slices)) != (set(first.x), first.y is None, set(first.slices)):
            raise DataError(f"the {split} split does not have the same inputs, labels and slices as the other")
    return parts, classes


def _place(part: _Part, what: str, name: str | None, array: Array) -> None:
    if what == "y":
        part.y = array
    elif what == "x":
        part.x[name or ""] = array
    elif name is None or not _SLICE.fullmatch(name) or array.ndim != 1 or array.dtype.kind not in "fiubU":
        raise DataError(
            f"slice {name!r} is not one plain value a sample (shape {array.shape}, dtype {array.dtype})",
            remedy="Names are letters, digits, _ and -; values are numbers or text, shape (N,).",
        )
    else:
        part.slices[name] = array


def _name_inputs(x: dict[str, Array], inputs: Sequence[TensorSpec], split: str) -> dict[str, Array]:
    """Input name -> array in the model's order."""
    wanted = [spec.name for spec in inputs]
    if set(x) == {""} and len(wanted) <= 1:
        return {wanted[0] if wanted else "input": x[""]}
    if "" in x or (wanted and set(x) != set(wanted)):
        found = ", ".join(_key("x", split, name) for name in x)
        names = ", ".join(_key("x", split, name) for name in wanted) or "one x"
        raise DataError(
            f"the dataset has {found}, but the model takes {names}", remedy="Name each input as the model does."
        )
    if any(not _SLICE.fullmatch(name) for name in x):
        raise DataError(f"input names are not plain: {', '.join(x)}", remedy="Use letters, digits and _.")
    return {name: x[name] for name in wanted or x}


def _number_text_labels(parts: Mapping[str, _Part], classes: tuple[str, ...]) -> tuple[str, ...]:
    """Replace labels that are class names by indices; returns the classes, sorted by name if none were given."""
    texts = {split: part.y for split, part in parts.items() if part.y is not None and part.y.dtype.kind == "U"}
    if not texts:
        return classes
    names = classes or tuple(sorted({str(name) for y in texts.values() for name in np.unique(y)}))
    index = {name: k for k, name in enumerate(names)}
    for split, y in texts.items():
        unknown = [str(name) for name in np.unique(y) if str(name) not in index]
        if unknown:
            raise DataError(f"{_key('y', split, '')} has labels that are no classes: {', '.join(unknown[:5])}")
        parts[split].y = np.array([index[str(name)] for name in y.ravel()], np.int64).reshape(y.shape)
    return names


def _label(parts: dict[str, _Part], first: str, outputs: Sequence[TensorSpec], options: DataOptions) -> str:
    """Find the task and bring the labels of all parts into its form."""
    for split, part in parts.items():
        if part.y is not None and len(part.y) != len(part.x[first]):
            raise DataError(f"{_key('y', split, '')} has {len(part.y)} labels for {len(part.x[first])} samples")
    firsts = {split: part.x[first] for split, part in parts.items()}
    task = options.task or infer_task({split: part.y for split, part in parts.items()}, firsts, outputs)
    for split, part in parts.items():
        if task == "reconstruction":
            part.y = None
        elif part.y is None:
            raise DataError(f"a {task} task needs labels: {_key('y', split, '')} is missing")
        else:
            part.y = fit_labels(task, part.y, outputs, _key("y", split, ""))
    return task


def _check_classes(
    classes: tuple[str, ...], task: str, parts: Mapping[str, _Part], outputs: Sequence[TensorSpec]
) -> tuple[str, ...]:
    """Class names by output index; numbers where none were given."""
    if task not in ("classification", "binary", "segmentation"):
        return ()
    highest = max(int(part.y[part.y != VOID].max(initial=0)) for part in parts.values() if part.y is not None)
    count = count_classes(task, outputs[0].shape if outputs else None)
    if not classes:
        return tuple(str(k) for k in range(count if count is not None else highest + 1))
    if (count is not None and len(classes) != count) or len(classes) <= highest:
        wanted = f"the model has {count} outputs" if count is not None else f"labels go up to {highest}"
        raise DataError(
            f"the dataset names {len(classes)} classes, but {wanted}",
            remedy="Name every class, in the order of the model's outputs (an empty folder keeps its place).",
        )
    if len(set(classes)) != len(classes):
        raise DataError("class names occur twice", remedy="Name each class once.")
    return classes


def _check_lengths(split: str, part: _Part) -> None:
    rows = {_key("x", split, name): len(array) for name, array in part.x.items()}
    rows |= {_key("slice", split, name): len(array) for name, array in part.slices.items()}
    if len(set(rows.values())) > 1:
        raise DataError("numbers of samples differ: " + ", ".join(f"{k} has {n}" for k, n in rows.items()))


def _divide(parts: Mapping[str, _Part], task: str, options: DataOptions) -> dict[str, tuple[_Part, Array]]:
    """Split -> the part it comes from and the indices of its samples there."""
    splits: dict[str, tuple[_Part, Array]] = {}
    for name, part in parts.items():
        rows = len(next(iter(part.x.values())))
        index = np.arange(rows, dtype=np.int64)
        if name == "all":
            test = _hold_out(part, index, task, _TEST_SHARE, options.seed)
            splits["test"] = (part, test)
            name, index = "train", remaining(rows, test)  # noqa: PLW2901 - the rest is a training split like any
        if name != "train":
            splits[name] = (part, index)
            continue
        if "validation" not in parts and options.validation_share > 0 and len(index) > 1:
            held = _hold_out(part, index, task, options.validation_share, options.seed + 1)
            splits["validation"] = (part, held)
            index = np.setdiff1d(index, held)
        chosen = choose(_strata(part, index, task), len(index), options.calibration_samples, options.seed + 2)
        splits |= {"train": (part, index), "calibration": (part, index[chosen])}
    order = ("train", "validation", "test", "calibration")
    return {name: splits[name] for name in order if name in splits}


def _strata(part: _Part, index: Array, task: str) -> Array | None:
    return part.y[index] if task in ("classification", "binary") and part.y is not None else None


def _hold_out(part: _Part, index: Array, task: str, share: float, seed: int) -> Array:
    """Indices of a stratified share; at least one sample, and one of each class stays."""
    count = max(1, round(len(index) * share))
    chosen = choose(_strata(part, index, task), len(index), count, seed, leave=1)
    if len(chosen) == 0:
        raise DataError(
            f"{len(index)} samples are too few to divide",
            remedy="Give several samples of each class, or x_test and y_test.",
        )
    held: Array = index[chosen]
    return held


def _content_hash(
    parts: Mapping[str, _Part],
    splits: Mapping[str, tuple[_Part, Array]],
    meaning: Sequence[str],
    inputs: Sequence[TensorSpec],
) -> str:
    """Hash of all samples, of which split each is in, and of what the labels mean."""
    plain = {"meaning": list(meaning), "inputs": [asdict(spec) for spec in inputs]}
    digest = hashlib.sha256(json.dumps(["edgeship.dataset/2", plain], sort_keys=True).encode())
    for name, part in parts.items():
        for key, array in part.x.items():
            update_hash(digest, f"{name}.x.{key}", array)
        if part.y is not None:
            update_hash(digest, f"{name}.y", part.y)
        for key, array in sorted(part.slices.items()):
            update_hash(digest, f"{name}.slice.{key}", array)
    for split, (_, index) in splits.items():
        update_hash(digest, f"split.{split}", index)
    return digest.hexdigest()


def _materialize(dataset: Dataset, splits: Mapping[str, tuple[_Part, Array]], cache_dir: Path) -> Dataset:
    """Write the splits under `cache_dir`, unless they are there."""
    place = cache_dir / cache.key("dataset", sha256=dataset.sha256)[:40]
    description = place / _DESCRIPTION
    if description.is_file():
        kept = from_json(Dataset, description.read_text())
        return replace(
            kept, path=place, name=dataset.name, preprocessing=dataset.preprocessing, augment=dataset.augment
        )
    with whole_folder(place, keep=not place.exists()) as folder:  # one without its description is damaged
        for split, (part, index) in splits.items():
            target = folder / split
            (target / "x").mkdir(parents=True)
            for name, array in part.x.items():
                save_rows(target / "x" / f"{name}.npy", array, index)
            if part.y is not None:
                save_rows(target / "y.npy", part.y, index)
            for name, array in part.slices.items():
                (target / "slices").mkdir(exist_ok=True)
                save_rows(target / "slices" / f"{name}.npy", array, index)
        write_text(folder / _DESCRIPTION, to_json(dataset))
    return replace(dataset, path=place)
