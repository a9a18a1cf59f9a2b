"""Quantization-aware training to int8, native to Keras 3 (arXiv 1712.05877, section 3).

`quantize_aware` folds the model and inserts fake quantization; the result trains like any model. `freeze` gives the
final one: layers whose kernels lie on their int8 grid, with frozen `FakeQuant` layers between them, which the TFLite
converter turns into the same int8 numbers. `strip` leaves the fake quantization out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from edgeship.compress.graph.calibration import batches, observer
from edgeship.compress.graph.folded import checked_fold
from edgeship.compress.graph.kernels import channel_axes, prunable_kernel
from edgeship.compress.graph.model import Graph, Ref, Step, build, read, unique_names
from edgeship.compress.helpers import Helper, attach, helpers
from edgeship.compress.layers import (
    PLAIN,
    QUANTIZED,
    QUANTIZED_SETTINGS,
    FakeQuant,
    calibrated,
    fake_quantized,
    kernel_scales,
    snap,
)
from edgeship.compress.quantize.entropy import EntropyCoder, KernelCoding, importances
from edgeship.compress.quantize.place import PASSING, place
from edgeship.compress.weights.clustering import keep_int8_clusters, sharing
from edgeship.compress.weights.pruning import keep_zeros
from edgeship.errors import DataError, InputError, UnsupportedModelError
from edgeship.types import Array

#: Root mean square of a kernel as usual initializers make it; learning rates are made for such kernels.
_USUAL_SIZE = 0.1
_FEWEST_BITS = 0.5
#: Calibration batches that importances are estimated on.
_IMPORTANCE_BATCHES = 16


class RangeFreezer(Helper):
    """Freezes the activation ranges for the last `share` of training, so that the weights settle on a fixed grid."""

    def __init__(self, model: keras.Model, share: float) -> None:
        super().__init__()
        self._layers = [layer for layer in model.layers if isinstance(layer, FakeQuant)]
        self._share = share

    def advance(self, progress: float) -> None:
        """Freeze when `progress` (0..1 of training) has come far enough."""
        if progress > 1 - self._share:
            for layer in self._layers:
                layer.tracking.assign(0.0)

    def check(self) -> None:
        """`freeze` checks the ranges, also of a model that came from a file."""


def quantize_aware(
    model: keras.Model, calibration: Any = None, *, freeze_share: float = 0.3, bits: float = 8.0
) -> keras.Model:
    """A new model that computes with int8 numbers in the forward pass and trains with straight-through gradients.

    Batch normalization is folded into the kernels first. Exact zeros in kernels (of an earlier `prune`) stay zero. A
    kernel whose weights share few values (of an earlier `cluster`) has no more different int8 numbers than it had
    values (or 4).
    Use `edgeship.callbacks(new)` in `fit`, and `edgeship.finalize(new)` before saving or converting.

    With `bits` below 8 the kernels keep their type, but lose information while they train until a weight carries so
    many bits on average; the file has its usual size, and compresses to about `bits` a weight (arXiv 1612.01543).

    Args:
        model: functional or Sequential, float inputs. It is not changed.
        calibration: samples that set the activation ranges: an array (N, ...), a list or dictionary of arrays for
            several inputs, or an iterable of batches such as a tf.data.Dataset ((inputs, labels) or inputs; the first
            10,000 samples are read). None: the first training batches set them.
        freeze_share: share of the training, at its end, with frozen ranges.
        bits: average information content of a weight to reach, 0.5 to 8; below 8 it needs `calibration`.

    Raises:
        InputError: `bits` out of its range or together with clusters, or without calibration samples; `freeze_share`
            out of its range.
        UnsupportedModelError: names the layer and what to do.
        DataError: the calibration samples do not fit the model, or are no finite numbers.
    """
    _check(model, calibration, freeze_share, bits)
    original = unique_names(read(model))
    given = iter(()) if calibration is None else batches(calibration, original)
    some = list(itertools.islice(given, _IMPORTANCE_BATCHES))
    folded = checked_fold(model, original, some[0] if some else None)
    placed = place(folded)
    if some:
        placed = _calibrate(folded, placed, itertools.chain(some, given))
    named = unique_names(placed.with_steps(_quantized(step) for step in placed.steps))
    quantized = build(named)
    keep_zeros(quantized)
    limits = _clustered(original)
    renamed = zip(placed.steps, named.steps, strict=True)
    keep_int8_clusters(quantized, {new.name: limits[old.name] for old, new in renamed if old.name in limits})
    attach(quantized, RangeFreezer(quantized, freeze_share))
    if bits < 8:
        if limits:
            raise InputError(
                f"{model.name} has clustered kernels and bits={bits:g} was asked for",
                remedy="Use one of them: bits below 8 chooses the values of kernels itself.",
            )
        packed = [keras.tree.pack_sequence_as(named.structures[0], batch) for batch in some]
        attach(quantized, EntropyCoder(quantized, importances(quantized, packed), bits, settle=freeze_share))
    return quantized


def _check(model: keras.Model, calibration: Any, freeze_share: float, bits: float) -> None:
    """Raise what `quantize_aware` raises before it reads the model."""
    if not 0 <= freeze_share <= 1:
        raise InputError(f"freeze_share={freeze_share:g}", remedy="Allowed: 0 to 1, a share of the training.")
    if not _FEWEST_BITS <= bits <= 8 or (bits < 8 and calibration is None):
        raise InputError(
            f"bits={bits:g}" + (" without calibration samples" if calibration is None else ""),
            remedy=f"Allowed: {_FEWEST_BITS:g} to 8; below 8 give calibration=samples.",
        )
    for helper in helpers(model):
        helper.check()
    if fake_quantized(model):
        raise UnsupportedModelError(f"{model.name} is quantization-aware already")


def _quantized(step: Step) -> Step:
    """The layer with a fake-quantized kernel, its variable brought to the usual size."""
    if step.layer not in QUANTIZED:
        return step
    kernel, *bias = step.weights
    size = float(np.sqrt(np.mean(np.square(kernel, dtype=np.float64))))
    gain = float(np.float32(size / _USUAL_SIZE)) if size > 0 else 1.0
    return replace(step.set(gain=gain, step=None), layer=QUANTIZED[step.layer], weights=(kernel / gain, *bias))


def _clustered(original: Graph) -> dict[str, int]:
    """Number of values of each clustered kernel, by the name of the layer."""
    limits: dict[str, int] = {}
    for step, *_ in original.calls().values():
        kernel = prunable_kernel(step.layer, step.weights)
        if kernel is not None:
            found = sharing(kernel, channel_axes(step.layer))
            limits.update({} if found is None else {step.name: found[0]})
    return limits


def freeze(model: keras.Model) -> keras.Model:
    """The final form of a quantization-aware model: plain layers with kernels on their grid, frozen ranges.

    Raises DataError where a range never saw data.
    """
    missing = [layer.name for layer in model.layers if isinstance(layer, FakeQuant) and not layer.ready]
    if missing:
        raise DataError(
            f"the activation ranges of {', '.join(missing[:3])} were never set",
            remedy="Give quantize_aware(model, calibration=samples), or train before finalize.",
        )
    graph = read(model)
    codings = _codings(model)
    steps = []
    input_scales: dict[Ref, float] = {}
    scales: dict[object, set[float]] = {}
    for step in graph.steps:
        final = _on_grid(step, codings.get(step.name)) if step.layer in PLAIN else step
        if final.layer is FakeQuant:
            low, high, *_ = final.weights
            input_scales[final.output] = (float(high) - float(low)) / 255
            final = final.set(frozen=True)
        elif final.layer in PASSING and final.inputs[0] in input_scales:
            input_scales[final.output] = input_scales[final.inputs[0]]
        elif step.layer in PLAIN and final.inputs[0] in input_scales:
            scales.setdefault(step.key, set()).add(input_scales[final.inputs[0]])
        steps.append(final)
    # A layer whose uses have inputs of different scales has no one grid for its bias; the file has one for each use.
    single = {key: min(found) for key, found in scales.items() if len(found) == 1}
    return build(graph.with_steps(_with_bias_on_grid(s, single[s.key]) if s.key in single else s for s in steps))


def _on_grid(step: Step, coding: KernelCoding | None) -> Step:
    """The final layer: plain with a kernel of one step for each channel, or with its one step stated."""
    kernel, *bias = step.weights
    kernel = kernel * np.float32(step.config["gain"])
    if coding is None:
        return replace(_plain(step), weights=(snap(kernel, step.layer.channel_axes), *bias))
    size = np.float32(coding.step)
    weights = (coding.numbers(kernel) * size, *bias)
    return replace(step.set(gain=1.0, step=float(size)), weights=weights)


def _plain(step: Step) -> Step:
    """The plain layer with the same weights."""
    config = {key: value for key, value in step.config.items() if key not in QUANTIZED_SETTINGS}
    return replace(step, layer=PLAIN[step.layer], config=config)


def _with_bias_on_grid(step: Step, input_scale: float) -> Step:
    """The bias in steps of input scale x kernel scale, as the file's int32 has it: both sum the same numbers."""
    kernel, *bias = step.weights
    if not bias:
        return step
    axes, size = QUANTIZED.get(step.layer, step.layer).channel_axes, step.config.get("step")
    scales = kernel_scales(kernel, axes) if size is None else np.broadcast_to(np.float64(size), bias[0].shape)
    grid = input_scale * scales.astype(np.float64).ravel()
    # A channel of (nearly) zeros has no scale to speak of; the converter chooses one that holds the bias.
    snapped = np.where(np.abs(bias[0]) < 2**30 * grid, np.round(bias[0] / grid) * grid, bias[0])
    dead = np.all(kernel == 0, axis=_other_axes(kernel, axes)).ravel() if size is None else np.zeros_like(grid, bool)
    return replace(step, weights=(kernel, np.where(dead, bias[0], snapped).astype(np.float32)))


def _other_axes(kernel: Array, channel_axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in range(kernel.ndim) if axis not in channel_axes)


def strip(model: keras.Model) -> keras.Model:
    """The same network in plain float layers, kernels on their int8 grid, without fake quantization.

    For formats that have no fake quantization (TF.js, ONNX, float variants).
    """
    graph, codings = read(model), _codings(model)
    moved: dict[Ref, Ref] = {}
    steps = []
    for step in (step.reading(moved) for step in graph.steps):
        if step.layer is FakeQuant:
            moved[step.output] = step.inputs[0]
        else:
            steps.append(_stripped(step, codings.get(step.name)) if step.layer in PLAIN else step)
    return build(graph.with_steps(steps, moved))


def _stripped(step: Step, coding: KernelCoding | None) -> Step:
    final = _on_grid(step, coding) if step.config["step"] is None else step
    return _plain(final) if final.layer in PLAIN else final


def _codings(model: keras.Model) -> dict[str, KernelCoding | None]:
    return {layer.name: layer.coding for layer in model.layers if type(layer) in PLAIN}


def _calibrate(folded: Graph, placed: Graph, samples: Iterable[list[Array]]) -> Graph:
    """Set the ranges: the mean over batches of each batch's extremes in the float network."""
    quantizers = [s for s in placed.steps if s.layer is FakeQuant and s.config["fixed"] is None]
    observed = list(dict.fromkeys(s.inputs[0] for s in quantizers if s.options.get("observe", True)))
    observe = observer(folded, observed)
    extremes: dict[Ref, list[tuple[float, float]]] = {ref: [] for ref in observed}
    for batch in samples:
        for ref, array in observe(batch).items():
            extremes[ref].append((float(array.min()), float(array.max())))
    ranges = {ref: np.mean(pairs, axis=0) for ref, pairs in extremes.items()}
    weights = {s.key: calibrated(*ranges[s.inputs[0]]) for s in quantizers if s.inputs[0] in ranges}
    return placed.with_steps(
        replace(s, weights=weights[s.key]) if s.layer is FakeQuant and s.key in weights else s for s in placed.steps
    )
