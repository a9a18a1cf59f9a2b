"""Files that are measured inside an app on the device: single inferences of its own runtime, on its own terms.

An app on the screen has the processor cores that users' apps have, and the runtime that it ships. Every question is an
activity of its own in one process, so that files are interleaved as everywhere.
"""

from __future__ import annotations

import base64
import binascii
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship.closing import Closing
from edgeship.errors import TargetUnavailable
from edgeship.types import Artifact, Energy, Measurement, NotMeasured, Parity, Plan
from edgeship_benchmarks.agreement import Expected
from edgeship_benchmarks.android import state, tool
from edgeship_benchmarks.android.app import App
from edgeship_benchmarks.android.course import need_tflite
from edgeship_benchmarks.android.samples import Edges, sizes_of
from edgeship_benchmarks.answers import Loaded, WarmUp
from edgeship_benchmarks.measuring import Job
from edgeship_benchmarks.ways import Way, ways

if TYPE_CHECKING:
    from edgeship.types import Array, Tensors

#: As rows name the runtime.
LABEL = "litert in an app"
#: Of one question, beside what it measures.
_SECONDS = 120.0
_COMPARED = 2


class AppSession(Closing):
    """A .tflite file in the app. Use as a context manager; has what `edgeship_benchmarks.plan.Session` asks for.

    Raises:
        TargetUnavailable: the app cannot run it; a release build runs no files of others.
        DataError: samples that do not fit.
    """

    energy: Energy | None = None

    def __init__(self, app: App, artifact: Artifact, threads: int, edges: Edges) -> None:
        self._app, self._threads, self._edges = app, threads, edges
        self._model = app.send(artifact.entry, ".tflite")
        self._fed: tuple[Tensors, list[str], str] | None = None
        self._first: dict[str, Any] | None = None
        self.label = self.runtime = LABEL

    def open(self, inputs: Tensors) -> Loaded:
        """Run it once; what `loaded` is from then on."""
        self._feed(inputs, 0)
        return self.restart()

    @property
    def loaded(self) -> Loaded:
        """As of the last start."""
        assert self._first is not None, "open comes first"
        versions = {"app_runtime": str(self._first["runtime"]), "app": self._app.package}
        return Loaded(0.0, float(self._first["load_ms"]), (), (), versions, batch=self._edges.batch)

    def restart(self) -> Loaded:
        """Open the file anew, in the same process."""
        self._first = self._asked(0, 0.0, 0.0)
        return self.loaded

    def warm_up(self, inputs: Tensors, max_runs: int) -> WarmUp:  # noqa: ARG002 - each question warms up by itself
        """The first inference of the last start; each measurement warms up for half a second."""
        assert self._first is not None, "open comes first"
        return WarmUp(float(self._first["first_ms"]), 0, stable=True)

    def memory(self) -> float | None:
        """Peak resident memory of the whole app in MiB."""
        found = None if self._first is None else self._first.get("peak_kib")
        return None if found is None else float(found) / 1024

    def measure(self, inputs: Tensors, min_runs: int, min_seconds: float) -> tuple[float, ...]:
        """Milliseconds per sample of single inferences."""
        self._feed(inputs, 0)
        found = self._asked(min_runs, min_seconds, tool.WARM_UP_SECONDS)["latency_ms"]
        return tuple(float(time) / self._edges.batch for time in found)

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Outputs by name for N samples of each input, real values."""
        count = len(next(iter(inputs.values())))
        parts: dict[str, list[Array]] = {}
        for first in range(0, count, self._edges.batch):
            self._feed(inputs, first)
            try:
                content = base64.b64decode(self._asked(0, 0.0, 0.0)["outputs"], validate=True)
            except (binascii.Error, ValueError, TypeError) as error:
                raise TargetUnavailable("the app gave outputs that are none") from error
            for name, array in self._edges.real(content).items():
                parts.setdefault(name, []).append(array[: count - first])
        self._fed = None
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}

    def describe(self) -> dict[str, str]:
        """Facts about the device at this moment."""
        return self._app.facts()

    def _feed(self, inputs: Tensors, first: int) -> None:
        """Bring the inputs of an inference to the device, unless they are those of the last one."""
        if self._fed is not None and self._fed[0] is inputs and first == 0:
            return
        stored = self._edges.stored(inputs, first)
        names = []
        with tempfile.TemporaryDirectory(prefix="edgeship-app-") as folder:
            for number, array in enumerate(stored):
                file = Path(folder) / f"{number}.raw"
                file.write_bytes(array.tobytes())
                names.append(self._app.send(file, ".raw"))
        shapes = ",".join("x".join(map(str, shape)) or "scalar" for shape in sizes_of(stored))
        self._fed = inputs, names, shapes

    def _asked(self, runs: int, seconds: float, warm_up: float) -> dict[str, Any]:
        assert self._fed is not None, "it needs inputs"
        _, names, shapes = self._fed
        words = {"model": self._model, "inputs": ",".join(names), "shapes": shapes, "threads": str(self._threads)}
        words |= {"runs": str(runs), "seconds": str(seconds), "warmup": str(warm_up)}
        found = self._app.ask("benchmark", _SECONDS + 2 * seconds + runs, **words)
        if found["result"] != "MEASURED":
            raise TargetUnavailable(f"the app cannot measure this file: {found.get('message', found['result'])}")
        return _checked(found)

    def close(self) -> None:
        """What was sent is removed with the app's connection."""


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    """The answer, if its numbers are some. Raises TargetUnavailable."""
    times = found.get("latency_ms")
    numbers = [*times, found.get("load_ms"), found.get("first_ms")] if isinstance(times, list) else [None]
    if all(isinstance(n, (int, float)) and math.isfinite(n) and n >= 0 for n in numbers):
        return found
    raise TargetUnavailable("the app answers with numbers that are none", remedy="Build it and edgeship alike.")


class AppCourse:
    """All rows of one call in an app; see `edgeship_benchmarks.android.course.Course`."""

    def __init__(self, app: App, inputs: Tensors, plan: Plan) -> None:
        self._app, self._inputs, self._plan = app, inputs, plan
        self._parity: dict[tuple[str, int], tuple[Parity | None, tuple[str, ...]]] = {}

    def jobs(self, artifacts: Sequence[Artifact]) -> list[Job]:
        """Each file in each way."""
        found = [(artifact, way) for artifact in artifacts for way in ways(self._plan, "tflite")]
        return [Job(artifact, LABEL, partial(self._open), way) for artifact, way in found]

    def _open(self, artifact: Artifact, way: Way) -> AppSession:
        need_tflite(artifact)
        if not way.xnnpack:
            raise TargetUnavailable("the app runs files with XNNPACK", remedy="Leave --xnnpack off out.")
        session = AppSession(self._app, artifact, way.threads, Edges(artifact))
        session.open(self._inputs)
        some = {name: value[:_COMPARED] for name, value in self._inputs.items()}
        self._parity[artifact.id, way.threads] = Expected(artifact, some, "in the app").compare(session)
        return session

    def told(self, row: Measurement | NotMeasured) -> Measurement | NotMeasured:
        """The row with what the device said."""
        if isinstance(row, NotMeasured):
            return row
        parity, notes = self._parity[row.artifact, row.threads]
        said = f"measured inside {self._app.package}, on the screen, in one process for all starts"
        return replace(
            row, parity=parity, group=LABEL, notes=(said, *notes, *state.notes_of(row.device.facts), *row.notes)
        )
