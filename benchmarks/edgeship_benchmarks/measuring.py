"""Measures artifacts in agents, interleaved: what all targets share whose agents speak the protocol of `agent`.

A target brings a way to open a session with an artifact loaded; here, in a process on a board, wherever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeship.errors import ConnectionLost, EdgeshipError
from edgeship.types import CHANGING_FACTS, Artifact, DeviceInfo, Measurement, NotMeasured, Plan, ProgressCallback
from edgeship_benchmarks import stats
from edgeship_benchmarks.plan import Session, Timing, execute
from edgeship_benchmarks.sizes import sizes
from edgeship_benchmarks.ways import Way, ways

if TYPE_CHECKING:
    from edgeship.types import Tensors

#: How much longer a profile takes than the timings of a file: it has many parts.
PROFILED = 10.0

Opener = Callable[[Artifact, Way], Session]


@dataclass(frozen=True)
class Job:
    """An artifact in one runtime, run in one way.

    Attributes:
        runtime: as the row of one that cannot be opened names it; empty where the opener chooses it.
        opener: a new session with the artifact loaded; it is closed after measuring.
    """

    artifact: Artifact
    runtime: str
    opener: Opener
    way: Way


def measure(
    target: str,
    artifacts: Sequence[Artifact],
    opener: Opener,
    inputs: Tensors,
    plan: Plan,
    progress: ProgressCallback | None = None,
) -> list[Measurement | NotMeasured]:
    """A row for each artifact and way, in their order; one that cannot be opened or run costs only its own.

    Args:
        target: its address.
        artifacts: what to measure.
        opener: a new session with the artifact loaded in a way; it is closed here.
        inputs: some samples of each input.
        plan: how (see `edgeship_benchmarks.plan.execute`).
        progress: told meanwhile.

    Raises:
        InputError: for a plan that measures nothing.
    """
    jobs = [Job(artifact, "", opener, way) for artifact in artifacts for way in ways(plan, artifact.format)]
    return measure_jobs(target, jobs, inputs, plan, progress)


def measure_jobs(
    target: str, jobs: Sequence[Job], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
) -> list[Measurement | NotMeasured]:
    """As `measure`, for artifacts of which some are measured in several runtimes: a row for each job.

    Jobs of which nothing could be had for one and the same reason share a row.
    """
    rows: list[Measurement | NotMeasured | None] = [None] * len(jobs)
    with contextlib.ExitStack() as stack:
        opened: list[tuple[int, Session, Mapping[str, str]]] = []
        for number, job in enumerate(jobs):
            try:
                session = job.opener(job.artifact, job.way)
                stack.callback(session.close)
                opened.append((number, session, _described(session)))
            except EdgeshipError as error:
                rows[number] = not_measured(job.artifact, target, error, job.runtime)
        timings = execute([session for _, session, _ in opened], inputs, plan, progress)
        for (number, session, before), timing in zip(opened, timings, strict=True):
            try:
                if isinstance(timing, EdgeshipError):
                    raise timing
                facts = both(before, _described(session))
                job = jobs[number]
                row = measurement(job.artifact, job.way, target, session, timing, facts)
                rows[number] = profiled(row, session, job.artifact, inputs, plan, progress)
            except EdgeshipError as error:
                rows[number] = not_measured(jobs[number].artifact, target, error, session.label)
    return [row for number, row in enumerate(rows) if row is not None and row not in rows[:number]]


def profiled(
    row: Measurement,
    session: Session,
    artifact: Artifact,
    inputs: Tensors,
    plan: Plan,
    progress: ProgressCallback | None = None,
) -> Measurement:
    """With where the time goes, if the plan asks for it; a note where that cannot be had."""
    from edgeship_benchmarks.profiling.operators import Traced, profile

    if not plan.profile:
        return row
    if not isinstance(session, Traced):
        return replace(row, notes=(*row.notes, f"no profile: {session.label} says nothing about operators"))
    try:
        return replace(row, profile=profile(session, artifact, inputs, PROFILED * plan.min_seconds, progress))
    except EdgeshipError as error:
        return replace(row, notes=(*row.notes, f"no profile: {error.message}"))


def _described(session: Session) -> dict[str, str]:
    """Facts at this moment; a connection that breaks only now costs nothing."""
    try:
        return session.describe()
    except ConnectionLost:
        session.restart()
        return session.describe()


def not_measured(artifact: Artifact, target: str, error: EdgeshipError, runtime: str = "") -> NotMeasured:
    """The row of an artifact of which nothing could be had."""
    return NotMeasured(artifact.id, target, runtime, error.message, error.remedy, type(error).__name__)


def measurement(
    artifact: Artifact, way: Way, target: str, session: Session, timing: Timing, facts: Mapping[str, str]
) -> Measurement:
    """The row of an artifact that was measured; `facts` are of the device, before and after (`both`)."""
    loaded, size = session.loaded, sizes(artifact)
    found = stats.notes(timing.latency_ms, timing.round_lengths, facts, warm=timing.warm_up.stable)
    batch = loaded.batch or 1
    if batch > 1:
        found = (*found, f"the file fixes a batch of {batch}: a sample's time is that of an inference / {batch}")
    if timing.processing is None:
        found = (*found, f"no times before and after an inference: {session.runtime} does not measure them here")
    if timing.again:
        numbers = ", ".join(map(str, timing.again))
        found = (*found, f"the connection was lost; round {numbers} was measured again, whole, by all in it")
    return Measurement(
        artifact=artifact.id,
        artifact_sha256=artifact.sha256,
        target=target,
        runtime=session.label,
        latency_ms=timing.latency_ms,
        round_lengths=timing.round_lengths,
        warmup_runs=timing.warmup_runs,
        import_ms=timing.import_ms,
        load_ms=timing.load_ms,
        first_inference_ms=timing.warm_up.first_inference_ms,
        peak_memory_mib=timing.peak_memory_mib,
        size_bytes=size.raw_bytes,
        gzip_bytes=size.gzip_bytes,
        brotli_bytes=size.brotli_bytes,
        zstd_bytes=size.zstd_bytes,
        threads=way.threads,
        device=DeviceInfo(target, "measured", {**facts, **loaded.versions}),
        notes=(*way.notes, *loaded.warnings, *found, *timing.notes),
        preprocessing_ms=timing.processing.preprocessing_ms if timing.processing else None,
        postprocessing_ms=timing.processing.postprocessing_ms if timing.processing else None,
        batch=timing.batch,
        streaming=timing.streaming,
        energy=timing.energy,
        repeats=timing.repeats,
    )


def both(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Facts before measuring; those that change also as they were afterwards, as `<fact>_after`."""
    return {**before, **{f"{key}_after": after[key] for key in CHANGING_FACTS if key in after}}
