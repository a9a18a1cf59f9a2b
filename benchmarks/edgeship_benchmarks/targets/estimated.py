"""Boards that are not there: how long a file takes on them at least, from what their makers say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from edgeship.errors import EdgeshipError, InputError, TargetUnavailable
from edgeship.types import Artifact, DeviceInfo, Estimate, NotMeasured, Plan, Progress, ProgressCallback

if TYPE_CHECKING:
    from edgeship.child import Worker
    from edgeship.types import Tensors
    from edgeship_benchmarks.estimation.work import Work

#: Whatever runs the file: a bound holds for all.
_RUNTIME = "any"


class EstimatedTarget:
    """A lower bound of the latency on a processor; nothing runs, and no inputs are looked at."""

    examples = ("estimated:cortex-a72", "estimated:cortex-a76", "estimated:cortex-m4@120")

    def __init__(self, rest: str = "") -> None:
        from edgeship_benchmarks.estimation import boards

        if not rest:
            raise InputError("which processor is it about?", remedy=f"Known: {', '.join(boards.BOARDS)}.")
        self._board = boards.board(rest)
        self.name = f"estimated:{rest}"

    def probe(self) -> DeviceInfo:
        """The figures that bounds rest on, and their sources."""
        board = self._board
        peaks = ", ".join(f"{rate:g} of {kind}" for kind, rate in board.macs_per_cycle.items())
        memory = board.memory_mb_per_second
        facts = {
            "system": "none: nothing runs",
            "machine": board.name,
            "board": board.title,
            "cores": str(board.cores),
            "frequency_mhz": f"{board.mhz:g}",
            "multiply_accumulates_per_cycle": peaks,
            "caches_bytes": f"{board.cache_bytes}" if board.cache_bytes else "",
            "memory_mb_per_second": "" if memory is None else f"{memory:g}",
            "sources": "; ".join(board.sources),
        }
        return DeviceInfo(self.name, "estimated", {key: value for key, value in facts.items() if value})

    def check(self, artifact: Artifact, inputs: Tensors) -> NoReturn:
        """Nothing runs: raises TargetUnavailable."""
        del inputs
        raise TargetUnavailable(
            f"{artifact.id}: {self.name} runs no file", remedy="Use --target local, or emulated:... where there is one."
        )

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Estimate | NotMeasured]:
        """A lower bound for each artifact and number of threads in `plan`, which are cores."""
        from edgeship.child import Limits, Worker
        from edgeship.inspection.opening import MEMORY_MIB
        from edgeship_benchmarks.measuring import not_measured

        del inputs
        told = progress or (lambda _: None)
        rows = list[Estimate | NotMeasured]()
        with Worker(Limits(memory_mib=MEMORY_MIB)) as worker:
            for done, artifact in enumerate(artifacts):
                told(Progress("count", done, len(artifacts), artifact.id))
                try:
                    rows += self._rows(worker, artifact, plan.threads)
                except EdgeshipError as error:
                    rows.append(not_measured(artifact, self.name, error, _RUNTIME))
        told(Progress("count", len(artifacts), len(artifacts)))
        return rows

    def _rows(self, worker: Worker, artifact: Artifact, threads: Sequence[int]) -> list[Estimate]:
        from edgeship_benchmarks.estimation import work

        board = self._board
        if board.formats and artifact.format not in board.formats:
            raise TargetUnavailable(
                f"{artifact.id}: {board.title} runs {' and '.join(board.formats)} files, not {artifact.format}",
                remedy="Convert the model to tflite as well.",
            )
        found = worker.call(work.read, path=artifact.entry)
        notes: tuple[str, ...] = ()
        if found.uncounted:
            notes = (f"not counted, so that the bound is lower than it could be: {', '.join(found.uncounted)}",)
        return [self._row(artifact, found, count, notes) for count in threads]

    def _row(self, artifact: Artifact, found: Work, threads: int, notes: tuple[str, ...]) -> Estimate:
        from edgeship_benchmarks.estimation.bound import bound

        said = bound(found, self._board, threads)
        return Estimate(
            artifact=artifact.id,
            artifact_sha256=artifact.sha256,
            target=self.name,
            runtime=_RUNTIME,
            device=self.probe(),
            basis=said.basis,
            at_least_ms=said.at_least_ms,
            notes=notes,
        )
