"""Descriptions become Keras models, calibrated call by call on samples; needs Keras, so it runs in a worker.

The weights come from the seed and the name of the node alone, so that leaving another node out does not change them.
Then they are scaled, and statistics set, as training would have left them: what flows stays in range and differs from
sample to sample. What cannot be brought there is refused as InvalidModel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import keras
import numpy as np

from edgeship.types import Array
from tests.acceptance.fuzz.description import Description, Entry, InvalidModel, Node
from tests.acceptance.fuzz.draw import generator
from tests.acceptance.fuzz.samples import draw_samples

CALIBRATION = 64
#: Bounds for all that flows: numbers in a sample, magnitude, largest number and least change against the spread.
_MOST_NUMBERS, _LARGEST, _PEAK, _LEAST_CHANGE = 6000, 800.0, 20.0, 2e-3
#: How much inputs are disturbed, as a share of their spread, and the largest share of the outputs' spread that this may
#: change: what depends on the last bit has no right result.
_DISTURBANCES = ((1e-6, 1e-4), (1e-2, 0.15))
#: Layers that jump by nature: there the larger disturbance says nothing.
_STEPS = ("Discretization", "ContrastLimitedAdaptiveHistogramEqualization")
#: Layers that cut fractions off: of whole numbers, which an input gives them, no rounding takes any away.
_OF_WHOLE_NUMBERS = ("ContrastLimitedAdaptiveHistogramEqualization",)
_STATISTICS = ("BatchNormalization",)


class Network:
    """A model that grows by one call at a time, with the values that it computes for the calibration samples."""

    def __init__(self, seed: int) -> None:
        keras.backend.clear_session()
        keras.utils.set_random_seed(seed % 2**31)
        self.seed = seed
        self.entries: list[Entry] = []
        self.nodes: list[Node] = []
        self.values: dict[str, Any] = {}
        self._layers: dict[str, Any] = {}

    def shape(self, name: str) -> tuple[int, ...]:
        """Of what a node or an input gives, without the batch axis."""
        return tuple(int(size) for size in self.values[name].shape[1:])

    def enter(self, entry: Entry) -> str:
        """Add an input; its name."""
        self.values[entry.name] = keras.ops.convert_to_tensor(
            draw_samples(entry, self.seed, "calibration", CALIBRATION)
        )
        self.entries.append(entry)
        return entry.name

    def call(self, node: Node) -> tuple[str, ...]:
        """Add a call; the names of what it gives. Raises InvalidModel and stays as it was."""
        try:
            layer = self._layers[node.shares] if node.shares else make_layer(node)
            given = arguments(node, [self.values[name] for name in node.inputs])
            if not node.shares:
                _calibrate(layer, given, node, self.seed)
            results = layer(*given, **node.options)
        except InvalidModel:
            raise
        except Exception as error:  # Keras raises what it likes for settings that do not fit
            raise InvalidModel(f"{node.layer}: {type(error).__name__}: {str(error)[:300]}") from error
        found = results if isinstance(results, list | tuple) else [results]
        for value in found:
            _check(np.asarray(value), node)
        names = tuple(node.name if i == 0 else f"{node.name}:{i}" for i in range(len(found)))
        self._layers[node.name] = layer
        self.values.update(zip(names, found, strict=True))
        self.nodes.append(node)
        return names

    def model(self, description: Description) -> Any:
        """The Keras model. Raises InvalidModel."""
        try:
            found = self._sequential(description) if description.sequential else self._functional(description)
            _check_conditioned(found, description)
        except InvalidModel:
            raise
        except Exception as error:  # also on running: with dynamic axes, some sizes are found wrong only then
            raise InvalidModel(f"{type(error).__name__}: {str(error)[:300]}") from error
        return found

    def _sequential(self, description: Description) -> Any:
        entry = description.entries[0]
        first = keras.Input(_declared(entry), dtype=entry.dtype, name=entry.name)
        return keras.Sequential([first, *(self._layers[node.name] for node in description.nodes)])

    def _functional(self, description: Description) -> Any:
        tensors = {e.name: keras.Input(_declared(e), dtype=e.dtype, name=e.name) for e in description.entries}
        ends = list(tensors.values())
        waiting = list(description.nodes)
        while waiting:
            group = [node for node in waiting if node.group == waiting[0].group] if waiting[0].group else waiting[:1]
            waiting = waiting[len(group) :]
            if len(group) > 1:
                self._nested(group, tensors, description)
            else:
                self._apply(group[0], tensors)
        return keras.Model(ends, [tensors[name] for name in description.outputs])

    def _apply(self, node: Node, tensors: dict[str, Any]) -> None:
        given = arguments(node, [tensors[name] for name in node.inputs])
        results = self._layers[node.name](*given, **node.options)
        found = results if isinstance(results, list | tuple) else [results]
        for i, tensor in enumerate(found):
            tensors[node.name if i == 0 else f"{node.name}:{i}"] = tensor

    def _nested(self, group: Sequence[Node], tensors: dict[str, Any], description: Description) -> None:
        """Put nodes into a model of their own and call that."""
        own = {node.name for node in group}
        needed = list(dict.fromkeys(i for node in group for i in node.inputs if i.split(":")[0] not in own))
        inside = {
            name: keras.Input(tensors[name].shape[1:], dtype=tensors[name].dtype, name=f"{group[0].group}_{k}")
            for k, name in enumerate(needed)
        }
        starts = list(inside.values())
        for node in group:
            self._apply(node, inside)
        later = {i for node in description.nodes if node.name not in own for i in node.inputs} | set(
            description.outputs
        )
        given = [name for name in inside if name.split(":")[0] in own and name in later]
        nested = keras.Model(starts, [inside[name] for name in given], name=group[0].group)
        results = nested([tensors[name] for name in needed])
        tensors.update(zip(given, results if isinstance(results, list | tuple) else [results], strict=True))


def build(description: Description) -> Any:
    """The Keras model of a description. Raises InvalidModel."""
    network = Network(description.seed)
    for entry in description.entries:
        network.enter(entry)
    for node in description.nodes:
        network.call(node)
    return network.model(description)


def make_layer(node: Node) -> Any:
    """The layer of a node, with the node's name."""
    return _construct(node.layer, {**node.settings, "name": node.name})


def _construct(name: str, settings: Mapping[str, Any]) -> Any:
    return getattr(keras.layers, name)(**{key: _value(value) for key, value in settings.items()})


def _value(value: Any) -> Any:
    if isinstance(value, Mapping) and "layer" in value:
        return _construct(value["layer"], value["settings"])
    if isinstance(value, list | tuple):
        return [_value(item) for item in value] if any(isinstance(i, Mapping) for i in value) else _tuple(value)
    return value


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list | tuple) else value


def arguments(node: Node, given: list[Any]) -> list[Any]:
    """The arguments of a call."""
    return [given] if node.as_list else given


def _declared(entry: Entry) -> tuple[int | None, ...]:
    return tuple(None if axis in entry.free else size for axis, size in enumerate(entry.shape))


def _calibrate(layer: Any, given: list[Any], node: Node, seed: int) -> None:
    """Give a new layer weights and statistics as training leaves them."""
    if node.layer == "Normalization":
        layer.adapt(np.asarray(given[0]))
        return
    layer(*given, **node.options)  # builds it
    if not layer.weights:
        return
    for weight in layer.trainable_weights:
        weight.assign(_weights(weight, generator(seed, "weights", node.name, weight.path.split("/", 1)[-1])))
    if node.layer in _STATISTICS:
        _set_statistics(layer, np.asarray(given[0]))
    kernels = [w for w in layer.trainable_weights if w.name in ("kernel", "pointwise_kernel", "depthwise_kernel")]
    if not kernels or any(w.name == "recurrent_kernel" for w in layer.trainable_weights):
        return
    _scale(layer, kernels[-1], given, node)


def _scale(layer: Any, kernel: Any, given: list[Any], node: Node) -> None:
    """Bring what goes into the activation to a spread of 1 and, with a bias, each channel to a mean of about 0.

    Factors are of few digits: the sums of another machine's processor may differ in the last ones.
    """
    activation = getattr(layer, "activation", None)
    if activation is not None:
        layer.activation = keras.activations.linear
    before = np.asarray(layer(*given, **node.options))
    if activation is not None:
        layer.activation = activation
    over = tuple(range(before.ndim - 1))
    means = before.mean(axis=over)
    bias = getattr(layer, "bias", None)
    centered = bias is not None and tuple(bias.shape) == means.shape
    spread = float((before - means).std() if centered else before.std())
    if not np.isfinite(spread) or spread < 1e-6:
        return
    factor = float(f"{min(max(1 / spread, 1e-3), 20):.2g}")
    kernel.assign(kernel * factor)
    if centered:
        drawn = np.asarray(bias)
        bias.assign(drawn + [float(f"{v:.3g}") for v in (drawn - means) * factor])


def _weights(weight: Any, random: np.random.Generator) -> Array:
    shape, name = tuple(weight.shape), weight.name
    if name in ("gamma", "scale", "concat_score_weight"):
        return random.uniform(0.6, 1.5, shape)
    if name == "alpha":
        return random.uniform(0.05, 0.4, shape)
    if name in ("beta", "bias") or len(shape) < 2:
        return random.normal(0, 0.15, shape)
    if "embeddings" in name:
        return random.normal(0, 1, shape)
    fan_in = prod(shape[:2]) if name == "depthwise_kernel" and len(shape) == 4 else prod(shape[:-1])
    if len(shape) == 3 and name == "kernel" and weight.path.count("/") > 1:  # of attention: (features, heads, size)
        fan_in = shape[0] if "output" not in weight.path else shape[0] * shape[1]
    return random.normal(0, 1 / np.sqrt(max(1, fan_in)), shape)


def _set_statistics(layer: Any, values: Array) -> None:
    axis = layer.axis % values.ndim
    over = tuple(i for i in range(values.ndim) if i != axis)
    mean, variance = values.mean(axis=over), values.var(axis=over)
    layer.moving_mean.assign([float(f"{v:.3g}") for v in mean])
    layer.moving_variance.assign([float(f"{max(v, 1e-2):.3g}") for v in variance])


def _check(values: Array, node: Node) -> None:
    """Raise InvalidModel for a result that is too large, or no basis for a comparison."""
    if prod(values.shape[1:]) > _MOST_NUMBERS or values.size == 0:
        raise InvalidModel(f"{node.layer}: {values.shape} is empty or too large")
    if values.dtype.kind not in "fiu":
        raise InvalidModel(f"{node.layer}: dtype {values.dtype}")
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all() or np.abs(numbers).max() > _LARGEST:
        raise InvalidModel(f"{node.layer}: not finite, or large")
    spread = numbers.std()
    changes = float(numbers.std(axis=0).mean())
    if changes < _LEAST_CHANGE * float(np.abs(numbers).max()) or changes < 1e-4:
        raise InvalidModel(f"{node.layer}: hardly changes between samples")
    if np.abs(numbers - numbers.mean()).max() > _PEAK * spread:
        raise InvalidModel(f"{node.layer}: single values far above the others")


def _check_conditioned(model: Any, description: Description) -> None:
    """Raise InvalidModel for a model whose outputs depend on what rounding does to its inputs."""
    given = [draw_samples(e, description.seed, "calibration", CALIBRATION) for e in description.entries]
    random = generator(description.seed, "disturbance")
    expected = run(model, given)
    steps = any(node.layer in _STEPS for node in description.nodes)
    whole = {name for node in description.nodes if node.layer in _OF_WHOLE_NUMBERS for name in node.inputs}
    for amount, allowed in _DISTURBANCES[:1] if steps else _DISTURBANCES:
        disturbed = [
            (x + amount * x.std() * random.normal(size=x.shape)).astype(x.dtype)
            if x.dtype.kind == "f" and entry.name not in whole
            else x
            for entry, x in zip(description.entries, given, strict=True)
        ]
        for a, b in zip(expected, run(model, disturbed), strict=True):
            _check_columns(a)
            scale = np.maximum((a - a.mean(axis=0)).std(axis=0), 0.05 * a.std())
            if not np.isfinite(b).all() or float(np.abs(b - a).std(axis=0).max()) > allowed * float(scale.mean()):
                raise InvalidModel("small changes of its inputs change its outputs by much")


def _check_columns(output: Array) -> None:
    """Raise InvalidModel where a channel of an output changes, but next to nothing: a saturated one, for instance."""
    changes = output.reshape(-1, output.shape[-1]).astype(np.float64).std(axis=0)
    if (changes[changes > 0] < 1e-3 * changes.max()).any():
        raise InvalidModel("a channel of an output hardly changes beside the others")


def run(model: Any, given: Sequence[Array]) -> list[Array]:
    """Outputs of a model for samples of its inputs, both in order."""
    results = model(given[0] if len(given) == 1 else list(given), training=False)
    found = results if isinstance(results, list | tuple) else [results]
    return [np.asarray(value) for value in found]
