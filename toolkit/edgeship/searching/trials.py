"""What a trial is told and what it gives: values that cross processes and machines as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from edgeship.child import Limits as ChildLimits
from edgeship.data import DataOptions
from edgeship.pipeline import Request
from edgeship.recipe import Recipe
from edgeship.searching.turns import turn
from edgeship.types import Plan, Stage, StageFile, on_the_wire

#: How a trial's files are timed: beside the yardstick, for so long.
PLAN = Plan(min_runs=100, min_seconds=0.5, rounds=10)


@dataclass(frozen=True)
class Task:
    """What all trials of a search share.

    Attributes:
        model: path of the trained model; workers on other machines find it, and the data, by the same paths.
        format: of the file that is searched for.
        targets: where each file is measured.
        slices, max_slice_drop, min_slice: as in `Request`.
        queue: address of a PostgreSQL database in which machines wait for their turn on a target, with its password if
            it has one: a worker elsewhere needs it. Empty: only processes of this machine wait.
        queue_seconds: how long a database that does not answer is waited for.
    """

    model: Path
    data: str
    format: str = "tflite"
    metric: str | None = None
    targets: tuple[str, ...] = ()
    data_options: DataOptions = field(default_factory=DataOptions)
    plan: Plan = PLAN
    limits: ChildLimits = field(default_factory=ChildLimits)
    custom_objects: tuple[str, ...] = ()
    allow_unsafe: bool = False
    signature: str | None = None
    slices: str | None = None
    max_slice_drop: float | None = None
    min_slice: int = 30
    queue: str = ""
    queue_seconds: float = 60.0

    def request(self, recipe: Recipe, out: Path) -> Request:
        """The build that this recipe is."""
        return Request(
            model=self.model,
            out=out,
            recipe=recipe,
            data=self.data,
            metric=self.metric,
            formats=(self.format,),
            targets=self.targets,
            data_options=replace(self.data_options, calibration_samples=recipe.calibration_samples),
            limits=self.limits,
            custom_objects=self.custom_objects,
            allow_unsafe=self.allow_unsafe,
            signature=self.signature,
            slices=self.slices,
            max_slice_drop=self.max_slice_drop,
            min_slice=self.min_slice,
            turn=self.turn,
        )

    def turn(self, target: str) -> AbstractContextManager[None]:
        """A turn on the machine of a target, to be waited for and held."""
        return turn(target, self.queue, self.queue_seconds)


@dataclass(frozen=True)
class Job:
    """One trial to do.

    Attributes:
        recipe: `Recipe.to_data()`.
        far_beyond: a model whose metric dropped by more after a stage is given up.
        until: seconds since 1970 after which no stage begins; None: never.
    """

    number: int
    recipe: Mapping[str, Any]
    far_beyond: float
    until: float | None = None


@dataclass(frozen=True)
class Timing:
    """Latency and memory of a trial's file on one target.

    Attributes:
        ratio: time of the file as a share of the yardstick's, the float32 file of the original, both taking turns.
        interval: of `ratio`, 95 %; None with too few rounds.
        yardstick_ms: what the yardstick took here and now.
        mib: resident peak of the measuring process; None where the target cannot tell.
        ms: `ratio` times what the yardstick took when the search began: what other trials do meanwhile is not in it.
    """

    target: str
    runtime: str
    ratio: float
    interval: tuple[float, float] | None
    yardstick_ms: float
    mib: float | None
    ms: float | None = None

    @property
    def high_ms(self) -> float | None:
        """The upper end of the interval of `ms`; `ms` itself with too few rounds for one."""
        return self.ms if self.ms is None or self.interval is None else self.ms * self.interval[1] / self.ratio


@dataclass(frozen=True)
class WorstSlice:
    """The slice that lost most, of those with enough samples.

    Attributes:
        high: the largest upper end of a 95 % interval over all slices, whichever has it; None: not known.
    """

    slice: str
    n: int
    drop: float
    interval: tuple[float, float]
    high: float | None = None


Outcome = Literal["finished", "stopped", "failed", "cut"]


@dataclass(frozen=True)
class Trial:
    """What became of a trial.

    Attributes:
        outcome: `finished`: it has a file, which was measured; `stopped`: given up after a stage, far beyond the limit;
            `failed`: an error, which cost this trial only; `cut`: the time was up, a later run goes on with it.
        number: in the study; -1 before it has one.
        recipe: what was built: `Recipe.to_data()`.
        reason: in words; empty for `finished`.
        error, remedy: class of the error in `edgeship.errors`, and what to try.
        seconds: wall time, what came from the cache not counted twice.
        stages: what each stage did to the model, on the validation samples.
        reused: how many stages came from the cache, where another trial or build had run them.
        file: the exported file on the validation samples.
        metric, direction, unit: as those of `Metric`.
        machine: where it ran.
        tries: how often it was begun: a worker that was killed is replaced.
        lost: of `stopped`: the drop after the last stage, of the model in its framework.
    """

    outcome: Outcome
    recipe: Mapping[str, Any]
    number: int = -1
    reason: str = ""
    error: str = ""
    remedy: str = ""
    seconds: float = 0.0
    stages: tuple[Stage, ...] = ()
    reused: int = 0
    file: StageFile | None = None
    timings: tuple[Timing, ...] = ()
    worst_slice: WorstSlice | None = None
    metric: str = ""
    direction: str = "maximize"
    unit: str = "points"
    baseline: float | None = None
    machine: str = ""
    created: str = ""
    tries: int = 1
    lost: float = 0.0

    @property
    def name(self) -> str:
        """`7: few-bits`."""
        return f"{self.number}: {self.recipe['name']}"

    @property
    def wire_bytes(self) -> int:
        """Bytes as delivered."""
        assert self.file is not None
        return on_the_wire(self.file.size_bytes, self.file.brotli_bytes, self.file.zstd_bytes)

    def ms(self, target: str) -> float | None:
        """Latency on a target; None where it was not measured."""
        return next((t.ms for t in self.timings if t.target == target), None)

    def mib(self, target: str) -> float | None:
        """Memory on a target; None where it was not measured."""
        return next((t.mib for t in self.timings if t.target == target), None)
