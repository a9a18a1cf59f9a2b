"""Measures what the precision of each layer does to its output, to the end of the network, and to the task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from edgeship.contracts import Metric
from edgeship.errors import SourceError
from edgeship.metrics import get_metric
from edgeship.sensitivity.findings import EXACT_DB
from edgeship.sensitivity.rounding import Precision
from edgeship.sensitivity.samples import Batches
from edgeship.sensitivity.simulate import Simulation
from edgeship.types import Array, Dataset
from edgeship.verify import Drop, paired_drop

INT8 = Precision(weights=8, output=8)
INT16X8 = Precision(weights=8, output=16)
FLOAT32 = Precision()

#: What layers are quantized to when they are quantized one at a time.
ALONE: Mapping[str, Precision] = {"int8": INT8, "int16x8": INT16X8}


@dataclass
class Power:
    """Power of a signal and of its error, summed over samples."""

    signal: float = 0.0
    error: float = 0.0

    def add(self, expected: Array, found: Array) -> None:
        """One more batch."""
        exact = np.asarray(expected, np.float64)
        self.signal += float(np.square(exact).sum())
        self.error += float(np.square(exact - found).sum())

    @property
    def relative(self) -> float:
        """Power of the error over that of the signal."""
        return self.error / self.signal if self.signal else float(self.error > 0)

    @property
    def db(self) -> float:
        """SQNR in dB, at most `EXACT_DB`."""
        return decibels(self.relative)


def decibels(relative: float) -> float:
    """SQNR in dB of an error with this share of the signal's power, at most `EXACT_DB`."""
    return EXACT_DB if relative <= 10 ** (-EXACT_DB / 10) else -10 * float(np.log10(relative))


class Task:
    """The metric on validation samples, of the network in any precision, against the float network.

    Args:
        simulation: calibrated.
        batches: of the validation split, with labels.
        dataset: what they are of.
        metric: name; None = by task.

    Attributes:
        batches: the samples.
        metric: the task's.
        tick: called after each value that was measured.
    """

    def __init__(self, simulation: Simulation, batches: Batches, dataset: Dataset, metric: str | None) -> None:
        self._simulation = simulation
        self.batches = batches
        self.tick: Callable[[], None] = lambda: None
        ends = self._float()
        if not all(np.isfinite(found).all() for found in ends):
            raise SourceError(
                "the model itself gives NaN or infinite values for the validation samples",
                remedy="Check the samples (range, --scale) and the model.",
            )
        # The extremes say whether single scores are probabilities or logits.
        extremes = np.array([[min(e.min() for e in ends)], [max(e.max() for e in ends)]])
        self.metric: Metric = get_metric(metric, dataset, extremes)
        self._base = self._rows(ends)

    def widen(self) -> bool:
        """Twice as many samples, or all that the split has; False where it has no more."""
        wider = self.batches.wider()
        if wider is self.batches:
            return False
        self.batches = wider
        self._base = self._rows(self._float())
        return True

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(self._base)

    @property
    def original(self) -> float:
        """The metric of the float network."""
        return self.metric.value(self._base)

    def drop(self, precisions: Mapping[str, Precision]) -> Drop:
        """Of the metric with layers in these precisions, the others in float."""
        self._simulation.set(precisions)
        rows = self._rows([self._simulation.ends(batch)[0][0] for batch in self.batches])
        self.tick()
        return paired_drop(self.metric, self._base, rows)

    def drop_of(self, outputs: Array) -> Drop:
        """Of the metric of something else that gave these outputs for the same samples."""
        size = self.batches.size
        return paired_drop(self.metric, self._base, self._rows(np.split(outputs, range(size, len(outputs), size))))

    def _float(self) -> list[Array]:
        self._simulation.set({})
        return [self._simulation.ends(batch)[0][0] for batch in self.batches]

    def _rows(self, outputs: list[Array]) -> Array:
        assert self.batches.labels is not None
        labels = [np.asarray(self.batches.labels[rows]) for rows in self.batches.chosen()]
        pairs = zip(outputs, labels, strict=True)
        return np.concatenate([self.metric.per_sample(found, truth) for found, truth in pairs])


class Noise:
    """Error at the end of the network, before its softmax or sigmoid, relative to the float network.

    The sum over outputs of the power of the error over the power of the signal.
    """

    def __init__(self, simulation: Simulation, batches: Batches) -> None:
        self._simulation = simulation
        self._batches = list(batches)
        simulation.set({})
        self._exact = [simulation.ends(batch)[1] for batch in self._batches]

    def of(self, precisions: Mapping[str, Precision]) -> float:
        """With layers in these precisions, the others in float."""
        self._simulation.set(precisions)
        powers = [Power() for _ in self._exact[0]]
        for batch, exact in zip(self._batches, self._exact, strict=True):
            for power, want, got in zip(powers, exact, self._simulation.ends(batch)[1], strict=True):
                power.add(want, got)
        return sum(power.relative for power in powers)


#: Values of a layer's output that percentiles are taken of.
_VALUES = 200_000


@dataclass
class Observed:
    """What the output of one layer looks like in the float network, and how far it is off when only it is rounded."""

    low: Array | None = None
    high: Array | None = None
    values: list[Array] = field(default_factory=list)
    power: dict[str, Power] = field(default_factory=lambda: {name: Power() for name in ALONE})


def observe(simulation: Simulation, batches: Batches, tick: Callable[[], None]) -> dict[str, Observed]:
    """Outputs of all layers, and their error when one layer at a time is quantized; `tick` after each layer.

    Layers are the outer loop within a batch, so that the float outputs of a batch are computed once.
    """
    found = {unit.name: Observed() for unit in simulation.units}
    for batch in batches:
        simulation.set({})
        exact = simulation.observe(batch, tuple(found))
        for name, entry in found.items():
            _describe(entry, exact[name], len(batch[0]), len(batches.rows))
            for label, precision in ALONE.items():
                simulation.set({name: precision})
                entry.power[label].add(exact[name], simulation.observe(batch, (name,))[name])
            tick()
    return found


def _describe(entry: Observed, output: Array, samples: int, total: int) -> None:
    flat = output.reshape(-1, output.shape[-1])
    low, high = flat.min(axis=0), flat.max(axis=0)
    entry.low = low if entry.low is None else np.minimum(entry.low, low)
    entry.high = high if entry.high is None else np.maximum(entry.high, high)
    share = max(1, round(_VALUES * samples / total))
    values = output.reshape(-1)
    if values.size > share:  # at random: a fixed step could meet the same channel again and again
        values = values[np.random.default_rng(values.size).integers(0, values.size, share)]
    entry.values.append(values)


def all_in(
    simulation: Simulation, precision: Precision, others: Mapping[str, Precision] | None = None
) -> dict[str, Precision]:
    """Every layer in one precision, but `others`, by name, in theirs."""
    return {unit.name: precision for unit in simulation.units} | dict(others or {})
