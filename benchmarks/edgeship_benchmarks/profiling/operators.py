"""An operator profile of the file that a session has loaded."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from edgeship.child import Limits, Worker
from edgeship.errors import EdgeshipError, TargetUnavailable
from edgeship.inspection.kinds import kind_of
from edgeship.inspection.opening import MEMORY_MIB
from edgeship.types import Artifact, OperatorProfile, OperatorTime, ProgressCallback
from edgeship_benchmarks.intervals import trimmed_mean_interval
from edgeship_benchmarks.profiling import cutting
from edgeship_benchmarks.profiling.cutting import Part
from edgeship_benchmarks.session import AgentSession

if TYPE_CHECKING:
    from edgeship.types import Array, Tensors
    from edgeship_benchmarks.answers import Loaded, Trace

#: Level of the intervals of operators.
LEVEL = 0.95
#: What ONNX Runtime adds to the name of a node that it has changed.
_ENDINGS = ("_nchwc", "/MatMulAddFusion", "_quant")
#: Times of an inference that is profiled, over those of one that is not, from which on it is said.
SLOWED = 1.05
_QUANTILE, _RESAMPLES = 0.25, 1000
#: What lies between the last cut and the caller: inputs are set, outputs are copied.
ENDS = "inputs and outputs"
_COARSE = "the runtime cuts its times to whole microseconds: what takes less is hardly seen"


@runtime_checkable
class Traced(Protocol):
    """A session whose `loaded.operations` say how its operators can be timed."""

    runtime: str

    @property
    def label(self) -> str:
        """The runtime, as rows name it."""

    @property
    def loaded(self) -> Loaded:
        """What is known about the open file."""

    def trace(self, inputs: Tensors, seconds: float, progress: ProgressCallback | None = None) -> Trace:
        """What the runtime says about operators."""


def profile(
    session: Traced, artifact: Artifact, inputs: Tensors, seconds: float, progress: ProgressCallback | None = None
) -> OperatorProfile:
    """Where the time of an inference goes, from a run of about `seconds` that times nothing else.

    Raises TargetUnavailable where the session's runtime has no profile and its file cannot be cut, or what goes wrong.
    """
    can = session.loaded.operations
    if "trace" in can:
        return _traced(session, artifact, session.trace(inputs, seconds, progress))
    if "prefixes" in can and isinstance(session, AgentSession):
        return _split(session, artifact, inputs, seconds, progress)
    raise TargetUnavailable(
        f"{session.label} says nothing about operators here", remedy="Profile a .tflite or .onnx file."
    )


def _split(
    session: AgentSession, artifact: Artifact, inputs: Tensors, seconds: float, progress: ProgressCallback | None
) -> OperatorProfile:
    """Differences of the times of files cut after each operator."""
    with tempfile.TemporaryDirectory(prefix="edgeship-") as folder, Worker(Limits(memory_mib=MEMORY_MIB)) as worker:
        parts = worker.call(cutting.cut, path=artifact.entry, folder=Path(folder))
        worker.close()  # its memory is not needed while times are taken
        files = [Path(folder) / f"{number}.tflite" for number in range(len(parts) + 1)]
        times, whole = session.prefixes(inputs, files, seconds, progress)
    return of_prefixes(parts, times, whole, session.loaded.batch or 1)


def of_prefixes(
    parts: Sequence[Part], times: Sequence[Sequence[float]], whole: Sequence[float], batch: int = 1
) -> OperatorProfile:
    """The profile from times of prefixes (parts + 1, rounds) and of the whole file with its inputs and outputs.

    A part's time is the difference of the lower quartiles, over the rounds, of the two prefixes that it is between:
    other work only ever makes times longer. The interval is that of the bootstrap, which draws whole rounds (Efron and
    Tibshirani 1993, chapter 13).
    """
    rows = np.asarray([*times, whole], np.float64)  # (parts + 2, rounds)
    drawn = np.random.default_rng(0).integers(0, rows.shape[1], (_RESAMPLES, rows.shape[1]))
    found, resampled = _differences(rows), _differences(rows[:, drawn])
    low, high = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=-1)
    named = [(part.name, part.type, _each(part.macs, batch), part.operators) for part in parts] + [(ENDS, "", None, 0)]
    operators = [
        OperatorTime(name, kind, float(found[k]), (float(low[k]), float(high[k])), macs, count)
        for k, (name, kind, macs, count) in enumerate(named)
    ]
    return OperatorProfile("split", tuple(operators), statistics.median(whole), len(whole))


def _differences(rows: Array) -> Array:
    """(parts + 2, ..., rounds) -> (parts + 1, ...): of each part; the last is the whole without all of them."""
    fastest = np.quantile(rows, _QUANTILE, axis=-1)
    return np.concatenate([np.diff(fastest[:-1], axis=0), (fastest[-1] - fastest[-2] + fastest[0])[None]])


def _each(macs: int | None, batch: int) -> float | None:
    return None if macs is None else macs / batch


def _traced(session: Traced, artifact: Artifact, found: Trace) -> OperatorProfile:
    """As the runtime says itself."""
    works, batch = _works(artifact), session.loaded.batch or 1
    operators = [
        _operator(name, kind, np.asarray(ms), _each(_of(works, name, kind), batch) if macs is None else macs, 1)
        for name, kind, ms, macs in found.operators
    ]
    traced, whole = statistics.median(found.traced_ms), statistics.median(found.whole_ms)
    notes = [_COARSE] if session.runtime == "onnxruntime" else []
    if traced > SLOWED * whole:
        notes.append(
            f"while the runtime profiles itself, an inference takes {traced:.4g} ms instead of {whole:.4g} ms: short "
            "operators look longer than they are"
        )
    return OperatorProfile("runtime", tuple(operators), whole, len(found.whole_ms), tuple(notes))


def _works(artifact: Artifact) -> Mapping[str, Mapping[str, int]]:
    """See `cutting.works`; empty where the file cannot be looked into."""
    try:
        with Worker(Limits(memory_mib=MEMORY_MIB)) as worker:
            return worker.call(cutting.works, path=artifact.entry)
    except EdgeshipError:
        return {}


def _of(works: Mapping[str, Mapping[str, int]], name: str, kind: str) -> int | None:
    """Multiply-accumulates of an operator as the runtime names it."""
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return works.get(name, {}).get(kind_of(kind))


def _operator(name: str, kind: str, ms: Array, macs: float | None, operators: int) -> OperatorTime:
    value, low, high = trimmed_mean_interval(ms, LEVEL)
    return OperatorTime(name, kind, value, (low, high) if len(ms) > 1 else None, macs, operators)
