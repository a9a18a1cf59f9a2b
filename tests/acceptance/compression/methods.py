"""The methods: our recipes through the public API, and the peers' scripts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import edgeship
from edgeship import recipe as recipes
from edgeship.child import Limits
from edgeship.errors import ChildCrashed, ChildTimeout, EdgeshipError
from tests.acceptance import environments
from tests.acceptance.compression import code
from tests.acceptance.compression.tasks import OPTIONS, TASKS, Task

if TYPE_CHECKING:
    from edgeship.types import Dataset, Report

#: A cell, whatever it does, ends after this many seconds.
CELL_SECONDS = 3600.0
#: Of all training that made a file.
MOST_EPOCHS = 30
#: A week: attempts end with their epochs.
_NO_MINUTES = 7 * 24 * 60.0
#: Code that decides what training makes, beside the settings.
_TRAINING = ("edgeship.compress", "edgeship.data.augment")
#: What a record keeps of each stage.
_OF_A_STAGE = ("name", "metric", "size_bytes", "parameters", "sparsity", "epochs", "seconds", "notes")
_PEERS = Path(__file__).with_name("peers")


@dataclass(frozen=True)
class Work:
    """What a method is given: a base, its data divided the same way for everyone, an empty folder."""

    task: Task
    base: Path
    dataset: Dataset
    seed: int
    folder: Path


@dataclass(frozen=True)
class Made:
    """What a method gives back; the fields are those of `Record`."""

    file: Path
    epochs: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    sweep: Sequence[Mapping[str, Any]] = ()
    stages: Sequence[Mapping[str, Any]] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    gate: str = ""


class Method(Protocol):
    """One way to a smaller file."""

    name: str
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    ours: bool

    def determines(self) -> Mapping[str, Any]:
        """What the file depends on beside task and seed, as plain data."""

    def make(self, work: Work) -> Made:
        """Make the file. Raises EdgeshipError where that cannot be done."""


@dataclass(frozen=True)
class Ours:
    """A shipped recipe, as a user runs it."""

    name: str
    seeds: tuple[int, ...] = (0, 1, 2)
    tasks: tuple[str, ...] = tuple(TASKS)
    ours: bool = True

    def determines(self) -> Mapping[str, Any]:
        """The recipe and those that it tries; the code of their stages, or of conversion where nothing trains.

        What trained for a quarter of an hour is not made again because a converter has changed: the recipes without
        stages show what that does.
        """
        plan = recipes.load(self.name)
        plans = [plan, *plan.attempts]
        texts = [{k: v for k, v in p.to_data().items() if k not in ("purpose", "seed", "attempts")} for p in plans]
        stages = [stage for p in plans for stage in p.stages]
        places: Collection[Path] = [code.ROOT / "converters" / "edgeship_converters"]
        if stages:
            from edgeship.compress.stages import METHODS  # needs Keras

            used = {METHODS[type(stage)].__module__ for stage in stages}
            places = code.behind((*used, "edgeship.compress.context"), _TRAINING)
        if plan.attempts:
            places = [*places, code.ROOT / "toolkit" / "edgeship" / "pipeline" / "attempts.py"]
        return {"recipes": texts, "code": code.digest(places)}

    def make(self, work: Work) -> Made:
        """`edgeship.build`; the recipe names one variant, so that nothing is chosen by the test split."""
        plan = recipes.load(self.name).changed(seed=work.seed)
        if plan.attempts:  # bounded by the epochs of what it tries: by minutes it would hang on what else runs here
            plan = replace(plan, minutes=_NO_MINUTES)
        report = edgeship.build(
            work.base,
            work.task.data,
            recipe=plan,
            to="tflite",
            targets=(),
            out=work.folder / "build",
            data_options=replace(OPTIONS, calibration_samples=plan.calibration_samples, augment=work.task.augment),
            limits=Limits(seconds=CELL_SECONDS),
        )
        chosen = _only(report)
        gates = [g.status for g in report.gates if g.artifact == chosen.id and g.name == "metric"]
        stages = [{k: getattr(s, k) for k in _OF_A_STAGE} for s in report.stages]
        return Made(
            file=_without_labels(chosen.entry, work.folder / "model.tflite"),
            epochs=sum(s.epochs for s in report.stages),
            settings={"recipe": plan.to_data()},
            stages=stages,
            versions=report.environment,
            gate=gates[0] if gates else "",
        )


def _without_labels(file: Path, place: Path) -> Path:
    """The same network as peers deliver it: the front compares those, and labels are no part of theirs."""
    from edgeship_converters import flatfile
    from edgeship_converters.tflite.slim import slim

    content = file.read_bytes()
    model = flatfile.read(content)
    others = [entry for entry in model.metadata or () if entry.name != b"TFLITE_METADATA"]
    if len(others) < len(model.metadata or ()):
        model.metadata = others
        content = slim(flatfile.write(model))
    place.write_bytes(content)
    return place


def _only(report: Report) -> Any:
    if len(report.artifacts) != 1:
        reasons = "; ".join(f"{f.artifact} ({f.stage}): {f.message}" for f in report.failures)
        raise EdgeshipError(f"the recipe made {len(report.artifacts)} files where a cell takes one: {reasons}")
    return report.artifacts[0]


@dataclass(frozen=True)
class Peer:
    """A script of `peers/` in an environment that has what it needs.

    Attributes:
        script: its name there.
        also: other scripts that it uses.
        settings: what it is told.
        environment: name of a lock in `requirements/`; empty for this project's own environment.
        form: of the base that the script reads, where it cannot read the Keras 3 file: `keras2` or `onnx`.
        packages: whose versions the file depends on, where the environment is ours.
    """

    name: str
    script: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    environment: str = ""
    form: str = ""
    packages: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ("cifar10",)
    seeds: tuple[int, ...] = (0,)
    ours: bool = False

    def determines(self) -> Mapping[str, Any]:
        """The script, its settings, the versions it runs with."""
        files = [_PEERS / f"{name}.py" for name in (self.script, *self.also, "common")]
        if self.environment:
            files.append(environments.lock(self.environment))
        if self.form:
            files.append(Path(__file__).with_name("prepare.py"))
        return {
            "settings": dict(self.settings),
            "code": code.digest(files),
            "versions": {name: _version(name) for name in self.packages},
        }

    def make(self, work: Work) -> Made:
        """Run the script, which writes the file and what it did."""
        python = environments.interpreter(self.environment) if self.environment else Path(sys.executable)
        request = {
            "base": str(work.base),
            "data": str(work.dataset.path),
            "input": work.dataset.inputs[0].name,
            "out": str(work.folder),
            "seed": work.seed,
            "augment": bool(work.task.augment),
            "batch_size": work.task.batch_size,
            "epochs": MOST_EPOCHS,
            "settings": dict(self.settings),
        }
        (work.folder / "request.json").write_text(json.dumps(request))
        package = "tests.acceptance.compression"
        if self.form:
            _run([sys.executable, "-m", f"{package}.prepare", str(work.folder), self.form], self.name)
        _run([str(python), "-m", f"{package}.peers.{self.script}", str(work.folder)], self.name)
        result = json.loads((work.folder / "result.json").read_text())
        return Made(**{**result, "file": work.folder / result["file"]})


def _run(command: Sequence[str], name: str) -> None:
    started = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=code.ROOT,
            env=environments.clean(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=CELL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ChildTimeout(f"{name} did not end within {time.monotonic() - started:.0f} s") from None
    if done.returncode < 0:
        raise ChildCrashed(f"{name} was ended by signal {-done.returncode}")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]  # what was raised; paths of this machine stay out
        raise EdgeshipError(f"{name}: {last[:400].replace(str(code.ROOT), '')}")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
