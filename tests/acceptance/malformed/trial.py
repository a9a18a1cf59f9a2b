"""One damaged file: all that edgeship does with a file it is given, in children that are kept until they die."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from edgeship import plugins
from edgeship.child import Limits, Worker
from edgeship.errors import ChildError, EdgeshipError
from edgeship.inspection.opening import describe
from edgeship.inspection.support import zeros
from edgeship.source import inspect
from edgeship_benchmarks.runtimes.base import AgentRuntime
from edgeship_benchmarks.session import AgentSession
from tests.acceptance.malformed import corpus, doors
from tests.acceptance.malformed.damage import damage

#: Bounds of each child, for each file.
LIMITS = Limits(seconds=60, memory_mib=4096)
#: Of what the parent does, for each file: it is the user's own process.
PARENT_LIMITS = Limits(seconds=20, memory_mib=1024)
#: Which runtime opens a file.
_RUNTIMES = {".tflite": "litert", ".onnx": "onnxruntime", ".json": "tfjs-wasm", ".bin": "tfjs-wasm"}
_PARENT = "parent"
#: A message is for a person, whatever long names are in the file.
_LONGEST = 8000


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        question: `parent` (what no child does), `describe` (`edgeship inspect`), `read` (as the model of a build), or
            the name of a runtime.
        status: `answered`, the class of a typed error, or `FAULT`: an error that is not typed, or endless.
    """

    question: str
    status: str
    message: str = ""


class Trials:
    """Damages files of a corpus and gives them to edgeship. Use as a context manager."""

    def __init__(self, scratch: Path, shared: Path) -> None:
        self._folder = scratch / "corpus"
        self._place = scratch / "damaged"
        self._stack = ExitStack()
        self._worker = self._stack.enter_context(Worker(LIMITS))
        self._parent = self._stack.enter_context(Worker(PARENT_LIMITS))
        self._agents: dict[str, AgentSession] = {}
        self.files: Sequence[str] = self._worker.call(corpus.make, folder=self._folder, shared=shared)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for agent in self._agents.values():
            agent.close()
        self._stack.close()

    def run(self, seed: int) -> tuple[str, tuple[Outcome, ...]]:
        """Damage the file of a seed and ask all questions about it; returns the file's place in the corpus."""
        name = self.files[seed % len(self.files)]
        rng = np.random.default_rng(seed)
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.copytree((self._folder / name).parent, self._place)
        file = self._place / Path(name).name
        donor = self._folder / self.files[rng.integers(len(self.files))]
        damage(file, donor.read_bytes(), rng)
        return name, tuple(_outcome(question, ask) for question, ask in self._questions(file))

    def _questions(self, file: Path) -> list[tuple[str, Callable[[], object]]]:
        beside = {".bin": file.with_name("model.json"), ".pb": file.parent}
        model = beside.get(file.suffix, file)
        asked: list[tuple[str, Callable[[], object]]] = [
            (_PARENT, lambda: self._parent.call(doors.open_all, path=model)),
            ("describe", lambda: self._worker.call(describe, path=model)),
            ("read", lambda: self._worker.call(inspect, path=model)),
        ]
        runtime = _RUNTIMES.get(file.suffix)
        if runtime is not None and not plugins.runtime(runtime).missing():
            asked.append((runtime, lambda: self._execute(runtime, model)))
        return asked

    def _execute(self, runtime: str, model: Path) -> None:
        """Open a file in a runtime and run it on zeros."""
        agent = self._agents.get(runtime)
        if agent is None:
            plugin: Any = plugins.runtime(runtime)
            assert isinstance(plugin, AgentRuntime)
            agent = self._agents[runtime] = AgentSession(plugin.command(), name=runtime, limits=LIMITS)
        try:
            inputs = zeros(agent.load(runtime, model).inputs)
            if inputs is not None:
                agent.run(inputs)
        except ChildError:
            self._agents.pop(runtime).close()
            raise


def _outcome(question: str, ask: Callable[[], object]) -> Outcome:
    try:
        ask()
    except EdgeshipError as error:
        fault = question == _PARENT and isinstance(error, ChildError)  # the user's own process would have died
        fault |= type(error) is EdgeshipError or len(str(error)) > _LONGEST or not error.message.strip()
        return Outcome(question, "FAULT" if fault else type(error).__name__, str(error)[:600])
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return Outcome(question, "FAULT", f"in the parent: {type(error).__name__}: {error}"[:600])
    return Outcome(question, "answered")
