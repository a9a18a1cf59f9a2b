"""All rows of one call on a device: each file with each delegate, and what there is to say about the device."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship.errors import ConnectionLost, TargetUnavailable
from edgeship.types import Artifact, Measurement, NotMeasured, Parity, Plan
from edgeship_benchmarks.agreement import Expected
from edgeship_benchmarks.android import state, tool
from edgeship_benchmarks.android.samples import Edges
from edgeship_benchmarks.android.session import Phone, ToolSession
from edgeship_benchmarks.measuring import Job
from edgeship_benchmarks.ways import Way, ways

if TYPE_CHECKING:
    from edgeship.types import Tensors

#: Samples whose outputs are compared, each in a start of the tool; `Expected` adds two to them.
_COMPARED = 2
_WHERE = "on the device"
#: Below Android 10 a program cannot choose what NNAPI uses.
_OLD_NNAPI = 29
#: A microsecond is more than 2 % of what is shorter than that.
_COARSE_MS = 0.05
#: What is interleaved and of one processor is compared: groups of rows.
_CPU = tool.cpu().runtime
_ACCELERATORS = tuple(delegate.runtime for delegate in tool.accelerators())
#: As `edgeship_benchmarks.stats.notes` begins what it says about few samples.
_P99 = "no p99"


@dataclass(frozen=True)
class _Opened:
    """A session that was measured, and how its outputs compare."""

    session: ToolSession
    parity: Parity | None
    notes: tuple[str, ...]


class Course:
    """What is measured on a device in one call.

    Args:
        phone: the device.
        inputs: some samples of each input.
        plan: how to measure.
    """

    def __init__(self, phone: Phone, inputs: Tensors, plan: Plan) -> None:
        self._phone, self._inputs, self._plan = phone, inputs, plan
        self._edges: dict[str, Edges] = {}
        self._expected: dict[str, Expected] = {}
        self._opened: dict[tuple[str, str, int], _Opened] = {}

    def jobs(self, artifacts: Sequence[Artifact]) -> list[Job]:
        """Each .tflite file on the CPU in each way and with each delegate; another format once, for its row."""
        return [job for artifact in artifacts for job in self._jobs(artifact)]

    def _jobs(self, artifact: Artifact) -> list[Job]:
        found = ways(self._plan, "tflite")
        if artifact.format != "tflite":
            return [Job(artifact, "", partial(self._open, tool.cpu()), found[0])]
        # On how many threads the CPU runs what a delegate leaves to it makes no row of its own.
        jobs = [(tool.cpu(xnnpack=way.xnnpack), way) for way in found]
        jobs += [(delegate, Way(found[0].threads)) for delegate in tool.accelerators()]
        return [Job(artifact, delegate.runtime, partial(self._open, delegate), way) for delegate, way in jobs]

    def told(self, row: Measurement | NotMeasured) -> Measurement | NotMeasured:
        """The row with what the tool and the device said."""
        if isinstance(row, NotMeasured):
            return row
        one = self._opened[row.artifact, row.runtime, row.threads]
        session = one.session
        facts = {**row.device.facts, "benchmark_model": tool_word(self._phone.binary)}
        facts["inferences_per_time"] = str(session.inferences_per_time)
        if session.accelerators and row.runtime == "litert-nnapi":
            facts["nnapi_accelerators"] = session.accelerators
        said = (session.delegated, _times_note(session), *self._nnapi_notes(row))
        return replace(
            row,
            warmup_runs=session.warm_up_runs,
            parity=one.parity,
            group=row.runtime if row.runtime in _ACCELERATORS else _CPU,
            device=replace(row.device, facts=facts),
            # What more runs would give is not to be had here.
            notes=(*filter(None, said), *one.notes, *state.notes_of(facts), *(n for n in row.notes if _P99 not in n)),
        )

    def _nnapi_notes(self, row: Measurement) -> tuple[str, ...]:
        level = row.device.facts.get("system", "").partition("API ")[2].rstrip(")")
        if row.runtime != "litert-nnapi" or not level.isdigit() or int(level) >= _OLD_NNAPI:
            return ()
        return ("below Android 10 NNAPI may run operators on the CPU without saying so",)

    def _open(self, delegate: tool.Delegate, artifact: Artifact, way: Way) -> ToolSession:
        need_tflite(artifact)
        try:
            return self._open_once(delegate, artifact, way)
        except ConnectionLost:
            return self._open_once(delegate, artifact, way)

    def _open_once(self, delegate: tool.Delegate, artifact: Artifact, way: Way) -> ToolSession:
        if artifact.id not in self._edges:
            self._edges[artifact.id] = Edges(artifact)
        session = ToolSession(self._phone, artifact, delegate, way.threads, self._edges[artifact.id])
        try:
            session.open(self._inputs)
            parity, notes = self._compared(artifact, session)
        except BaseException:
            session.close()
            raise
        self._opened[artifact.id, session.label, way.threads] = _Opened(session, parity, notes)
        return session

    def _compared(self, artifact: Artifact, session: ToolSession) -> tuple[Parity | None, tuple[str, ...]]:
        if not session.writes_outputs:
            return None, ("outputs were not compared: this benchmark_model is too old to write them",)
        if artifact.id not in self._expected:
            some = {name: value[:_COMPARED] for name, value in self._inputs.items()}
            self._expected[artifact.id] = Expected(artifact, some, _WHERE)
        return self._expected[artifact.id].compare(session)


def need_tflite(artifact: Artifact) -> None:
    """Raises TargetUnavailable for a file that benchmark_model does not read."""
    if artifact.format != "tflite":
        raise TargetUnavailable(
            f"{artifact.id}: benchmark_model runs .tflite files, not {artifact.format}",
            remedy="Measure TF.js and ONNX files in the phone's browser: --target browser:any.",
        )


def tool_word(binary: Path) -> str:
    """Which benchmark_model: its name, and the beginning of its SHA-256."""
    with binary.open("rb") as content:
        return f"{binary.name} {hashlib.file_digest(content, 'sha256').hexdigest()[:16]}"


def _times_note(session: ToolSession) -> str:
    kind = "median" if session.medians else "mean"
    coarse = ""
    if session.least_ms < _COARSE_MS:
        coarse = f"; it counts whole microseconds, {0.1 / session.least_ms:.0f} % of this time"
    return (
        f"benchmark_model gives no single times, hence {_P99}: each time is the {kind} of about "
        f"{session.inferences_per_time} inferences in a start of its own; intervals and p90 are between starts{coarse}"
    )
