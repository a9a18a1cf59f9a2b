"""One model through every format and variant of the pipeline, each file held against Keras twice.

First by the pipeline's own verification; then, where that says the file is good, by a comparison of ours on other
samples, which shares no code with it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgeship import cache, plugins
from edgeship.child import Limits, Worker
from edgeship.data import load
from edgeship.errors import ChildError, EdgeshipError, UnavailableError, UnsupportedModelError
from edgeship.pipeline import checks, steps
from edgeship.pipeline.checks import Baseline
from edgeship.pipeline.exports import Export
from edgeship.types import Array, ConvertOptions, Dataset, Progress, Source
from edgeship.verify import GatePolicy
from tests.acceptance.compression.code import ROOT
from tests.acceptance.fuzz import make
from tests.acceptance.fuzz.agents import warm_agents
from tests.acceptance.fuzz.description import Description

#: Seconds that one conversion may take; none of these models takes a tenth of that on a quiet machine.
LIMIT = Limits(seconds=300)
#: By variant the largest difference that our own comparison allows, as a share of the output's spread; else `_COARSE`.
#: Up to twice what verification does, which sees other samples.
_CLOSE = {"float32": 2e-3, "float16": 1e-1, "uint16": 6e-2}
_COARSE = 0.75
_MESSAGE = 400
_POLICY = GatePolicy(0.5, "fail")


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        status: `agrees`; `silent` (verified, but wrong on other samples); `mismatch` (verification found it wrong, or
            that its runtime does not run it); `refused` (a typed error that names a layer); `unnamed` (one that
            does not); `broken` (an untyped error, a crash, a hang).
        message: why; empty where it agrees.
    """

    status: str
    message: str = ""


@dataclass(frozen=True)
class Result:
    """One model: its outcomes by `format/variant`; `invalid` where the generator found none."""

    seed: int
    layers: tuple[str, ...] = ()
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    invalid: str = ""
    seconds: float = 0.0
    description: Description | None = None


def all_exports() -> list[Export]:
    """Every format that can be verified here, in every variant that it has."""
    return [
        Export(name, variant, by_name=True)
        for name in plugins.names("converters")
        if any(not runtime.missing() for runtime in plugins.runtimes_for(name))
        for variant in plugins.converter(name).variants
    ]


class Runner:
    """Runs models, one after another, in one warm worker and one warm agent of each runtime."""

    def __init__(self, worker: Worker, scratch: Path) -> None:
        self._worker = worker
        self._scratch = scratch

    def from_seed(self, seed: int, exports: Sequence[Export]) -> Result:
        """Draw the model of a seed and run it."""
        return self._run(seed, exports, lambda place: self._worker.call(make.from_seed, seed=seed, folder=place))

    def from_description(self, description: Description, exports: Sequence[Export]) -> Result:
        """Run the model of a description."""

        def create(place: Path) -> make.Made:
            return self._worker.call(make.from_description, description=description, folder=place)

        return self._run(description.seed, exports, create)

    def _run(self, seed: int, exports: Sequence[Export], create: Callable[[Path], make.Made]) -> Result:
        started = time.monotonic()
        self._tidy()
        place = self._scratch / "model"
        place.mkdir()
        try:
            made = create(place)
        except ChildError as error:  # Keras itself: pooling to nothing ends TensorFlow with SIGFPE
            return Result(seed, invalid=f"making it: {error.message}"[:_MESSAGE])
        if made.description is None:
            return Result(seed, invalid=made.reason[:_MESSAGE])
        outcomes = self._outcomes(place, made.description, exports)
        seconds = round(time.monotonic() - started, 1)
        return Result(seed, made.description.layers(), outcomes, "", seconds, made.description)

    def _tidy(self) -> None:
        """Leave nothing of the model before, in the cache neither."""
        shutil.rmtree(self._scratch / "model", ignore_errors=True)
        for entry in cache.root().iterdir():
            if entry.is_dir() and not entry.is_symlink() and entry.name != "keras":
                shutil.rmtree(entry)

    def _outcomes(self, place: Path, description: Description, exports: Sequence[Export]) -> dict[str, Outcome]:
        try:
            source = steps.open_source(self._worker, place / make.MODEL, (), allow_unsafe=False)
            dataset = _dataset(place, source, description)
            original = steps.reference(self._worker, source, dataset, _ignore)
        except EdgeshipError as error:
            return {export.id: _failed(error, description) for export in exports}
        loaded = _compare(place, "test", list(original.arrays.values()), "float32")
        if loaded:
            return {export.id: Outcome("silent", f"loading: {loaded}") for export in exports}
        base = Baseline(dataset, original, {}, None, _POLICY)
        return {e.id: self._export(e, source, base, place, description) for e in exports}

    def _export(self, export: Export, source: Source, base: Baseline, place: Path, description: Description) -> Outcome:
        try:
            artifact = steps.convert(self._worker, source, export, ConvertOptions(calibration=base.dataset))
        except EdgeshipError as error:
            return _failed(error, description)
        checked = checks.judge(artifact, export, base, self._scratch, _ignore)
        if checked.failures:
            first = checked.failures[0]
            crashed = first.type.startswith("Child") or first.type == EdgeshipError.__name__
            return Outcome("broken" if crashed else "mismatch", f"{first.type}: {first.message}"[:_MESSAGE])
        wrong = [
            f"{g.name} {g.value:.3g} ({g.limit:g}) in {g.runtime} {g.detail}" for g in checked.gates if not g.accepted
        ]
        if wrong or checked.artifact.verification != "passed":
            return Outcome("mismatch", "; ".join(wrong)[:_MESSAGE])
        runtime = plugins.runtimes_for(export.format)[0]
        found = runtime.run(artifact, load(base.dataset, "validation").inputs)
        different = _compare(place, "validation", list(found.values()), export.variant)
        return Outcome("silent", different) if different else Outcome("agrees")


@contextmanager
def runner() -> Iterator[Runner]:
    """A runner with a cache of its own that goes with it; raises UnavailableError where a format cannot be run here."""
    nodes = cache.root() / "node"
    if len({e.format for e in all_exports()}) < len(plugins.names("converters")):
        raise UnavailableError("a format has no runtime here", remedy="edgeship doctor --install node")
    with tempfile.TemporaryDirectory(prefix="edgeship-fuzz-") as folder:
        own = Path(folder) / "cache"
        own.mkdir()
        (own / "node").symlink_to(nodes)
        with environment(EDGESHIP_CACHE=str(own)), warm_agents(), Worker(LIMIT) as worker:
            yield Runner(worker, Path(folder))


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Variables that children inherit, with a path on which they find these tests: not all look where they are."""
    values["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _dataset(place: Path, source: Source, description: Description) -> Dataset:
    """The samples under the names that the file has: Keras renames an input that a layer passes on as it is."""
    for split in make.COUNTS:
        folder = place / split / "x"
        for entry, spec in zip(description.entries, source.inputs, strict=True):
            (folder / f"{entry.name}.npy").rename(folder / f"{spec.name}.npy")
    return Dataset(place, "fuzz", steps.file_sha256(place / "test"), "unlabelled", source.inputs, make.COUNTS)


def _ignore(_: Progress) -> None:
    """Nobody watches."""


def _failed(error: EdgeshipError, description: Description) -> Outcome:
    message = f"{type(error).__name__}: {error.message}"[:_MESSAGE]
    if isinstance(error, ChildError) or type(error) is EdgeshipError:
        return Outcome("broken", f"{message} {error.remedy}".replace(f"{ROOT}/", "")[:_MESSAGE])
    names = {name for node in description.nodes for name in (node.name, node.layer, node.group) if name}
    named = any(name in str(error) for name in names | {entry.name for entry in description.entries})
    typed = isinstance(error, UnsupportedModelError)
    return Outcome("refused" if typed and named else "unnamed", message)


def _compare(place: Path, split: str, found: Sequence[Any], variant: str) -> str:
    """What is wrong with outputs, in the model's order; empty if nothing is."""
    limit = _CLOSE.get(variant, _COARSE)
    for position, given in enumerate(found):
        expected: Array = np.load(place / split / "expected" / f"{position}.npy").astype(np.float64)
        values = np.asarray(given, np.float64)
        if values.shape != expected.shape:
            return f"output {position} has shape {values.shape} instead of {expected.shape}"
        spread = float(np.sqrt(np.mean((expected - expected.mean(axis=0)) ** 2)))
        apart = float(np.sqrt(np.mean((values - expected) ** 2)))
        if not apart <= limit * spread:
            return f"output {position} is off by {apart:.3g}, its spread is {spread:.3g} ({limit:g} of it allowed)"
    return ""
