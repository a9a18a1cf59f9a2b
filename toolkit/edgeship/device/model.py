"""The model that runs on this device: always the active release, whatever is updated meanwhile."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship.closing import Closing
from edgeship.device import config as configs
from edgeship.device import inputs, slots, state, telemetry
from edgeship.device.config import Config, Place
from edgeship.device.probation import Start, allowed
from edgeship.device.seen import read_seen
from edgeship.device.state import Release, State
from edgeship.errors import ArtifactError, EdgeshipError, InputError, OutputError, StorageFullError
from edgeship.types import Manifest

if TYPE_CHECKING:
    from edgeship.device.engine import Engine
    from edgeship.types import Array

_log = logging.getLogger(__name__)

#: A process has shown that it serves after so many predictions, or with its first one after so many seconds.
_STEADY_PREDICTIONS = 10
_STEADY_SECONDS = 10.0
_FLUSH_SECONDS = 60.0


@dataclass(frozen=True)
class Prediction:
    """What the model says about N samples.

    Attributes:
        outputs: by name, N samples on the first axis, real values.
        labels: of each sample the class with the largest output; empty where outputs are not classes.
        outside: by input, how many values were outside the range of the data that the model was made with.
        version: of the release that said it.
    """

    outputs: Mapping[str, Array]
    labels: tuple[str, ...]
    outside: Mapping[str, int]
    version: str


@dataclass(frozen=True)
class _Loaded:
    """A release in this process."""

    release: Release
    manifest: Manifest
    engine: Engine


class Model(Closing):
    """The model of an enrolment, for the whole life of an application; for several threads.

    `predict` looks, at the cost of one system call, whether another release has become active, and loads it between
    two calls. A release that cannot be loaded here is voted against, and the one before goes on.

    Args:
        name: of the enrolment; None: the only one.
        folder: where enrolments are; None: the usual place.

    Raises InputError where nothing is enrolled, ArtifactError where no release is installed or none is undamaged.
    """

    def __init__(self, name: str | None = None, *, folder: Path | None = None) -> None:
        self._place = configs.enrolled(name, folder)
        self._config = _settings(self._place)
        self._lock = threading.Lock()
        self._start = Start(self._place, self._config)
        self._recorder = telemetry.Recorder()
        self._flushed = time.monotonic()
        self._began, self._served = 0.0, 0
        self._stamp = self._mark()
        self._loaded = self._load(None)
        atexit.register(self._at_exit)

    @property
    def version(self) -> str:
        """Of the release that is loaded."""
        return self._loaded.release.version

    @property
    def manifest(self) -> Manifest:
        """Of the release that is loaded: inputs, outputs, labels, preprocessing."""
        return self._loaded.manifest

    def predict(self, given: Array | Mapping[str, Array]) -> Prediction:
        """Run the active release.

        Args:
            given: by input name, or one array where there is one input: N samples on the first axis, in the original
                model's units, prepared as the manifest says.

        Raises:
            DataError: it does not fit the model: names, shape, kind of numbers, NaN.
            ArtifactError: the release cannot be run.
        """
        with self._lock:
            self._refresh()
            loaded = self._loaded
            arrays = inputs.checked(loaded.manifest, given)
            outputs, seconds = self._run(loaded.engine, arrays)
            outside = inputs.outside(loaded.manifest, arrays)
            self._count(arrays, seconds, outputs, outside)
            self._serve()
            counts = {name: int(found.sum()) for name, found in outside.items()}
            return Prediction(outputs, inputs.labels(loaded.manifest, outputs), counts, loaded.release.version)

    def _run(self, engine: Engine, arrays: Mapping[str, Array]) -> tuple[dict[str, Array], float]:
        """Outputs, and the seconds that they took."""
        self._attempt(self._start.work)
        try:
            started = time.perf_counter()
            outputs = engine.run(arrays)
            return outputs, time.perf_counter() - started
        except ArtifactError:
            self._vote_against("it cannot be run")
            raise
        finally:
            self._attempt(self._start.rest)

    def report(self, *, ok: bool, reason: str = "the application says so") -> None:
        """Say whether the application is content with the active release; counts while that is in probation.

        As many votes against it as `failures` of the probation bring back the release before.
        """
        with self._lock:
            active = state.release(self._place, state.read(self._place).active)
            if active is not None and active.manifest_sha256 != self._loaded.release.manifest_sha256:
                _log.warning("edgeship: %s is not what runs: the vote is not counted", active.version)
            elif ok:
                self._attempt(self._start.served)
            else:
                self._vote_against(reason)

    def close(self) -> None:
        """Say that this process ends as it should; safe to call twice."""
        atexit.unregister(self._at_exit)
        with self._lock:
            self._flush()
            if self._served:
                self._attempt(self._start.served)
            self._attempt(self._start.end)

    def _at_exit(self) -> None:
        """An interpreter that ends by an exception that nobody caught has not served; Ctrl-C is no such exception."""
        if isinstance(getattr(sys, "last_value", None), Exception):
            self._attempt(self._start.work)  # and so it dies
        else:
            self.close()

    def _refresh(self) -> None:
        """Load what has become active since the last call."""
        mark = self._mark()
        if mark == self._stamp:
            return
        self._stamp = mark
        held = state.release(self._place, state.serving(self._place, state.read(self._place)))
        if held is not None and held.manifest_sha256 != self._loaded.release.manifest_sha256:
            self._flush()
            self._loaded = self._load(self._loaded)

    def _mark(self) -> tuple[int, int] | None:
        """Changes whenever the state is written."""
        try:
            found = os.stat(self._place.state)  # noqa: PTH116 - at each prediction
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns

    def _load(self, before: _Loaded | None) -> _Loaded:
        """Load the active release; else what ran before, or what lies in the other slot.

        Raises the error of the active release where there is nothing else.
        """
        found = self._begin()
        slot = state.serving(self._place, found)
        if slot is None:
            raise ArtifactError(f"{self._place.folder} has no model yet", remedy="Get it: edgeship device update")
        self._began, self._served = time.monotonic(), 0
        try:
            loaded = _open(self._place, slot)
        except EdgeshipError as error:
            if isinstance(error, ArtifactError) and slots.is_whole(self._place, slot):
                self._vote_against(error.message)
            else:  # no fault of the release: it is damaged, which the next update repairs, or a package is missing
                _log.warning("edgeship: %s", error.message)
                self._attempt(self._start.end)  # what serves now says nothing about it
            other = before or self._spare(slot, found)
            if other is None:
                raise
            return other
        self._attempt(self._start.rest)
        return loaded

    def _spare(self, slot: str, found: State) -> _Loaded | None:
        """What lies in the other slot, where that may run."""
        held = state.release(self._place, state.other(slot))
        if held is None or found.has_failed(held.manifest_sha256) or not allowed(held.version, read_seen(self._place)):
            return None
        try:
            return _open(self._place, state.other(slot))
        except EdgeshipError:
            return None

    def _begin(self) -> State:
        """Count this process, where that can be written; the model runs from a read-only disk, too."""
        try:
            self._start.end()
            found = state.read(self._place)
            held = state.release(self._place, found.active)
            settled = found.probation is None and (held is None or held.trusted)
            return found if settled else self._start.begin()
        except (OutputError, StorageFullError, OSError) as error:
            _log.warning("edgeship: the probation is not counted: %s", error)
            return state.read(self._place)

    def _serve(self) -> None:
        self._served += 1
        steady = self._served >= _STEADY_PREDICTIONS or time.monotonic() - self._began >= _STEADY_SECONDS
        if steady and self._start.open:
            self._attempt(self._start.served)

    def _vote_against(self, reason: str) -> None:
        _log.warning("edgeship: a vote against %s: %s", self._place.folder.name, reason)
        self._attempt(self._start.failed)

    def _attempt(self, step: Callable[[], object]) -> None:
        """Write something about the probation where the disk lets us."""
        try:
            step()
        except (OutputError, StorageFullError, OSError) as error:
            _log.warning("edgeship: the probation is not counted: %s", error)

    def _count(
        self, arrays: Mapping[str, Array], seconds: float, outputs: Mapping[str, Array], outside: Mapping[str, Array]
    ) -> None:
        if not self._config.telemetry.on:
            return
        n = len(next(iter(arrays.values())))
        self._recorder.add("prediction_seconds", [seconds / n] * n)
        self._recorder.add("prediction_confidence", inputs.confidence(self._loaded.manifest, outputs))
        for name, counts in outside.items():
            size = inputs.sample_size(arrays, name)
            self._recorder.add("input_outside_share", (int(count) / size for count in counts))
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self._flush()

    def _flush(self) -> None:
        self._flushed = time.monotonic()
        try:
            counted = self._recorder.take()
            telemetry.count_predictions(self._place, self._config, self._loaded.release.version, counted)
        except (EdgeshipError, OSError) as error:
            _log.warning("edgeship: predictions were not counted: %s", error)


def _settings(place: Place) -> Config:
    """What the device was told; where that is damaged, what a device does that was told nothing: it serves."""
    try:
        return configs.read(place)
    except InputError as error:
        _log.warning("edgeship: %s", error)
        return Config(repository="", line="")


def _open(place: Place, slot: str) -> _Loaded:
    """Load what lies in a slot. Raises ArtifactError where it is damaged or cannot be loaded."""
    from edgeship.device.engine import Engine

    held = state.release(place, slot)
    manifest = slots.read_manifest(place, slot)
    entry = next(file for file in manifest.files if file.name == manifest.entry)
    path = slots.file(place, slot, entry.name)
    try:
        # By one handle: what is checked is what is loaded, even if the slot is filled anew in between.
        with path.open("rb") as file:
            same = Path(f"/dev/fd/{file.fileno()}")
            if held is None or not slots.is_file(same, entry.sha256, entry.size_bytes):
                raise slots.damaged(path)
            names = [spec.name for spec in manifest.inputs], [spec.name for spec in manifest.outputs]
            return _Loaded(held, manifest, Engine(str(same), *names))
    except OSError as error:
        raise slots.damaged(path) from error
