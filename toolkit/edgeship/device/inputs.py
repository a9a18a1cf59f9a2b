"""What an application gives a model, held to the manifest; and what comes out, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import DataError
from edgeship.types import Manifest, ManifestInput

if TYPE_CHECKING:
    from edgeship.types import Array


def checked(manifest: Manifest, given: Array | Mapping[str, Array]) -> dict[str, Array]:
    """The inputs by name, N samples each. Raises DataError where they do not fit the manifest."""
    wanted = ", ".join(f"{spec.name} {_shape(spec)} {spec.preprocessing.given_dtype}" for spec in manifest.inputs)
    if not isinstance(given, Mapping):
        if len(manifest.inputs) != 1:
            raise DataError(f"the model has {len(manifest.inputs)} inputs", remedy=f"Give them by name: {wanted}.")
        given = {manifest.inputs[0].name: given}
    if set(given) != {spec.name for spec in manifest.inputs}:
        raise DataError(f"inputs are called {', '.join(map(str, given))}", remedy=f"The model has: {wanted}.")
    arrays = {spec.name: _checked(spec, given[spec.name], wanted) for spec in manifest.inputs}
    counts = {len(array) for array in arrays.values()}
    if len(counts) != 1 or not min(counts):
        raise DataError(f"inputs have {sorted(counts)} samples", remedy="Give equally many, at least one.")
    return arrays


def _checked(spec: ManifestInput, given: Array, wanted: str) -> Array:
    array = np.asarray(given)
    if array.dtype.kind not in "fiub":
        raise DataError(f"input {spec.name!r} holds {array.dtype}", remedy=f"The model has: {wanted}.")
    fits = array.ndim == len(spec.shape) and all(
        want in (None, have) for want, have in zip(spec.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise DataError(
            f"input {spec.name!r} has shape {array.shape}",
            remedy=f"The model has: {wanted}, samples on the first axis; one sample is x[None].",
        )
    real = np.dtype(spec.preprocessing.given_dtype)
    if array.dtype.kind == "f" and real.kind != "f":
        raise DataError(f"input {spec.name!r} holds {array.dtype}", remedy=f"The model has: {wanted}.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"input {spec.name!r} has NaN or infinite values")
    # Whole numbers are real ones, too; the other way something would be lost.
    return array.astype(real) if real.kind == "f" and array.dtype.kind != "f" else array


def outside(manifest: Manifest, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """By input that has a range: of each sample, how many values are outside of it."""
    found = {}
    for spec in manifest.inputs:
        if spec.range is not None:
            array = arrays[spec.name]
            beyond = (array < spec.range[0]) | (array > spec.range[1])
            found[spec.name] = beyond.reshape(len(array), -1).sum(axis=1)
    return found


def sample_size(arrays: Mapping[str, Array], name: str) -> int:
    """Values of one sample of an input."""
    return max(1, math.prod(arrays[name].shape[1:]))


def labels(manifest: Manifest, outputs: Mapping[str, Array]) -> tuple[str, ...]:
    """Of each sample the class with the largest output; empty where outputs are not classes."""
    scores = _scores(manifest, outputs)
    return () if scores is None else tuple(manifest.labels[k] for k in scores.argmax(axis=1))


def confidence(manifest: Manifest, outputs: Mapping[str, Array]) -> list[float]:
    """Of each sample the largest output; empty where outputs are not classes."""
    scores = _scores(manifest, outputs)
    return [] if scores is None else [float(value) for value in scores.max(axis=1)]


def _scores(manifest: Manifest, outputs: Mapping[str, Array]) -> Array | None:
    """The output with one value for each label."""
    if len(outputs) != 1 or not manifest.labels:
        return None
    found = next(iter(outputs.values()))
    return found if found.ndim == 2 and found.shape[1] == len(manifest.labels) else None


def _shape(spec: ManifestInput) -> str:
    return "x".join("N" if size is None else str(size) for size in (None, *spec.shape[1:]))
