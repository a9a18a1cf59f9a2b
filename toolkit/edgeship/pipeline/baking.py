"""Preprocessing that goes into the exported graph: what is baked, and the samples that such a file takes."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace

import numpy as np

from edgeship import cache, codec
from edgeship.data import load
from edgeship.errors import DataError, UnsupportedModelError
from edgeship.files import whole_folder
from edgeship.preprocessing import affine, changes, in_words, prepare, restore
from edgeship.types import Array, Dataset, Preprocessing, Source

#: What exported files are calibrated and verified with.
_SPLITS = ("test", "calibration")


@dataclass(frozen=True)
class Baking:
    """What is baked into files.

    Attributes:
        done: what the graph does to its inputs.
        dataset: the samples as the file takes them, in the splits `test` and `calibration`.
    """

    done: Preprocessing
    dataset: Dataset

    @property
    def note(self) -> str:
        """What to know about such a file."""
        resize = self.done.resize
        left = f"; resizing ({resize}) is left to do" if resize else ""
        return f"takes raw values: {', '.join(_steps(self.done))} is in the graph{left}"


def _steps(done: Preprocessing) -> tuple[str, ...]:
    return in_words(replace(done, resize=None, value_range=None, channels="BGR" if done.channels == "BGR" else None))


def bake(source: Source, dataset: Dataset) -> Baking:
    """Have the graph do to raw values what was done to the samples of a dataset; resizing stays outside.

    Raises:
        DataError: it is not known what was done, or nothing was.
        UnsupportedModelError: the source holds no graph that could be added to, or takes no floats.
    """
    done = dataset.preprocessing
    if done.scale is None:
        raise DataError(
            "it is not known how these samples were made of raw values, so that cannot be baked",
            remedy="Give raw values, and say what to do to them: --scale, --mean, --std or --preprocess.",
        )
    if not changes(done):
        raise DataError(
            "there is nothing to bake: the model takes raw values",
            remedy="Leave --bake-preprocessing out, or say how samples are prepared: --scale or --preprocess.",
        )
    if source.kind == "tflite":
        raise UnsupportedModelError(
            f"{source.path.name} is a TFLite file, to whose graph nothing is added",
            remedy="Give the model that it was made from, or leave --bake-preprocessing out.",
        )
    others = [spec.name for spec in source.inputs if np.dtype(spec.dtype).kind != "f"]
    if others:
        raise UnsupportedModelError(
            f"preprocessing is for float inputs; {', '.join(others)} of {source.path.name} takes integers",
            remedy="Leave --bake-preprocessing out.",
        )
    raw = prepared_for(dataset, _raw(done))
    return Baking(done, raw if "calibration" not in raw.counts else _spanning(raw))


def _raw(done: Preprocessing) -> Preprocessing:
    channels = "RGB" if done.channels == "BGR" else done.channels
    return Preprocessing(1.0, done.resize, channels, value_range=done.value_range)


def _spanning(dataset: Dataset) -> Dataset:
    """The dataset with the least and the largest raw value in its first calibration sample, where they are known.

    Integer inputs then hold all raw values: of pixels each as it is, less 128 for int8, also where the samples have
    neither black nor white.
    """
    if dataset.preprocessing.value_range is None:
        return dataset
    low, high = dataset.preprocessing.value_range
    sha256 = cache.digest(kind="spanning/1", dataset=dataset.sha256)
    place = cache.root() / "datasets" / cache.key("dataset", sha256=sha256)[:40]
    if not place.is_dir():
        with whole_folder(place, keep=True) as folder:
            shutil.copytree(dataset.path, folder, dirs_exist_ok=True)
            for file in sorted((folder / "calibration" / "x").glob("*.npy")):
                values = np.load(file)
                values[0].flat[0], values[0].flat[-1] = low, high
                np.save(file, values)
    return replace(dataset, path=place, sha256=sha256)


def same_values(one: Preprocessing, other: Preprocessing) -> bool:
    """Whether two models take the same values; True where one of them does not say which."""
    if one.scale is None or other.scale is None:
        return True
    turned = [done.channels == "BGR" for done in (one, other)]
    return turned[0] == turned[1] and all(np.allclose(a, b) for a, b in zip(affine(one), affine(other), strict=True))


def prepared_for(dataset: Dataset, wanted: Preprocessing) -> Dataset:
    """The samples of a dataset (`test`, `calibration`) as a file takes them whose preprocessing is another one.

    Both are known. Raises DataError where its numbers do not fit the channels.
    """
    counts = {split: count for split, count in dataset.counts.items() if split in _SPLITS}
    given, target = codec.to_data(dataset.preprocessing), codec.to_data(wanted)
    sha256 = cache.digest(kind="prepared/1", dataset=dataset.sha256, given=given, wanted=target)
    found = replace(dataset, sha256=sha256, counts=counts, preprocessing=wanted)
    place = cache.root() / "datasets" / cache.key("dataset", sha256=sha256)[:40]
    if not place.is_dir():
        with whole_folder(place, keep=True) as folder:
            for split in counts:
                samples = load(dataset, split)
                (folder / split / "x").mkdir(parents=True)
                for name, array in samples.inputs.items():
                    np.save(folder / split / "x" / f"{name}.npy", _values(array, dataset.preprocessing, wanted))
                if samples.labels is not None:
                    np.save(folder / split / "y.npy", samples.labels)
                for name, array in samples.slices.items():
                    (folder / split / "slices").mkdir(exist_ok=True)
                    np.save(folder / split / "slices" / f"{name}.npy", array)
    return replace(found, path=place)


def _values(array: Array, given: Preprocessing, wanted: Preprocessing) -> Array:
    return prepare(restore(array, given), wanted).astype(array.dtype)
