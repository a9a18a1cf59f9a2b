"""An agent's process with one model loaded, seen from Python: arrays in, arrays and timings out.

Speaks to `agent.py` and to its twin for Node alike (see `agent.py` for the operations); arrays travel as `.npy` files
in a temporary folder that goes with the session.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from edgeship.child import Child, Limits
from edgeship.codec import from_data
from edgeship.errors import ChildCrashed, DataError
from edgeship.types import ProgressCallback, TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array, Tensors

#: How the Python agent is started on this machine.
PYTHON_AGENT = (sys.executable, "-P", str(Path(__file__).with_name("agent.py")))

_LIMITS = Limits()


@dataclass(frozen=True)
class Loaded:
    """What the agent says about a file that it opened.

    Attributes:
        import_ms: import of NumPy and the runtime, or the start of the runtime in Node.
        load_ms: from the file's name to a model that is ready to run.
        versions: package -> version of the runtime.
        batch: the batch that the file fixes; None where it is dynamic.
        warnings: with their remedy.
        arena_bytes: the smallest arena that the file runs in, and did run in; of TensorFlow Lite Micro only.
    """

    import_ms: float
    load_ms: float
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: Mapping[str, str] = field(default_factory=dict)
    batch: int | None = None
    warnings: tuple[str, ...] = ()
    arena_bytes: int | None = None


@dataclass(frozen=True)
class WarmUp:
    """`runs` inferences were made until latency was stable, or (`stable` False) the limit was reached."""

    first_inference_ms: float
    runs: int
    stable: bool


class AgentSession:
    """A running agent. Use as a context manager; leaving it ends the process.

    Every method raises the agent's own typed error (ArtifactError, DataError, MissingPackageError), or a ChildError
    after which the session is closed.

    Args:
        command: how the agent is started.
        name: who is to blame in messages, for instance `tflite/int8 in litert`.
    """

    def __init__(
        self,
        command: Sequence[str] = PYTHON_AGENT,
        *,
        name: str = "agent",
        limits: Limits = _LIMITS,
    ) -> None:
        self._child = Child(command, name=name, limits=limits)
        self._folder = tempfile.TemporaryDirectory(prefix="edgeship-")
        self._loaded: Loaded | None = None

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
        request = {"op": "load", "runtime": runtime, "file": str(file), "threads": threads, **options}
        self._loaded = None
        self._loaded = from_data(Loaded, self._child.request(request))
        return self._loaded

    def run(
        self, inputs: Tensors, batch: int | None = None, progress: ProgressCallback | None = None
    ) -> dict[str, Array]:
        """Outputs by name, in the file's order, for N samples of each input; real values on both sides."""
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            outputs = Path(folder) / "outputs"
            outputs.mkdir()
            request = {"op": "run", "inputs": _write(inputs, Path(folder)), "outputs": str(outputs)}
            size = {} if batch is None else {"batch": batch}
            files = self._child.request({**request, **size}, progress=progress)["outputs"]
            return {name: _read(outputs, Path(file)) for name, file in files.items()}

    def warm_up(self, inputs: Tensors, max_runs: int = 200) -> WarmUp:
        """Infer until latency is stable (the agent says how) or `max_runs` are done."""
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            request = {"op": "warm_up", "inputs": _write(inputs, Path(folder)), "max_runs": max_runs}
            return from_data(WarmUp, self._child.request(request))

    def measure(self, inputs: Tensors, min_runs: int = 20, min_seconds: float = 0.2) -> tuple[float, ...]:
        """Milliseconds of single inferences, cycling through the samples, until both minima are reached."""
        with tempfile.TemporaryDirectory(dir=self._folder.name) as folder:
            request = {"op": "measure", "inputs": _write(inputs, Path(folder))}
            answer = self._child.request({**request, "min_runs": min_runs, "min_seconds": min_seconds})
        return tuple(float(value) for value in answer["latency_ms"])

    def memory(self) -> float | None:
        """Peak resident memory of the agent's process in MiB; None where it cannot tell."""
        peak = self._child.request({"op": "memory"})["peak_memory_mib"]
        return None if peak is None else float(peak)

    def describe(self) -> dict[str, str]:
        """Facts about the machine that the agent runs on, and its state at this moment."""
        return {key: str(value) for key, value in self._child.request({"op": "describe"})["facts"].items()}

    def close(self) -> None:
        """End the agent; safe to call twice."""
        self._child.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _write(inputs: Tensors, folder: Path) -> dict[str, str]:
    """Write each array to a file of its own; names from outside never become file names."""
    files = {}
    for position, (name, value) in enumerate(inputs.items()):
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise DataError(f"input {name!r} holds {array.dtype}", remedy="Give an array of numbers.")
        path = folder / f"{position}.npy"
        np.save(path, array, allow_pickle=False)
        files[name] = str(path)
    return files


def _read(folder: Path, file: Path) -> Array:
    if file.parent != folder:
        raise ChildCrashed(f"the agent wrote {file}, which is outside of {folder}")
    array: Array = np.load(file, allow_pickle=False)
    return array
