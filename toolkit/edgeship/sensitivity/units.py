"""Which weights and which roundings of a folded network belong to which Keras layer.

A rounding belongs to the layer whose output it rounds; a relu that the runtime fuses into a kernel layer or a sum
counts with that layer. Every rounding has one owner, so that what quantization costs can be told apart by layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keras import layers

from edgeship.compress.graph.fold import KERNEL_LAYERS
from edgeship.compress.graph.model import Graph, Ref, Step
from edgeship.compress.layers import FakeQuant
from edgeship.compress.quantize.place import PASSING

_SQUASHING = ("softmax", "sigmoid")


@dataclass(frozen=True)
class Unit:
    """A layer, its kernels and the roundings of its output.

    Attributes:
        name, kind: of the Keras layer (or input).
        kernels: tensors that its kernel steps give; two for a separable convolution, none for a sum.
        roundings: tensors that its rounding steps give; none where the rounding is that of a later concatenation.
        is_layer: False for arithmetic on tensors (`a + b`), which exported files do not know by its name.
    """

    name: str
    kind: str
    kernels: tuple[Ref, ...]
    roundings: tuple[Ref, ...]
    is_layer: bool

    @property
    def output(self) -> Ref:
        """What the layer gives."""
        return (self.roundings or self.kernels)[-1]


def units(original: Graph, folded: Graph, placed: Graph) -> tuple[Unit, ...]:
    """The layers of a network in the order in which they compute.

    Args:
        original: the model as read, with unique names.
        folded: `fold(original)`.
        placed: `place(folded)`.
    """
    owners = _owners(original, folded)
    kinds = {step.name: step.layer.__name__ for step in original.steps}
    makers = {ref: step for step in placed.steps for ref in step.outputs}
    inputs = {ref: name for name, *_, ref in placed.inputs}
    kernels: dict[str, list[Ref]] = {}
    roundings: dict[str, list[Ref]] = {}
    for step in placed.steps:
        if step.layer in KERNEL_LAYERS:
            kernels.setdefault(owners[step.output], []).append(step.output)
        elif step.layer is FakeQuant and step.options.get("observe", True):
            (source,) = step.inputs
            name = inputs.get(source) or owners[_producer(source, makers)]
            roundings.setdefault(name, []).append(step.output)
    found = dict.fromkeys((*inputs.values(), *(owners.get(step.output, "") for step in placed.steps)))
    arithmetic = {step.name for step in original.steps if step.key is None}
    return tuple(
        Unit(
            name,
            kinds.get(name, "InputLayer"),
            tuple(kernels.get(name, ())),
            tuple(roundings.get(name, ())),
            name not in arithmetic,
        )
        for name in found
        if name in kernels or name in roundings
    )


def _owners(original: Graph, folded: Graph) -> dict[Ref, str]:
    """For each tensor of the folded network, the layer of the original that it is part of."""
    made = {ref: step.name for step in original.steps for ref in step.outputs}
    readers = {ref: step for step in folded.steps for ref in step.inputs}
    with_weights = {step.name for step in original.steps if step.weights}
    owners: dict[Ref, str] = {}
    for step in reversed(folded.steps):
        if step.layer in KERNEL_LAYERS and step.name in with_weights:
            name = step.name  # after folding, its output is that of the batch normalization
        else:
            name = made[step.output] if step.output in made else owners[readers[step.output].output]
        owners[step.output] = name
    return owners


def _producer(ref: Ref, makers: Mapping[Ref, Step]) -> Ref:
    """The tensor of the step that a rounding belongs to: past a relu that is fused into it."""
    step = makers[ref]
    if step.layer is layers.Activation and step.config["activation"] in ("relu", "relu6"):
        before = makers.get(step.inputs[0])
        if before is not None and before.layer is not FakeQuant:
            return before.output
    return ref


def scores(placed: Graph) -> tuple[Ref, ...]:
    """For each output of the network, the tensor before its final softmax or sigmoid; the output itself without one."""
    makers = {ref: step for step in placed.steps for ref in step.outputs}
    return tuple(_before_squashing(ref, makers) for _, ref in placed.outputs)


def _before_squashing(output: Ref, makers: Mapping[Ref, Step]) -> Ref:
    step = makers.get(output)
    while step is not None and (step.layer is FakeQuant or step.layer in PASSING):
        step = makers.get(step.inputs[0])
    if step is not None and step.layer is layers.Activation and step.config["activation"] in _SQUASHING:
        return step.inputs[0]
    return output
