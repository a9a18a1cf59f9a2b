"""Training and measuring inside a recipe: batches from disk, losses by task, sizes of weights."""

from __future__ import annotations

import gzip
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgeship.compress.graph import read
from edgeship.compress.layers import QUANTIZED, FakeQuant, fake_quantized, kernel_scales
from edgeship.compress.outputs import output_kind
from edgeship.errors import UnsupportedModelError
from edgeship.metrics import VOID
from edgeship.types import Progress, ProgressCallback

if TYPE_CHECKING:
    from edgeship.types import Array


class Batches(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
    """(inputs, targets) batches of memory-mapped samples, in a new seeded order each epoch.

    Args:
        structure: how the model takes its inputs (`graph.input_structure`).
        inputs: arrays in the flat order of that structure, N samples each.
        targets: N rows, or None for inference, which keeps the order of the samples.
    """

    def __init__(
        self, structure: Any, inputs: Sequence[Array], targets: Array | None, batch: int, seed: int = 0
    ) -> None:
        super().__init__(workers=1)
        self._structure = structure
        self._inputs = inputs
        self._targets = targets
        self._batch = batch
        self._random = np.random.default_rng(seed)
        self._order = np.arange(len(inputs[0]))
        self.on_epoch_end()

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self._order) / self._batch)

    def __getitem__(self, index: int) -> Any:
        """One batch."""
        chosen = self._order[index * self._batch : (index + 1) * self._batch]
        x = keras.tree.pack_sequence_as(self._structure, [np.asarray(array[chosen]) for array in self._inputs])
        return (x,) if self._targets is None else (x, np.asarray(self._targets[chosen]))

    def on_epoch_end(self) -> None:
        """A new order."""
        if self._targets is not None:
            self._order = self._random.permutation(len(self._order))


def loss_for(task: str, model: keras.Model) -> keras.losses.Loss:
    """The loss of a task, for probabilities or logits as the model gives them."""
    kind = output_kind(model)
    if task in ("regression", "reconstruction"):
        return keras.losses.MeanSquaredError()
    wanted = "sigmoid" if task == "binary" else "softmax"
    if kind not in (wanted, "linear"):
        raise UnsupportedModelError(
            f"{model.name} ends in {kind}, which does not fit the task {task}",
            remedy=f"End it in {wanted} or without activation, or state another task for the data.",
        )
    if task == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=kind == "linear")
    ignored = VOID if task == "segmentation" else None
    return keras.losses.SparseCategoricalCrossentropy(from_logits=kind == "linear", ignore_class=ignored)


def cosine(learning_rate: float, steps: int) -> keras.optimizers.Adam:
    """Adam with a learning rate that falls to zero along a cosine (arXiv 1608.03983, without restarts)."""
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps))


class EpochProgress(keras.callbacks.Callback):  # type: ignore[misc] # Keras ships no types
    """Tells how far a stage is after each epoch."""

    def __init__(self, stage: str, epochs: int, progress: ProgressCallback) -> None:
        super().__init__()
        self._stage, self._epochs, self._tell = stage, epochs, progress

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Send it."""
        numbers = " ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
        message = f"epoch {epoch + 1}/{self._epochs} {numbers}".rstrip()
        self._tell(Progress(self._stage, epoch + 1, self._epochs, message))


def weight_bytes(model: keras.Model) -> int:
    """Bytes of the weights under gzip as stored: float32, or int8 kernels and 4-byte biases once quantization-aware."""
    parts: list[bytes] = []
    quantized = fake_quantized(model)
    for step in read(model).steps:
        if step.layer is FakeQuant:
            continue
        weights = list(step.weights)
        if quantized and step.layer in QUANTIZED:
            kernel = weights.pop(0)
            grid = kernel / kernel_scales(kernel, QUANTIZED[step.layer].channel_axes)
            parts.append(np.round(grid).astype(np.int8).tobytes())
        parts += [np.ascontiguousarray(weight).tobytes() for weight in weights]
    return len(gzip.compress(b"".join(parts), compresslevel=9, mtime=0))
