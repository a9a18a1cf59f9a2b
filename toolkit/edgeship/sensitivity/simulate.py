"""A float network in which the weights and the output of each layer can be rounded by themselves, without rebuilding.

The roundings stand where the int8 file has them (`edgeship.compress.quantize.place`), their ranges are the smallest and
largest value of the calibration samples, as TensorFlow's converter takes them: with all of them on, it computes what
the file computes, up to rounding in the sums.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from edgeship.compress.graph.fold import KERNEL_LAYERS, fold
from edgeship.compress.graph.kernels import prunable_kernel
from edgeship.compress.graph.model import Graph, Ref, Step, build, read, unique_names
from edgeship.compress.layers import QUANTIZED, FakeQuant, fake_quantized
from edgeship.compress.quantize.place import place
from edgeship.errors import EdgeshipError, UnsupportedModelError
from edgeship.sensitivity.rounding import FLOAT, Kernel, Precision, Rounding, activation_grid
from edgeship.sensitivity.units import Unit, scores, units
from edgeship.types import Array


class Simulation:
    """A model whose layers can be put in any precision, one by one.

    Args:
        model: functional or Sequential, float inputs, not fake-quantized. It is not changed.

    Raises:
        UnsupportedModelError: names the layer that cannot be simulated.
    """

    def __init__(self, model: keras.Model) -> None:
        if fake_quantized(model):
            raise UnsupportedModelError(
                f"{model.name} has been through quantize-aware: its ranges are its own",
                remedy="Give the model that it was made from.",
            )
        original = unique_names(read(model))
        placed = place(fold(original))
        self._original = model
        self._structure = original.structures[0]
        self.units = units(original, fold(original), placed)
        self.kernels: dict[str, tuple[Kernel, ...]] = {}
        self._outputs = [ref for _, ref in placed.outputs]
        self._scores = scores(placed)
        ends = (*self._outputs, *self._scores)
        self._given = list(dict.fromkeys((*ends, *(r for u in self.units for r in (*u.roundings, u.output)))))
        self._fixed = {s.output: s.config["fixed"] for s in placed.steps if s.layer is FakeQuant}
        self._bounds: dict[Ref, tuple[float, float]] = {}
        graph = unique_names(_switchable(placed, self._given))
        self._model = build(graph)
        self._layers = {step.output: self._model.get_layer(step.name) for step in graph.steps if _switched(step)}
        self.kernels = {unit.name: tuple(self._kernels(unit, original, graph)) for unit in self.units}
        self._now = {unit.name: Precision() for unit in self.units}
        self._all = tf.function(self._compute, reduce_retracing=True)
        self._ends = tf.function(self._compute_ends, reduce_retracing=True)

    def _kernels(self, unit: Unit, original: Graph, graph: Graph) -> Iterable[Kernel]:
        """The kernels of a layer, with what each was before folding."""
        before = next((prunable_kernel(s.layer, s.weights) for s in original.steps if s.name == unit.name), None)
        for step in (step for step in graph.steps if step.output in unit.kernels):
            values = step.weights[0]
            # A one-dimensional kernel has become two-dimensional; of a separable layer the last one is pruned.
            same = before is not None and step.output == unit.kernels[-1] and before.size == values.size
            axes = QUANTIZED[step.layer].channel_axes
            yield Kernel(self._layers[step.output], values, axes, before if same else None)

    def _compute(self, inputs: list[Any]) -> list[Any]:
        return list(self._model(inputs, training=False))

    def _compute_ends(self, inputs: list[Any]) -> tuple[list[Any], list[Any]]:
        found = dict(zip(self._given, self._compute(inputs), strict=True))
        return [found[ref] for ref in self._outputs], [found[ref] for ref in self._scores]

    def check(self, batch: list[Array]) -> None:
        """Raise EdgeshipError where the float network is not the model: an error of ours, never passed on."""
        packed = keras.tree.pack_sequence_as(self._structure, batch)
        expected = keras.tree.flatten(self._original(packed, training=False))
        self.set({})
        for want, got in zip(map(np.asarray, expected), self.ends(batch)[0], strict=True):
            difference = float(np.max(np.abs(want - got), initial=0.0))
            if not difference <= 1e-3 * max(1.0, float(np.max(np.abs(want), initial=0.0))):
                raise EdgeshipError(
                    f"the simulation of {self._original.name} differs from it by {difference:.2g}",
                    remedy="Please report this with the model.",
                )

    def calibrate(self, batches: Iterable[Sequence[Array]]) -> None:
        """Take the ranges of activations from samples (lists of arrays in the order of the inputs)."""
        self.set({})
        lows: dict[Ref, float] = {}
        highs: dict[Ref, float] = {}
        for batch in batches:
            for ref, tensor in zip(self._given, self._all(list(batch)), strict=True):
                lows[ref] = min(lows.get(ref, np.inf), float(tf.reduce_min(tensor)))
                highs[ref] = max(highs.get(ref, -np.inf), float(tf.reduce_max(tensor)))
        self._bounds = {ref: (lows[ref], highs[ref]) for unit in self.units for ref in unit.roundings}

    def set(self, precisions: Mapping[str, Precision]) -> None:
        """Put layers in a precision, by name; those that are not named compute in float."""
        for unit in self.units:
            wanted, now = precisions.get(unit.name, Precision()), self._now[unit.name]
            if (wanted.weights, wanted.sparsity) != (now.weights, now.sparsity):
                for kernel in self.kernels[unit.name]:
                    kernel.assign(wanted)
            if wanted.output != now.output:
                for ref in unit.roundings:
                    self._layers[ref].switch(self._grid(ref, wanted.output))
            self._now[unit.name] = wanted

    def _grid(self, ref: Ref, bits: int) -> Any:
        return None if bits == FLOAT else activation_grid(*self._bounds[ref], bits, self._fixed[ref])

    def ends(self, batch: Sequence[Array]) -> tuple[list[Array], list[Array]]:
        """Outputs of the network, and what goes into their final softmax or sigmoid, for a batch."""
        outputs, before = self._ends(list(batch))
        return [np.asarray(array) for array in outputs], [np.asarray(array) for array in before]

    def observe(self, batch: Sequence[Array], names: Sequence[str]) -> dict[str, Array]:
        """Outputs of layers for a batch, by name."""
        found = dict(zip(self._given, self._all(list(batch)), strict=True))
        return {unit.name: np.asarray(found[unit.output]) for unit in self.units if unit.name in names}

    def values(self, batch: Sequence[Array]) -> int:
        """How many values all layers give for one sample."""
        return sum(int(np.prod(tensor.shape[1:])) for tensor in self._all(list(batch)))


def _switched(step: Step) -> bool:
    return step.layer is Rounding or step.layer in KERNEL_LAYERS


def _switchable(placed: Graph, given: Sequence[Ref]) -> Graph:
    """The network with roundings that can be switched, which gives out the tensors `given`."""
    steps = [
        replace(s, layer=Rounding, config={}, options={}, weights=()) if s.layer is FakeQuant else s
        for s in placed.steps
    ]
    outputs = tuple((f"given_{position}", ref) for position, ref in enumerate(given))
    structures = ([0] * len(placed.inputs), [0] * len(given))
    return replace(placed, steps=tuple(steps), outputs=outputs, structures=structures)
