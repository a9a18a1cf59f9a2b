"""Which few layers to keep more precise than int8, so that the metric stays within its limit.

Greedy: of all layers and both steps up (16-bit activations; float), the one that leaves the least noise at the end of
the network is taken, until the metric is within the limit. Noise, unlike the metric, changes measurably with every
layer, also on few samples; the metric alone decides when it is enough. A drop beyond the limit that cannot be told from
none is measured on more samples, up to all that there are; if these cannot tell either, that is what is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgeship.sensitivity.findings import Fix, Options, Step
from edgeship.sensitivity.measure import INT8, Noise, Task, all_in, decibels
from edgeship.sensitivity.rounding import FLOAT, Precision
from edgeship.sensitivity.simulate import Simulation
from edgeship.verify import Drop, signed

#: The word in a recipe -> what it means for a layer. The output of a float layer is read with 16 bits.
PRECISIONS: Mapping[str, Precision] = {"int16x8": Precision(8, 16), "float32": Precision(FLOAT, 16)}

#: No more layers than this are kept: a network that needs more does not want int8.
_MOST_STEPS = 12
#: Only so many of the noisiest layers are tried: each round tries all of their choices again.
_NOISIEST = 24
#: A dearer choice must leave less noise than the cheapest that is as good, by this factor.
_CLEARLY = 0.8
#: A step that leaves more than this share of the noise is no help.
_USELESS = 0.98

#: Bytes of a file beside its weights, estimated from files of TensorFlow's converter: for each layer an operator and
#: its tensors, for each output channel a bias, a scale and a zero point; for each change of precision an operator.
_LAYER_BYTES, _CHANNEL_BYTES, _CHANGE_BYTES, _FILE_BYTES = 400, 16, 200, 2_000


@dataclass(frozen=True)
class Choice:
    """A layer in a precision above int8, and what it costs."""

    layer: str
    word: str
    extra_bytes: int


def int8_bytes(simulation: Simulation) -> int:
    """Estimated size of the int8 file."""
    kernels = [kernel for found in simulation.kernels.values() for kernel in found]
    weights = sum(kernel.values.size + _CHANNEL_BYTES * kernel.channels for kernel in kernels)
    return weights + _LAYER_BYTES * len(simulation.units) + _FILE_BYTES


def choices(simulation: Simulation) -> list[Choice]:
    """Every layer in every precision above int8 that changes anything, with estimated extra bytes."""
    found = []
    for unit in (unit for unit in simulation.units if unit.is_layer):
        kernels = simulation.kernels[unit.name]
        channels = sum(kernel.channels for kernel in kernels)
        if unit.roundings:  # biases of 64 bits; into 16 bits and back
            found.append(Choice(unit.name, "int16x8", 4 * channels + 2 * _CHANGE_BYTES))
        if kernels:
            weights = sum(kernel.values.size for kernel in kernels)
            extra = 3 * weights - _CHANNEL_BYTES * channels + 2 * _CHANGE_BYTES
            found.append(Choice(unit.name, "float32", extra))
    return found


class Search:
    """The greedy search.

    Args:
        simulation: calibrated.
        task, noise: what is measured.
        options: the limits.
        size: of the int8 file in bytes.
    """

    def __init__(self, simulation: Simulation, measured: tuple[Task, Noise], options: Options, size: int) -> None:
        self._simulation = simulation
        self._task, self._noise = measured
        self._options = options
        self._size = size
        self._kept: dict[str, Choice] = {}

    def run(self) -> Fix:
        """Find the fix."""
        drop = self._drop(self._state())
        steps: list[Step] = []
        left = self._candidates()
        noise = self._noise.of(self._state())
        while not (self._enough(drop) or _untold(drop)) and len(steps) < _MOST_STEPS:
            ranked = self._ranked([c for c in left if self._affordable(c)])
            if not ranked or ranked[0][0] > _USELESS * noise:
                break
            noise, chosen = self._cheapest(ranked)
            before = self._kept.get(chosen.layer)
            self._kept[chosen.layer] = chosen
            left = [c for c in left if c.layer != chosen.layer or c.extra_bytes > chosen.extra_bytes]
            drop = self._drop(self._state())
            extra = chosen.extra_bytes - (before.extra_bytes if before else 0)
            steps.append(Step(chosen.layer, chosen.word, drop, decibels(noise), extra))
        if self._enough(drop):
            drop = self._spared(drop)
        return self._fix(tuple(steps), drop)

    def _candidates(self) -> list[Choice]:
        """The choices for the layers that are the noisiest when they are quantized alone."""
        found = choices(self._simulation)
        alone = {layer: self._noise.of({layer: INT8}) for layer in dict.fromkeys(choice.layer for choice in found)}
        noisiest = sorted(alone, key=lambda layer: -alone[layer])[:_NOISIEST]
        return [choice for choice in found if choice.layer in noisiest]

    def _drop(self, state: Mapping[str, Precision]) -> Drop:
        """Of the metric; on twice as many samples as long as so many cannot tell whether that is enough."""
        drop = self._task.drop(state)
        while not self._enough(drop) and _untold(drop) and self._task.widen():
            drop = self._task.drop(state)
        return drop

    def _enough(self, drop: Drop) -> bool:
        return drop.value <= self._options.max_drop

    def _spared(self, drop: Drop) -> Drop:
        """Give up what later choices have made needless, the dearest first."""
        for choice in sorted(self._kept.values(), key=lambda c: -c.extra_bytes):
            state = self._state()
            state[choice.layer] = INT8
            without = self._drop(state)
            if self._enough(without):
                del self._kept[choice.layer]
                drop = without
        return drop

    def _state(self, *more: Choice) -> dict[str, Precision]:
        chosen = [*self._kept.values(), *more]
        return all_in(self._simulation, INT8, {c.layer: PRECISIONS[c.word] for c in chosen})

    def _bytes(self, *more: Choice) -> int:
        final = {c.layer: c for c in (*self._kept.values(), *more)}
        return self._size + sum(c.extra_bytes for c in final.values())

    def _affordable(self, choice: Choice) -> bool:
        return self._bytes(choice) <= self._size * (1 + self._options.max_growth)

    def _ranked(self, candidates: Sequence[Choice]) -> list[tuple[float, Choice]]:
        """Candidates with the noise that each leaves, the least first."""
        found = [(self._noise.of(self._state(choice)), choice) for choice in candidates]
        return sorted(found, key=lambda item: item[0])

    def _cheapest(self, ranked: Sequence[tuple[float, Choice]]) -> tuple[float, Choice]:
        """Of the choices that are nearly as good as the best, the one with the fewest bytes."""
        near = [item for item in ranked if _CLEARLY * item[0] <= ranked[0][0]]
        return min(near, key=lambda item: (item[1].extra_bytes, item[0]))

    def _fix(self, steps: tuple[Step, ...], drop: Drop) -> Fix:
        precision = {choice.layer: choice.word for choice in self._kept.values()}
        verdict = "unclear" if _untold(drop) else "none"
        if self._enough(drop):
            verdict = "mixed" if precision else "int8"
        advice = {
            "int8": "int8 everywhere is fine",
            "mixed": f"keep {kept_text(precision)}",
            "unclear": f"{drop.n:,} samples cannot tell whether "
            + (f"keeping {kept_text(precision)} is enough" if precision else "int8 everywhere is good enough"),
            "none": f"no mix within the limits is enough, not even {kept_text(precision)}"
            if precision
            else "int8 costs too much, and no layer's precision helps within the limits",
        }[verdict]
        return Fix(verdict, precision, steps, drop, self._bytes(), advice, f"{advice}{self._outcome(verdict, drop)}")

    def _outcome(self, verdict: str, drop: Drop) -> str:
        """What the metric does then, and the bytes."""
        metric, limit = self._task.metric, self._options.max_drop
        verb = "drops" if metric.direction == "maximize" else "rises"
        joint = "; then" if verdict == "mixed" else ":"
        found = f"{joint} {metric.name} {verb} by {drop_text(drop, metric.unit)}, {limit:g} allowed"
        if verdict == "mixed":
            found += f"; about {self._bytes():,} B instead of {self._size:,} B"
        unsure = verdict in ("int8", "mixed") and drop.high > limit
        return found + (f"; {drop.n:,} samples cannot exclude {signed(drop.high)}" if unsure else "")


def _untold(drop: Drop) -> bool:
    """The interval holds zero: to go on with the search would be chasing chance."""
    return drop.low <= 0


def drop_text(drop: Drop, unit: str) -> str:
    """`+0.40 points [+0.01, +0.79]`."""
    return f"{signed(drop.value)} {unit} [{signed(drop.low)}, {signed(drop.high)}]"


def kept_text(precision: Mapping[str, str]) -> str:
    """`these 2 layers int16: a, b; 1 layer float: c`; empty without any."""
    parts = []
    for word, name in (("int16x8", "int16"), ("float32", "float")):
        layers = [layer for layer, kept in precision.items() if kept == word]
        count = "this layer" if len(layers) == 1 else f"these {len(layers)} layers"
        parts += [f"{count} {name}: {', '.join(layers)}"] if layers else []
    return " and ".join(parts)
