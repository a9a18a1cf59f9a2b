"""Calibration samples in whatever form a user has them, and the tensors inside a network for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from edgeship.compress.graph.model import Graph, Ref, build
from edgeship.errors import DataError
from edgeship.types import Array

#: Samples in a calibration batch; a range is the mean of the batches' extremes, as the moving average in training is.
_BATCH = 32
#: Calibration reads no more than this.
_MAX_SAMPLES = 10_000


def batches(calibration: Any, graph: Graph) -> Iterator[list[Array]]:
    """Calibration samples as lists of arrays in the order of the inputs, at most 32 samples each, 10,000 in all.

    Args:
        calibration: an array (N, ...), a list or dictionary of arrays for several inputs, or an iterable of batches
            such as a tf.data.Dataset ((inputs, labels) or inputs).
        graph: of the model that takes them.

    Raises:
        DataError: they are empty or do not fit the model.
    """
    count = 0
    for given in _given_batches(calibration):
        batch = _in_order(given, graph)
        count += len(batch[0])
        yield batch
        if count >= _MAX_SAMPLES:
            return
    if not count:
        raise DataError("the calibration samples are empty", remedy="Give some dozens of typical training samples.")


def observer(graph: Graph, wanted: Sequence[Ref]) -> Callable[[list[Array]], dict[Ref, Array]]:
    """A function from a batch of inputs (in order) to the values of these tensors in inference."""
    given = [ref for *_, ref in graph.inputs]
    inside = [ref for ref in dict.fromkeys(wanted) if ref not in given]
    outputs = tuple((f"observed_{ref.id}", ref) for ref in inside)
    structures = ([0] * len(given), [0] * len(inside))
    model = build(replace(graph, outputs=outputs, structures=structures)) if inside else None

    def observe(batch: list[Array]) -> dict[Ref, Array]:
        values = dict(zip(given, batch, strict=True))
        if model is not None:
            found = keras.tree.flatten(model(batch, training=False))
            values.update(zip(inside, map(np.asarray, found), strict=True))
        return {ref: values[ref] for ref in wanted}

    return observe


def _given_batches(calibration: Any) -> Iterable[Any]:
    if isinstance(calibration, list | tuple) and not all(hasattr(part, "shape") for part in calibration):
        calibration = iter(calibration)  # a list of batches
    if hasattr(calibration, "shape") or isinstance(calibration, Mapping | list | tuple):
        count = len(keras.tree.flatten(calibration)[0])
        for start in range(0, count, _BATCH):
            yield keras.tree.map_structure(lambda part, a=start: part[a : a + _BATCH], calibration)
    else:
        for batch in calibration:
            yield batch[0] if isinstance(batch, tuple) else batch


def _in_order(given: Any, graph: Graph) -> list[Array]:
    names = [name for name, *_ in graph.inputs]
    if isinstance(given, Mapping):
        keys = sorted(graph.structures[0]) if isinstance(graph.structures[0], Mapping) else names
        if set(given) not in (set(names), set(keys)):
            raise DataError(f"calibration has inputs {sorted(given)}", remedy=f"The model's inputs: {names}.")
        given = [given[name] for name in (names if set(given) == set(names) else keys)]
    shapes, kinds = [shape for _, shape, *_ in graph.inputs], [dtype for _, _, dtype, _ in graph.inputs]
    parts = given if isinstance(given, list | tuple) else [given]
    numbers = ["float32" if keras.backend.is_float_dtype(kind) else kind for kind in kinds]
    try:
        arrays = [np.asarray(part, dtype) for part, dtype in zip(parts, numbers, strict=False)]
    except (TypeError, ValueError) as error:
        raise DataError(f"calibration samples are no numbers: {error}") from error
    fits = len(parts) == len(shapes) and all(
        a.ndim == len(s) and all(want in (None, got) for got, want in zip(a.shape[1:], s[1:], strict=True))
        for a, s in zip(arrays, shapes, strict=True)
    )
    if not fits:
        raise DataError(
            f"calibration samples have shapes {[np.shape(part) for part in parts]}",
            remedy=f"The model's inputs: {shapes}.",
        )
    if not all(np.isfinite(array).all() for array in arrays):
        raise DataError(
            "calibration samples have NaN or infinite values", remedy="Leave such samples out, or fill their gaps."
        )
    return arrays
