"""Where fake quantization goes in a folded model, so that the int8 file computes the same numbers.

The positions are those at which TFLite requantizes: after the input, after a kernel layer or a sum together with the
relu that is fused into it, after a mean. Shape changes and maxima keep their input's range. Inputs of a
concatenation that nothing else uses take the range of the concatenation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import keras
from keras import layers

from edgeship.compress.graph.fold import KERNEL_LAYERS, unsupported
from edgeship.compress.graph.model import Graph, Ref, Refs, Step
from edgeship.compress.layers import FakeQuant
from edgeship.errors import UnsupportedModelError

_SUMS = (layers.Add, layers.Subtract, layers.Multiply)
#: Own range for the output.
_RANGED = (
    *_SUMS,
    layers.Concatenate,
    layers.LeakyReLU,
    layers.PReLU,
    layers.Rescaling,  # of integers that come in; others became convolutions
    *(getattr(layers, f"GlobalAveragePooling{n}D") for n in (1, 2)),
)
#: The output is rounded again, in the input's range.
_SAME_RANGE = (layers.AveragePooling1D, layers.AveragePooling2D)
#: The output has values of the input only.
PASSING = (
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D),
    *(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector, layers.UpSampling1D),
    *(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.Cropping1D, layers.Cropping2D),
    *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.GaussianDropout, layers.GaussianNoise),
)
#: Ranges that the runtime prescribes (TensorFlow's 8-bit quantization specification).
_FIXED: Mapping[str, tuple[float, float]] = {
    "softmax": (0.0, 255 / 256),
    "sigmoid": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
}


class _Placer:
    """Walks the steps once, keeping which tensor is now read instead of which, and whose range a tensor has."""

    def __init__(self, graph: Graph) -> None:
        self._refs: Refs = graph.refs()
        self._uses = graph.consumers()
        self._readers: dict[Ref, Step] = {ref: step for step in graph.steps for ref in step.inputs}
        self._outputs = {ref for _, ref in graph.outputs}
        self._quantizer: dict[Ref, Step] = {}
        self.moved: dict[Ref, Ref] = {}
        self.steps: list[Step] = []

    def insert(self, ref: Ref, name: str, fixed: tuple[float, float] | None = None) -> None:
        """Put a FakeQuant of its own after `ref`."""
        output = self._refs.new(ref.shape)
        layer = FakeQuant(fixed=fixed, name=f"{name}_range")
        step = Step(layer.name, FakeQuant, layer.get_config(), (), (ref,), (output,), key=output)
        self.steps.append(step)
        self.moved[ref] = output
        self._quantizer[output] = step

    def add(self, step: Step) -> None:
        """One step, and the fake quantization after it."""
        step = step.reading(self.moved)
        given = step.inputs
        self.steps.append(step)
        word = step.config.get("activation") if step.layer is layers.Activation else None
        if word in _FIXED:
            self.insert(step.output, step.name, _FIXED[str(word)])
        elif step.layer in KERNEL_LAYERS or word is not None or step.layer in _RANGED:
            if not self._continued(step):
                self.insert(step.output, step.name)
        elif step.layer in _SAME_RANGE or (step.layer is layers.UpSampling2D and _interpolates(step)):
            self._again(step, self._quantizer.get(given[0]))
        elif step.layer in PASSING or step.layer is layers.UpSampling2D:
            if given[0] in self._quantizer:
                self._quantizer[step.output] = self._quantizer[given[0]]
        else:
            raise unsupported(step, "this kind of layer is not supported")

    def _continued(self, step: Step) -> bool:
        """Whether the next step, which alone reads this one, brings the range."""
        if self._uses[step.output] != 1 or step.output in self._outputs:
            return False
        reader = self._readers[step.output]
        if reader.layer is layers.Activation and reader.config["activation"] in ("relu", "relu6"):
            return step.layer in KERNEL_LAYERS or step.layer in _SUMS
        return reader.layer is layers.Concatenate and step.layer is not layers.Concatenate

    def _again(self, step: Step, quantizer: Step | None) -> None:
        """Round with the range of the input, which does not follow this tensor."""
        if quantizer is None:
            raise unsupported(step, "it has no input with a range")
        output = self._refs.new(step.output.shape)
        again = replace(quantizer, args=(step.output,), outputs=(output,), options={"observe": False})
        self.steps.append(again)
        self.moved[step.output] = output
        self._quantizer[output] = quantizer


def _interpolates(step: Step) -> bool:
    return bool(step.config["interpolation"] != "nearest")


def place(graph: Graph) -> Graph:
    """Insert fake quantization into a folded graph. Raises UnsupportedModelError naming the layer."""
    placer = _Placer(graph)
    for name, _, dtype, ref in graph.inputs:
        if keras.backend.is_float_dtype(dtype):
            placer.insert(ref, name)
        elif not all(step.layer is layers.Rescaling for step in graph.steps if ref in step.inputs):
            raise UnsupportedModelError(
                f"quantize-aware: input {name} is {dtype}, and other layers than normalizations read it",
                remedy="Cut the model after the layer that makes real numbers of it, or use variant int8.",
            )
    for step in graph.steps:
        placer.add(step)
    return graph.with_steps(placer.steps, placer.moved)
