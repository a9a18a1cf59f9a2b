"""What kernels see of calibration data: the means and covariances of their patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import layers

from edgeship.compress.graph.calibration import batches, observer
from edgeship.compress.graph.model import Graph, Step
from edgeship.compress.lowrank.factors import Drift, Moments, estimated
from edgeship.errors import DataError
from edgeship.types import Array

#: Patches of a layer that are looked at: in all, and of one batch.
_MOST, _PER_BATCH = 20_000, 1024


def patch_moments(graph: Graph, steps: Sequence[Step], calibration: Any, seed: int) -> Mapping[object, Moments]:
    """Moments of what goes into each layer (by `Step.key`), over all its calls, at random positions.

    Args:
        graph: of the model.
        steps: calls of Dense, Conv1D and Conv2D without groups, channels last.
        calibration: as `calibration.batches` takes it.
        seed: of the positions.

    Raises:
        DataError: the samples do not fit the model, or a layer gets values from them that are not finite.
    """
    observe = observer(graph, [step.inputs[0] for step in steps])
    random = np.random.default_rng(seed)
    sums: dict[object, _Sums] = {step.key: _Sums() for step in steps}
    for batch in batches(calibration, graph):
        values = observe(batch)
        waiting = [step for step in steps if sums[step.key].count < _MOST]
        for step in waiting:
            sums[step.key].add(patches(step, values[step.inputs[0]], _PER_BATCH, random), step.name)
        if not waiting:
            break
    return {key: estimated(found.count, found.total, found.squares) for key, found in sums.items()}


def drift(graphs: tuple[Graph, Graph], steps: Sequence[Step], calibration: Any, seed: int) -> Drift:
    """How what goes into one layer differs between two networks.

    Args:
        graphs: before and now; the inputs of `steps` are tensors of both.
        steps: the calls of the layer.
        calibration: as for `patch_moments`.
        seed: of the positions, which are the same in both.

    Raises:
        DataError: as `patch_moments`.
    """
    wanted = [step.inputs[0] for step in steps]
    observers = [observer(graph, wanted) for graph in graphs]
    sums = _Sums()
    for number, batch in enumerate(batches(calibration, graphs[0])):
        values = [observe(batch) for observe in observers]
        for step in steps:
            before, now = (
                patches(step, found[step.inputs[0]], _PER_BATCH, np.random.default_rng((seed, number)))
                for found in values
            )
            sums.add(now, step.name, before)
        if sums.count >= _MOST:
            break
    mean = sums.total / sums.count
    half = len(mean) // 2
    covariance = sums.squares / sums.count - np.outer(mean[:half], mean)
    return Drift(sums.count, mean[half:], mean[:half], covariance[:, :half], covariance[:, half:])


class _Sums:
    def __init__(self) -> None:
        self.count = 0
        self.total: Array = np.zeros(1)
        self.squares: Array = np.zeros((1, 1))

    def add(self, rows: Array, name: str, others: Array | None = None) -> None:
        """Rows of (h*w*in) numbers, and how they go together with other rows of the same positions."""
        if not np.all(np.isfinite(rows)):
            raise DataError(
                f"layer {name} gets values that are not finite from the calibration samples",
                remedy="Give samples as the model was trained on.",
            )
        rows = rows.astype(np.float64)
        all_rows = rows if others is None else np.concatenate([rows, others], axis=1)
        self.count += len(rows)
        self.total = self.total + all_rows.sum(0)
        self.squares = self.squares + rows.T @ all_rows


def patches(step: Step, values: Array, most: int, random: np.random.Generator) -> Array:
    """Rows (h*w*in) that the kernel of a step is applied to, at no more than `most` positions of its input."""
    if step.is_a(layers.Dense):
        rows = values.reshape(-1, values.shape[-1])
        return rows[_chosen(len(rows), most, random)]
    one = step.is_a(layers.Conv1D)
    images = values[:, None] if one else values
    size, strides, dilation = (_pair(step, key, one) for key in ("kernel_size", "strides", "dilation_rate"))
    reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    sides = zip(images.shape[1:3], reach, strides, strict=True)
    padded = np.pad(images, ((0, 0), *(_padding(step.config["padding"], *side) for side in sides), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(1, 2))
    windows = windows[:, :: strides[0], :: strides[1], :, :: dilation[0], :: dilation[1]]
    positions = _chosen(int(np.prod(windows.shape[:3])), most, random)
    found: Array = windows[np.unravel_index(positions, windows.shape[:3])]
    return found.transpose(0, 2, 3, 1).reshape(len(positions), -1)


def _pair(step: Step, key: str, one: bool) -> tuple[int, int]:
    """A setting by height and width; a sequence is an image of height 1."""
    given = step.config[key]
    return (1, given[0]) if one else (given[0], given[1])


def _padding(kind: str, size: int, reach: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, as TensorFlow pads."""
    if kind == "causal":
        return reach - 1, 0
    if kind == "valid":
        return 0, 0
    missing = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return missing // 2, missing - missing // 2


def _chosen(count: int, most: int, random: np.random.Generator) -> Array:
    found: Array = np.arange(count) if count <= most else random.choice(count, most, replace=False)
    return found
