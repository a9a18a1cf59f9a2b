"""An agent's process with one model loaded, seen from Python: arrays in, arrays and timings out.

Speaks to `edgeship_benchmarks.agent` and to its twin for Node alike (see there for the operations); arrays travel as
`.npy` files. The agent may run on another machine: the command that starts it leads there (`ssh board python3
agent.pyz`), and `Files` carries the files over.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from edgeship.child import Child, Limits, limits_in_force
from edgeship.closing import Closing
from edgeship.errors import ChildCrashed
from edgeship.types import Energy, ProgressCallback, Throughput
from edgeship_benchmarks import answers, exchange
from edgeship_benchmarks.answers import Loaded, Processing, Trace, WarmUp
from edgeship_benchmarks.exchange import Files, LocalFiles

if TYPE_CHECKING:
    from edgeship.types import Array, Tensors

#: How the Python agent is started on this machine.
PYTHON_AGENT = (sys.executable, "-P", "-m", "edgeship_benchmarks.agent")


def _in_stage(name: str, progress: ProgressCallback) -> ProgressCallback:
    """Passes on how far an agent is. The stage is ours: each one is a bar, and an agent must not make bars at will."""
    return lambda event: progress(replace(event, stage=name))


class Channel(Protocol):
    """A way to an agent: its process, or a page that it runs in."""

    @property
    def pid(self) -> int:
        """Process that the agent runs in; 0 where it is none of this machine's."""

    def request(
        self, message: Mapping[str, Any], *, progress: ProgressCallback | None = None, seconds: float | None = None
    ) -> Any:
        """Result of a request (see `edgeship.child.Child.request`)."""

    def close(self) -> None:
        """End the agent; safe to call twice."""


class Turns:
    """Lets one agent live at a time, because the device that they run on takes one process: an Edge TPU.

    A session whose turn it is starts its agent and loads its file again; that of the one before it has ended by then.
    """

    def __init__(self) -> None:
        self._holder: AgentSession | None = None
        self._paused: set[int] = set()

    def take(self, session: AgentSession) -> bool:
        """Give `session` its turn; True where its agent had to make room for another one before."""
        if self._holder is session:
            return False
        if self._holder is not None:
            self._holder.pause()
            self._paused.add(id(self._holder))
        self._holder = session
        was_paused = id(session) in self._paused
        self._paused.discard(id(session))
        return was_paused


class AgentSession(Closing):
    """A running agent. Use as a context manager; leaving it ends the process.

    Every method raises the agent's own typed error (ArtifactError, DataError, MissingPackageError), or a ChildError
    after which the session is closed.

    Args:
        command: how the agent is started.
        name: who is to blame in messages, for instance `tflite/int8 in litert`.
        limits: of the process that the command starts. None: those of the request that is worked on.
        files: where the agent reads and writes; the session closes it. None: on this machine.
        turns: shared by the sessions of which one at a time may have its agent. None: all have theirs.
    """

    def __init__(
        self,
        command: Sequence[str] = PYTHON_AGENT,
        *,
        name: str = "agent",
        limits: Limits | None = None,
        files: Files | None = None,
        turns: Turns | None = None,
    ) -> None:
        self._command, self._name, self._limits = command, name, limits or limits_in_force()
        self._files: Files = files or LocalFiles()
        self._turns = turns
        self._loaded: Loaded | None = None
        self._asked: tuple[Path, dict[str, Any]] | None = None
        self._sent: tuple[Tensors, dict[str, str]] | None = None
        #: Of one inference of the last `measure`; None where no meter is.
        self.energy: Energy | None = None
        #: Word for the runtime that the file is loaded in; empty before `load`.
        self.runtime = ""
        self._child = self._start()
        self._folder = tempfile.TemporaryDirectory(prefix="edgeship-")

    def _start(self) -> Channel:
        """How an agent is reached; a kind of session whose agent is no child process has its own."""
        return Child(self._command, name=self._name, limits=self._limits)

    def _request(self, message: Mapping[str, Any], progress: ProgressCallback | None = None, stage: str = "run") -> Any:
        if self._turns is not None and self._turns.take(self):
            self.restart()
        return self._child.request(message, progress=progress and _in_stage(stage, progress))

    @property
    def pid(self) -> int:
        """Process id of the agent."""
        return self._child.pid

    @property
    def loaded(self) -> Loaded:
        """What the agent said about the file that is loaded."""
        assert self._loaded is not None, "load comes first"
        return self._loaded

    def load(self, runtime: str, file: Path, threads: int = 1, **options: Any) -> Loaded:
        """Open a file in a runtime of this agent; `options` are those of the agent's own `load`."""
        self._asked = file, {"runtime": runtime, "threads": threads, **options}
        self._loaded, self.runtime = None, runtime
        self._loaded = self._load()
        return self._loaded

    @property
    def label(self) -> str:
        """The runtime, and what of it is not as it is by default; rows of one file are told apart by it."""
        delegate = self._asked[1].get("delegate") if self._asked is not None else None
        return f"{self.runtime} without XNNPACK" if delegate == "none" else self.runtime

    def _load(self) -> Loaded:
        assert self._asked is not None, "load comes first"
        file, options = self._asked
        return answers.value(Loaded, self._request({"op": "load", "file": self._files.send(file), **options}))

    def pause(self) -> None:
        """End the agent; `restart` goes on."""
        self._child.close()

    def restart(self) -> Loaded:
        """A new agent with the same file loaded, in place of this one; `loaded` stays what the first said."""
        if self._turns is not None:
            self._turns.take(self)
        self._child.close()
        self._sent = None
        self._child = self._start()
        return self._load()

    def run(
        self, inputs: Tensors, batch: int | None = None, progress: ProgressCallback | None = None
    ) -> dict[str, Array]:
        """Outputs by name, in the file's order, for N samples of each input; real values on both sides."""
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            outputs = self._files.make_folder()
            request = {"op": "run", "inputs": self._send(inputs, Path(folder)), "outputs": outputs}
            size = {} if batch is None else {"batch": batch}
            files = answers.texts(self._request({**request, **size}, progress), "outputs")
        written = {name: exchange.inside(outputs, file) for name, file in files.items()}
        fetched = self._files.fetch(outputs)
        return {name: exchange.read(fetched / file) for name, file in written.items()}

    def warm_up(self, inputs: Tensors, max_runs: int = 200) -> WarmUp:
        """Infer until latency is stable (the agent says how) or `max_runs` are done."""
        request = {"op": "warm_up", "inputs": self._samples(inputs), "max_runs": max_runs}
        return answers.value(WarmUp, self._request(request))

    def measure(self, inputs: Tensors, min_runs: int = 20, min_seconds: float = 0.2) -> tuple[float, ...]:
        """Milliseconds of single inferences, cycling through the samples, until both minima are reached."""
        request = {"op": "measure", "inputs": self._samples(inputs), "min_runs": min_runs, "min_seconds": min_seconds}
        answer = self._request(request)
        times = answers.times(answer)
        found = answer.get("microjoules")
        self.energy = (
            None if found is None else Energy(answers.number(found) / 1e3, answers.text(answer.get("meter", "")))
        )
        return times

    def processing(self, inputs: Tensors) -> Processing:
        """What it takes to turn a sample into what the file takes, and its outputs back; median milliseconds."""
        return answers.value(Processing, self._request({"op": "processing", "inputs": self._samples(inputs)}))

    def throughput(self, inputs: Tensors, batch: int, min_seconds: float) -> Throughput:
        """Samples a second, from real values to real values. Raises ArtifactError for a file that has no such batch."""
        request = {"op": "throughput", "inputs": self._samples(inputs), "batch": batch, "min_seconds": min_seconds}
        return answers.value(Throughput, self._request(request))

    def prefixes(
        self, inputs: Tensors, files: Sequence[Path], seconds: float = 10.0, progress: ProgressCallback | None = None
    ) -> tuple[list[tuple[float, ...]], tuple[float, ...]]:
        """Milliseconds of each file in each round, which do parts of what the loaded file does, and of itself.

        It takes about `seconds`.
        """
        sent = [self._files.send(file) for file in files]
        request = {"op": "prefixes", "inputs": self._samples(inputs), "files": sent, "seconds": seconds}
        answer = self._request(request, progress, "profile")
        parts = answer.get("prefix_ms") if isinstance(answer, dict) else None
        whole = answers.times(answer, "whole_ms")
        if not isinstance(parts, list) or len(parts) != len(files):
            raise ChildCrashed(f"the agent gave no times of {len(files)} files")
        times = [answers.times({"ms": part}, "ms") for part in parts]
        if any(len(part) != len(whole) for part in times):
            raise ChildCrashed("the agent gave times of different rounds")
        return times, whole

    def trace(self, inputs: Tensors, seconds: float = 10.0, progress: ProgressCallback | None = None) -> Trace:
        """What the runtime says about the operators of the loaded file, in about `seconds`."""
        request = {"op": "trace", "inputs": self._samples(inputs), "seconds": seconds}
        return answers.trace(self._request(request, progress, "profile"))

    def memory(self) -> float | None:
        """Peak resident memory of the agent's process in MiB; None where it cannot tell."""
        answer = self._request({"op": "memory"})
        peak = answer.get("peak_memory_mib") if isinstance(answer, dict) else None
        return None if peak is None else answers.number(peak)

    def delegate(self, name: str) -> dict[str, str]:
        """Versions of LiteRT and of a delegate's library; its device was opened. Raises TargetUnavailable."""
        return answers.texts(self._request({"op": "delegate", "name": name}), "versions")

    def describe(self) -> dict[str, str]:
        """Facts about the machine that the agent runs on, and its state at this moment."""
        return answers.texts(self._request({"op": "describe"}), "facts")

    def close(self) -> None:
        """End the agent; safe to call twice."""
        self._child.close()
        self._files.close()
        self._folder.cleanup()

    def _send(self, inputs: Tensors, folder: Path) -> dict[str, str]:
        return {name: self._files.send(file) for name, file in exchange.write(inputs, folder).items()}

    def _samples(self, inputs: Tensors) -> dict[str, str]:
        """Paths of samples that are run again and again; they are sent once."""
        if self._sent is None or self._sent[0] is not inputs:
            folder = Path(tempfile.mkdtemp(dir=self._folder.name))
            self._sent = inputs, self._send(inputs, folder)
        return self._sent[1]
