"""Training and measuring inside a recipe: batches from disk, losses by task, sizes of weights."""

from __future__ import annotations

import gzip
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from edgeship.compress.graph.model import read
from edgeship.compress.graph.outputs import OutputKind, first_of, output_kinds
from edgeship.compress.layers import PLAIN, QUANTIZED, FakeQuant, fake_quantized, int8_numbers
from edgeship.errors import UnsupportedModelError
from edgeship.metrics import VOID
from edgeship.types import Progress, ProgressCallback

if TYPE_CHECKING:
    from edgeship.data.augment import Augment
    from edgeship.recipe import Training
    from edgeship.types import Array


#: Between two signs of life within an epoch.
_SIGN_SECONDS = 5.0
#: Share of the steps in which the learning rate of SGD rises: momentum has to fill first.
_RISING = 0.05
#: At a rate that suits SGD, Adam's is smaller by this.
_SGD_TO_ADAM = 20


class Batches(keras.utils.PyDataset):  # type: ignore[misc] # Keras ships no types
    """(inputs, targets) batches of memory-mapped samples.

    Args:
        structure: how the model takes its inputs (`graph.input_structure`).
        inputs: name -> array, in the flat order of that structure, N samples each.
        targets: N rows, or None for inputs alone.
        batch: samples in a batch.
        seed: of a new order each epoch and of the augmentation; None keeps the order of the samples.
        augment: applied to each batch.
    """

    def __init__(
        self,
        structure: Any,
        inputs: Mapping[str, Array],
        targets: Array | None,
        batch: int,
        seed: int | None = None,
        augment: Augment | None = None,
    ) -> None:
        super().__init__(workers=1)
        self._structure = structure
        self._inputs = inputs
        self._targets = targets
        self._batch = batch
        self._augment = augment
        self._random = None if seed is None else np.random.default_rng(seed)
        self._order = np.arange(len(next(iter(inputs.values()))))
        self.on_epoch_end()

    def __len__(self) -> int:
        """Batches in an epoch."""
        return math.ceil(len(self._order) / self._batch)

    def __getitem__(self, index: int) -> Any:
        """One batch."""
        chosen = self._order[index * self._batch : (index + 1) * self._batch]
        inputs: Mapping[str, Array] = {name: np.asarray(array[chosen]) for name, array in self._inputs.items()}
        targets = None if self._targets is None else np.asarray(self._targets[chosen])
        if self._augment is not None and self._random is not None and targets is not None:
            inputs, targets = self._augment(inputs, targets, self._random)
        # Keras's own adapter for generators takes no lists.
        x = keras.tree.lists_to_tuples(
            keras.tree.pack_sequence_as(self._structure, [inputs[name] for name in self._inputs])
        )
        return (x,) if targets is None else (x, targets)

    def on_epoch_end(self) -> None:
        """A new order."""
        if self._random is not None:
            self._order = self._random.permutation(len(self._order))


def loss_for(task: str, model: keras.Model) -> Any:
    """The loss of a task, for probabilities or logits as the model gives them.

    Labels belong to the first output. With several, it is packed as the outputs are, with None for the others, which
    have no labels.
    """
    return first_of(model, _loss(task, next(iter(output_kinds(model).values())), model.name))


def _loss(task: str, kind: OutputKind, name: str) -> keras.losses.Loss:
    if task in ("regression", "reconstruction"):
        return keras.losses.MeanSquaredError()
    wanted = "sigmoid" if task == "binary" else "softmax"
    if kind not in (wanted, "linear"):
        raise UnsupportedModelError(
            f"{name} ends in {kind}, which does not fit the task {task}",
            remedy=f"End it in {wanted} or without activation, or state another task for the data.",
        )
    if task == "binary":
        return keras.losses.BinaryCrossentropy(from_logits=kind == "linear")
    ignored = VOID if task == "segmentation" else None
    return keras.losses.SparseCategoricalCrossentropy(from_logits=kind == "linear", ignore_class=ignored)


def stable(spec: Training, model: keras.Model) -> Training:
    """Settings with which `model` can train: SGD at the rates that make it worthwhile takes batch normalization.

    Without it, which is also where it is folded for quantization, such steps diverge: Adam then, at its own rate.
    """
    normal = any(isinstance(layer, keras.layers.BatchNormalization) for layer in model._flatten_layers())
    if spec.optimizer == "adam" or normal:
        return spec
    return gentle(spec)


def gentle(spec: Training) -> Training:
    """The same with Adam, at a rate that suits it."""
    rate = spec.learning_rate / (_SGD_TO_ADAM if spec.optimizer == "sgd" else 1)
    return replace(spec, optimizer="adam", learning_rate=rate)


def optimizer(spec: Training, model: keras.Model, steps: int) -> keras.optimizers.Optimizer:
    """What a stage trains `model` with in so many steps: its learning rate falls to zero along a cosine.

    Without restarts (arXiv 1608.03983). Weight decay is decoupled (arXiv 1711.05101) and spares what has one axis:
    biases, and the scales and offsets of normalization.
    """
    spec = stable(spec, model)
    decay = spec.weight_decay or None
    if spec.optimizer == "sgd":
        rising = max(1, round(_RISING * steps))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, steps - rising), warmup_target=spec.learning_rate, warmup_steps=rising
        )
        made = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay)
    else:
        rate = keras.optimizers.schedules.CosineDecay(spec.learning_rate, steps)
        made = keras.optimizers.Adam(rate, weight_decay=decay)
    if decay:
        made.exclude_from_weight_decay(var_list=[v for v in model.trainable_variables if len(v.shape) < 2])
    return made


class EpochProgress(keras.callbacks.Callback):  # type: ignore[misc] # Keras ships no types
    """Tells how far a stage is: after each epoch of `steps`, and meanwhile often enough to show that it lives."""

    def __init__(self, stage: str, epochs: int, steps: int, progress: ProgressCallback) -> None:
        super().__init__()
        self._stage, self._epochs, self._steps, self._tell = stage, epochs, steps, progress
        self._epoch, self._told = 0, time.monotonic()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - the signature is Keras's
        """Remember where `fit` is."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Send a sign of life, seldom."""
        if time.monotonic() - self._told > _SIGN_SECONDS:
            done = self._epoch + (batch + 1) / self._steps
            self._send(done, f"epoch {self._epoch + 1}/{self._epochs} batch {batch + 1}", logs)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Send it."""
        self._send(epoch + 1, f"epoch {epoch + 1}/{self._epochs}", logs)

    def _send(self, done: float, message: str, logs: Mapping[str, float] | None) -> None:
        numbers = " ".join(f"{name} {value:.4g}" for name, value in (logs or {}).items())
        self._told = time.monotonic()
        self._tell(Progress(self._stage, done, self._epochs, f"{message} {numbers}".rstrip()))


def weight_bytes(model: keras.Model) -> int:
    """Bytes of the weights under gzip as stored: float32, or int8 kernels and 4-byte biases once quantization-aware."""
    parts: list[bytes] = []
    quantized = fake_quantized(model)
    for step, *_ in read(model).calls().values():
        if step.layer is FakeQuant:
            continue
        weights = list(step.weights)
        if quantized and (step.layer in QUANTIZED or step.layer in PLAIN):
            axes = QUANTIZED.get(step.layer, step.layer).channel_axes
            parts.append(int8_numbers(weights.pop(0), axes, step.config.get("step")).tobytes())
        parts += [np.ascontiguousarray(weight).tobytes() for weight in weights]
    return len(gzip.compress(b"".join(parts), compresslevel=9, mtime=0))
