"""The whole analysis of a model, in the worker: see `edgeship.sensitivity.run`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgeship import plugins
from edgeship import source as sources
from edgeship.errors import UnsupportedModelError
from edgeship.sensitivity.findings import Activations, Fix, Layer, Options, Sensitivity, Weights
from edgeship.sensitivity.fix import Search, int8_bytes
from edgeship.sensitivity.measure import (
    ALONE,
    FLOAT32,
    INT8,
    INT16X8,
    Noise,
    Observed,
    Power,
    Task,
    all_in,
    decibels,
    observe,
)
from edgeship.sensitivity.rounding import FLOAT, Kernel, Precision
from edgeship.sensitivity.samples import Batches, batch_size, take
from edgeship.sensitivity.simulate import Simulation
from edgeship.types import Array, Artifact, Dataset, Progress, ProgressCallback, Source
from edgeship.verify import Drop

#: Calibration samples that noise is measured on; 128 give the SQNR of a layer to about 0.1 dB.
_OBSERVED = 128


class _Counter:
    """Tells how far the analysis is."""

    def __init__(self, total: int | None, progress: ProgressCallback) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def tick(self) -> None:
        """One value more. The search for a fix takes as many as it takes."""
        self._done += 1
        self._progress(Progress("sensitivity", self._done, max(self._done, self._total) if self._total else None))


def analyse(
    source: Source, dataset: Dataset, options: Options, file: Artifact | None, progress: ProgressCallback
) -> Sensitivity:
    """What each layer's precision does to a model, and which few to keep above int8 [child].

    Args:
        source: a model that Keras 3 reads, as trained in float.
        dataset: with labels, and the splits validation and calibration.
        options: how much to look at, and the limits.
        file: the int8 file, which the simulation is held against; None: its size is estimated.
        progress: told after each measurement.

    Raises:
        UnsupportedModelError: names the layer that cannot be simulated.
        DataError: a split is missing, or the data has no labels.
        SourceError: the model gives values that are not finite.
    """
    simulation, task, noise, watched = _open(source, dataset, options)
    counter = _Counter(_measurements(simulation, watched), progress)
    task.tick = counter.tick
    observed = observe(simulation, watched, counter.tick)
    layers = _layers(simulation, task, noise, observed, options)
    everywhere = {name: noise.of(all_in(simulation, precision)) for name, precision in ALONE.items()}
    size = int8_bytes(simulation) if file is None else file.size_bytes
    return Sensitivity(
        model=source.path.name,
        metric=task.metric.name,
        unit=task.metric.unit,
        original=task.original,
        int8=task.drop(all_in(simulation, INT8)),
        int16x8=task.drop(all_in(simulation, INT16X8)),
        scores_sqnr_db={name: decibels(value) for name, value in everywhere.items()},
        n=task.n,
        n_calibration=dataset.counts["calibration"],
        sparsity=options.sparsity,
        max_drop=options.max_drop,
        int8_bytes=size,
        int8_file=None if file is None else _of_file(file, task),
        layers=layers,
        fix=Search(simulation, (task, noise), options, size).run(),
    )


def _measurements(simulation: Simulation, watched: Batches) -> int:
    """How many ticks there will be: by layer and batch, by value of the metric; the search takes one or more."""
    drops = 3
    for kernels in simulation.kernels.values():
        drops += 2 + bool(kernels) + any(kernel.unfolded is not None for kernel in kernels)
    return drops + len(simulation.units) * -(-len(watched.rows) // watched.size)


def propose(
    source: Source, dataset: Dataset, options: Options, file: Artifact | None, progress: ProgressCallback
) -> Fix:
    """Only the fix of `analyse`, without looking at every layer [child]; same arguments, same errors."""
    simulation, task, noise, _ = _open(source, dataset, options)
    task.tick = _Counter(None, progress).tick
    size = int8_bytes(simulation) if file is None else file.size_bytes
    return Search(simulation, (task, noise), options, size).run()


def _of_file(file: Artifact, task: Task) -> Drop:
    """Drop of the metric of an exported file, run in its own runtime."""
    found = plugins.runtimes_for(file.format)[0].run(file, task.batches.by_name())
    return task.drop_of(next(iter(found.values())))


def _open(source: Source, dataset: Dataset, options: Options) -> tuple[Simulation, Task, Noise, Batches]:
    """The calibrated simulation, the task on validation samples, and noise on some calibration samples, with these."""
    if source.loader != "keras":
        raise UnsupportedModelError(
            f"{source.path.name} is read with {source.loader}; its layers cannot be told apart",
            remedy="Give a model that Keras 3 reads: save it again as .keras.",
        )
    simulation = Simulation(sources.load(source))
    calibration = take(source, dataset, "calibration", dataset.counts.get("calibration", 0), options.seed)
    first = next(iter(calibration))
    simulation.check(first)
    size = batch_size(simulation.values(first))
    simulation.calibrate(replace(calibration, size=size))
    watched = replace(take(source, dataset, "calibration", _OBSERVED, options.seed), size=size)
    judged = replace(take(source, dataset, "validation", options.samples, options.seed), size=size)
    task = Task(simulation, judged, dataset, options.metric)
    return simulation, task, Noise(simulation, watched), watched


def _layers(
    simulation: Simulation, task: Task, noise: Noise, observed: dict[str, Observed], options: Options
) -> tuple[Layer, ...]:
    """Every layer, the most damaging first."""
    alone = {
        unit.name: {name: noise.of({unit.name: precision}) for name, precision in ALONE.items()}
        for unit in simulation.units
    }
    total = sum(values["int8"] for values in alone.values()) or 1.0
    found = []
    for unit in simulation.units:
        name, kernels = unit.name, simulation.kernels[unit.name]
        prunable = any(kernel.unfolded is not None for kernel in kernels)
        entry = observed[name]
        found.append(
            Layer(
                name=name,
                kind=unit.kind,
                weights=_weights(kernels) if kernels else None,
                activations=_activations(entry),
                output_sqnr_db={label: power.db for label, power in entry.power.items()},
                scores_sqnr_db={label: decibels(value) for label, value in alone[name].items()},
                share=alone[name]["int8"] / total,
                only=task.drop({name: INT8}),
                all_but=task.drop(all_in(simulation, INT8, {name: FLOAT32})),
                int4=task.drop({name: Precision(4, FLOAT)}) if kernels else None,
                pruned=task.drop({name: Precision(sparsity=options.sparsity)}) if prunable else None,
            )
        )
    return tuple(sorted(found, key=lambda layer: -layer.share))


def _weights(kernels: tuple[Kernel, ...]) -> Weights:
    powers = {"int8": (8, Power()), "int4": (4, Power())}
    spread = 1.0
    for kernel in kernels:
        for bits, power in powers.values():
            power.add(kernel.values, kernel.at(Precision(weights=bits)))
        others = tuple(a for a in range(kernel.values.ndim) if a not in kernel.channel_axes)
        spread = max(spread, _spread(np.abs(kernel.values).max(axis=others)))
    count = sum(kernel.values.size for kernel in kernels)
    return Weights(count, {name: power.db for name, (_, power) in powers.items()}, spread)


def _activations(entry: Observed) -> Activations:
    assert entry.low is not None  # there is at least one batch
    assert entry.high is not None
    low, high = float(entry.low.min()), float(entry.high.max())
    p001, p999 = (float(value) for value in np.percentile(np.concatenate(entry.values), [0.1, 99.9]))
    return Activations(
        low=low,
        high=high,
        p001=p001,
        p999=p999,
        outliers=(high - low) / (p999 - p001) if p999 > p001 else 1.0,
        spread=_spread(entry.high - entry.low),
        channels=len(entry.low),
        dead=int((entry.low == entry.high).sum()),
    )


def _spread(ranges: Array) -> float:
    """Largest over median of the ranges of channels, of those that are not zero."""
    alive = ranges[ranges > 0]
    return float(alive.max() / np.median(alive)) if len(alive) else 1.0
