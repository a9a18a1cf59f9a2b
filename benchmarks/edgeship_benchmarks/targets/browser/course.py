"""Measuring in pages: runtime by runtime, the artifacts of one interleaved, whatever becomes of any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import EdgeshipError, TargetUnavailable
from edgeship.types import Artifact, Measurement, NotMeasured, Plan, Progress, ProgressCallback
from edgeship_benchmarks import stats
from edgeship_benchmarks.agreement import Expected
from edgeship_benchmarks.measuring import not_measured
from edgeship_benchmarks.targets.browser.backend import Backend
from edgeship_benchmarks.targets.browser.pages import Pages
from edgeship_benchmarks.targets.browser.runtimes import RUNTIMES, counts
from edgeship_benchmarks.targets.browser.starts import Starter

if TYPE_CHECKING:
    from edgeship.types import Tensors

Row = Measurement | NotMeasured

#: Outputs are posted in one piece: so many bytes of inputs at once, at most, keep them far below the server's limit.
_BATCH_BYTES = 8 << 20
_NO_RUNTIME = "no runtime in browsers opens {0}"
_ALONE = "the page died with all files loaded side by side: measured alone, and not comparable with the others"
_ALLOWED = f"Browsers open: {', '.join(RUNTIMES)}."


def check(kind: str, artifact: Artifact, inputs: Tensors) -> Tensors:
    """Outputs of the artifact in the first runtime for its format. Raises what loading and running raise."""
    names = RUNTIMES.get(artifact.format)
    if names is None:
        raise TargetUnavailable(_NO_RUNTIME.format(artifact.format), remedy=_ALLOWED)
    samples = len(next(iter(inputs.values())))
    step = max(1, _BATCH_BYTES * samples // max(1, sum(np.asarray(value).nbytes for value in inputs.values())))
    with Pages(kind) as pages:
        pages.fresh()
        starter = Starter(pages.server, artifact, names[0], 1, inputs)
        with starter.open() as session:
            parts = [
                session.run({name: value[start : start + step] for name, value in inputs.items()})
                for start in range(0, samples, step)
            ]
        pages.finish("Done", "You can close this page.")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class Course:
    """All rows of one call.

    Args:
        target: its address.
        kind: of browser; see `Pages`.
        inputs: some samples of each input.
        plan: how to measure.
        progress: told meanwhile.
    """

    def __init__(
        self, target: str, kind: str, inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> None:
        self._target, self._kind = target, kind
        self._inputs, self._plan = inputs, plan
        self._told = progress or (lambda _: None)
        self._expected: dict[str, Expected] = {}
        self._rows: dict[str, list[Row]] = {}

    def rows(self, artifacts: Sequence[Artifact]) -> list[Row]:
        """Rows in the order of the artifacts. Raises TargetUnavailable where not even one page comes."""
        self._rows = {artifact.id: [] for artifact in artifacts}
        work = [
            ((runtime, count), [a for a in artifacts if a.format == form])
            for form, names in RUNTIMES.items()
            for runtime in names
            for count in counts(runtime, self._plan.threads)
            if any(a.format == form for a in artifacts)
        ]
        for artifact in artifacts:
            if artifact.format not in RUNTIMES:
                self._add(not_measured(artifact, self._target, _unknown(artifact)))
        if not work:
            return [row for found in self._rows.values() for row in found]
        for artifact in artifacts:
            self._told(Progress("expected outputs", len(self._expected), len(artifacts), artifact.id))
            self._expected[artifact.id] = Expected(artifact, self._inputs)
        with Pages(self._kind, self._told) as pages:
            for done, (runtime, mine) in enumerate(work):
                self._told(Progress(self._target, done, len(work), runtime[0]))
                self._measure(pages, runtime, mine, (done, len(work)))
            self._told(Progress(self._target, len(work), len(work)))
            pages.finish("Done", "The results are where the measurement was asked for. You can close this page.")
        return [row for found in self._rows.values() for row in found]

    def _measure(
        self, pages: Pages, runtime: tuple[str, int], artifacts: Sequence[Artifact], place: tuple[int, int]
    ) -> None:
        """Rows of one runtime on so many threads.

        An artifact that takes the page with it is left out; the others go on in a new one.
        """
        left = list(artifacts)
        alone = False
        while left:
            try:
                facts = pages.fresh()
            except TargetUnavailable as error:
                if not any(self._rows.values()):
                    raise
                for artifact in left:
                    self._add(not_measured(artifact, self._target, error, runtime[0]))
                return
            self._show(pages, runtime[0], *place)
            backend = Backend(pages, self._target, runtime, facts, self._inputs, self._plan)
            together = left[:1] if alone else left
            found = backend.rows(together, self._expected, self._told)
            for row in found:
                self._add(_said_alone(row) if alone else row, pages)
            done = {row.artifact for row in found}
            alone = alone or not found
            left = [artifact for artifact in left if artifact.id not in done]

    def _show(self, pages: Pages, runtime: str, done: int, total: int) -> None:
        rows = [_shown(row) for found in self._rows.values() for row in found]
        pages.show(now=f"{runtime}, {done + 1} of {total} runtimes", share=done / total, rows=rows)

    def _add(self, row: Row, pages: Pages | None = None) -> None:
        self._rows[row.artifact].append(row)
        if pages is not None:
            pages.show(rows=[_shown(row)])


def _said_alone(row: Row) -> Row:
    """A row that was interleaved with nothing; it must not be compared as if it had been."""
    if isinstance(row, NotMeasured):
        return row
    return replace(row, group=f"{row.group}, {row.artifact} alone", notes=(*row.notes, _ALONE))


def _unknown(artifact: Artifact) -> EdgeshipError:
    return TargetUnavailable(_NO_RUNTIME.format(artifact.format), remedy=_ALLOWED)


def _shown(row: Row) -> Mapping[str, object]:
    """A row as the page shows it."""
    if isinstance(row, NotMeasured):
        return {"file": row.artifact, "runtime": row.runtime, "ms": None, "reason": row.reason}
    software = row.device.facts.get("software_gpu") == "yes"
    return {
        "file": row.artifact,
        "runtime": row.runtime,
        "ms": stats.summary(row).median_ms,
        "mark": "software GPU" if software else "",
    }
