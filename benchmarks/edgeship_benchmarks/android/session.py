"""One file in benchmark_model with one delegate, as `edgeship_benchmarks.plan` measures it.

Every round is a start of the tool, which has no other way to be asked twice; it gives one time.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeship.closing import Closing
from edgeship.errors import ConnectionLost, TargetUnavailable, UnavailableError
from edgeship.types import Artifact, Energy, Progress, ProgressCallback
from edgeship_benchmarks.android import state, tables, tool
from edgeship_benchmarks.android.samples import Edges, sizes_of
from edgeship_benchmarks.answers import Loaded, Trace, WarmUp
from edgeship_benchmarks.transports.adb import AdbConnection
from edgeship_benchmarks.transports.leased import last_line
from edgeship_benchmarks.transports.link import Link

if TYPE_CHECKING:
    from edgeship.types import Array, Tensors

#: Longest time that one start may take, in seconds: compiling a large file for a GPU takes a minute.
START_SECONDS = tool.MOST_SECONDS + 300
_OUTPUT_BYTES = 1 << 28
#: The flag that writes outputs, which tools before 2023 do not know.
_OUTPUTS = "output_filepath"
_SAID_BYTES = 1 << 20
#: Starts of a profile, and inferences in each at least.
_TRACES = 5
_TRACED_RUNS = 20

# What runs is named by a file pid.N, by which the lease ends it when the connection goes, and `_STOP` when it is late.
_RUN = """cd "$1" || exit 1; shift
"$@" 2>&1 & child=$!
: > "pid.$child"
wait "$child"; status=$?
rm -f "pid.$child"
exit "$status"
"""
_STOP = """for file in "$1"/pid.*; do [ -f "$file" ] && kill -9 "${file##*.}" && rm -f "$file"; done; true"""


@dataclass(frozen=True)
class Phone:
    """A device with the tool that is to run there.

    Attributes:
        link: to the device.
        binary: of benchmark_model, on this machine.
        abis: of the device.
    """

    link: Link[AdbConnection]
    binary: Path
    abis: str

    def facts(self) -> dict[str, str]:
        """What the device says about itself now; one that does not tell its serial number is known by adb's."""
        connection = self.link.connection()
        known = {"serial_sha256": state.hashed(connection.device.serial)}
        return {**known, **state.facts_of(connection.run(state.SCRIPT))}


class ToolSession(Closing):
    """A file that runs. Use as a context manager. Methods are those of `AgentSession` that a plan needs.

    They raise what it raises, and TargetUnavailable where the delegate does not run the file.

    Attributes:
        label: of the runtime, as rows name it.
        energy: None, for there is no meter.
        writes_outputs: whether the tool can.
        delegated: what the delegate runs, in words; empty where there is nothing to say.
        accelerators: of NNAPI, as the tool names them.
        runs: inferences behind each time so far.
        least_ms: the least of the times, of a whole inference.
        medians: whether the times are medians of these, and not means.
        warm_up_runs: inferences that were not timed.
    """

    energy: Energy | None = None

    def __init__(self, phone: Phone, artifact: Artifact, delegate: tool.Delegate, threads: int, edges: Edges) -> None:
        self._phone, self._artifact, self._delegate, self._threads = phone, artifact, delegate, threads
        self._edges = edges
        self._here = tempfile.TemporaryDirectory(prefix="edgeship-adb-")
        self._fed: tuple[Tensors, list[Path], list[tuple[int, ...]]] | None = None
        self._trial: tool.Said | None = None
        self._peak: float | None = None
        self.writes_outputs = False
        self.label = self.runtime = delegate.runtime
        self.delegated = ""
        self.accelerators = ""
        self.runs: list[int] = []
        self.least_ms = math.inf
        self.medians = True
        self.warm_up_runs = 0

    def open(self, inputs: Tensors) -> Loaded:
        """Start the tool with a sample once, and see that the delegate runs the file; what `loaded` is from then on."""
        self._feed(inputs)
        return self.restart()

    @property
    def loaded(self) -> Loaded:
        """As of the last start that nothing was timed in."""
        assert self._trial is not None, "open comes first"
        return Loaded(0.0, self._trial.init_ms, (), (), batch=self._edges.batch, operations=("trace",))

    def restart(self) -> Loaded:
        """Start the tool anew, for what it takes to start; on another connection where the last one was lost."""
        place = self._phone.link.connection().new_path()
        more = "--report_peak_memory_footprint=true", f"--{_OUTPUTS}={place}"
        said = self._start(tool.run_flags(1, 0.0, 0.0), *more)
        self.writes_outputs = _OUTPUTS not in said.unconsumed
        self._trial = said
        self.warm_up_runs += said.runs
        self.accelerators = said.accelerators
        if said.peak_memory_mib is not None:
            self._peak = max(said.peak_memory_mib, self._peak or 0.0)
        return self.loaded

    def warm_up(self, inputs: Tensors, max_runs: int) -> WarmUp:  # noqa: ARG002 - the tool warms up by itself
        """The first inference of the last start; each start warms up by itself, which `warm_up_runs` counts."""
        assert self._trial is not None, "open comes first"
        return WarmUp(self._trial.first_ms, 0, stable=True)

    def memory(self) -> float | None:
        """Peak resident memory of the tool in MiB."""
        return self._peak

    def measure(self, inputs: Tensors, min_runs: int, min_seconds: float) -> tuple[float, ...]:
        """One time: milliseconds per sample, of the inferences of one start with one sample."""
        self._feed(inputs)
        said = self._start(tool.run_flags(min_runs, min_seconds, tool.WARM_UP_SECONDS))
        self.runs.append(said.runs)
        self.least_ms = min(self.least_ms, max(said.time_ms, 1e-3))
        self.medians = self.medians and said.is_median
        return (said.time_ms / self._edges.batch,)

    def trace(self, inputs: Tensors, seconds: float, progress: ProgressCallback | None = None) -> Trace:
        """What the tool says about operators, in starts that are profiled and others that are not, by turns."""
        self._feed(inputs)
        told = progress or (lambda _: None)
        found: list[list[tables.Row]] = []
        traced, whole = [], []
        for number in range(_TRACES):
            told(Progress("profile", number, _TRACES))
            flags = tool.run_flags(_TRACED_RUNS, seconds / (2 * _TRACES), tool.WARM_UP_SECONDS)
            whole.append(self._start(flags).time_ms)
            said, text = self._ran(flags, "--enable_op_profiling=true")
            traced.append(said.time_ms)
            found.append(tables.operators_of(text))
        told(Progress("profile", _TRACES, _TRACES))
        if any([row[:2] for row in rows] != [row[:2] for row in found[0]] for rows in found):
            raise TargetUnavailable("benchmark_model named other operators in each start")
        batch = self._edges.batch
        operators = [
            (name, kind, tuple(rows[number][2] / batch for rows in found), None)
            for number, (name, kind, _) in enumerate(found[0])
        ]
        return Trace(tuple(operators), tuple(ms / batch for ms in traced), tuple(ms / batch for ms in whole))

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Outputs by name for N samples of each input, each in a start of its own.

        Raises TargetUnavailable for a tool that cannot write outputs.
        """
        count = len(next(iter(inputs.values())))
        parts: dict[str, list[Array]] = {}
        for first in range(0, count, self._edges.batch):
            place = self._phone.link.connection().new_path()
            flags = ["--num_runs=1", "--min_secs=0", "--warmup_runs=0", "--warmup_min_secs=0"]
            self._feed(inputs, first)
            said = self._start(flags, f"--{_OUTPUTS}={place}")
            if _OUTPUTS in said.unconsumed:
                raise TargetUnavailable(
                    "this benchmark_model cannot write outputs", remedy=tool.get_it(self._phone.abis)
                )
            content = self._phone.link.connection().run('cat "$1"; rm -f "$1"', place, limit_bytes=_OUTPUT_BYTES)
            for name, array in self._edges.real(content).items():
                parts.setdefault(name, []).append(array[: count - first])
        self._fed = None
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}

    def describe(self) -> dict[str, str]:
        """Facts about the device at this moment."""
        return self._phone.facts()

    @property
    def inferences_per_time(self) -> int:
        """The median over the starts."""
        return int(statistics.median(self.runs)) if self.runs else 0

    def _feed(self, inputs: Tensors, first: int = 0) -> None:
        """Write the inputs of an inference to files here, unless they are those of the last one."""
        if self._fed is not None and self._fed[0] is inputs and first == 0:
            return
        stored = self._edges.stored(inputs, first)
        files = []
        for number, array in enumerate(stored):
            file = Path(self._here.name) / f"{number}.raw"
            file.write_bytes(array.tobytes())
            files.append(file)
        self._fed = inputs, files, sizes_of(stored)

    def _start(self, run_flags: list[str], *more: str) -> tool.Said:
        """What the tool measured in one start, of which the delegate is sure to have been part."""
        return self._ran(run_flags, *more)[0]

    def _ran(self, run_flags: list[str], *more: str) -> tuple[tool.Said, str]:
        """As `_start`, with all that the tool said."""
        connection = self._phone.link.connection()
        assert self._fed is not None, "the tool needs inputs"
        _, files, shapes = self._fed
        inputs = tool.input_flags(shapes, [connection.send(file) for file in files])
        model = connection.send(self._artifact.entry)
        binary = connection.send(self._phone.binary, executable=True)
        flags = [
            f"--graph={model}",
            f"--num_threads={self._threads}",
            *run_flags,
            *inputs,
            *self._delegate.flags,
            *more,
        ]
        text, status = self._said(connection, [binary, *flags])
        if status:
            raise tool.failure(status, text, self._delegate)
        said = tool.read(text)
        self.delegated = tool.require_delegated(text, said, self._delegate, self._phone.abis)
        strange = [flag for flag in said.unconsumed if flag != _OUTPUTS]
        if strange:
            raise TargetUnavailable(
                f"this benchmark_model does not know --{strange[0]}", remedy=tool.get_it(self._phone.abis)
            )
        self.warm_up_runs += said.warm_up_runs
        return said, text

    def _said(self, connection: AdbConnection, command: list[str]) -> tuple[str, int]:
        """What the tool said, and its exit status, which the shell writes at the end."""
        script = f'({_RUN}); status=$?; echo; echo "edgeship-tool=$status"'
        try:
            answer = connection.run(
                script, connection.board.folder, *command, limit_bytes=_SAID_BYTES, seconds=START_SECONDS
            )
        except ConnectionLost:
            raise
        except UnavailableError:
            with suppress(UnavailableError):
                connection.run(_STOP, connection.board.folder)
            raise
        text, _, status = answer.decode(errors="replace").rpartition("edgeship-tool=")
        if not status.strip().isdigit():
            raise TargetUnavailable(f"{connection.name} said no status but {last_line(status)!r}")
        return text, int(status)

    def close(self) -> None:
        """Nothing runs between starts; safe to call twice."""
        self._here.cleanup()
