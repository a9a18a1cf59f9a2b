"""An update that is killed at any call that changes the disk, and power that fails there: the device serves, and ends
up with the new release."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship.codec import to_json
from edgeship.device import config as configs
from edgeship.device import state
from edgeship.device.config import Config, Place, Probation, Telemetry
from edgeship.device.state import Trial
from edgeship.releases.moments import text_of
from tests.device_repository import LINE, X, expected, served, weights
from tests.enrolled_device import Device

from . import disks, traces
from .disks import CUTS, Disk
from .guards import GUARDS
from .traces import Call
from .world import PADDING, SEEDS, Origin, is_served, make_origin

_ROOT = Path(__file__).parent.parent.parent
_OLD, _NEW = "1.1.0", "1.2.0"
#: Of the points at which an update is cut, `make test` tries every so many.
_STEP = 10
_NEVER = 1 << 30
_NONE = Probation(0, 0)


@dataclass(frozen=True)
class Case:
    """How it stands with a device when an update of it is cut.

    Attributes:
        prepare: makes it so, of a device that runs 1.1.0 and has 1.0.0 beside it.
        offered: what the repository has for it.
        serves: what it may serve after a cut.
        probation: of its config.
    """

    prepare: Callable[[Device], None] = lambda device: None
    offered: str = _NEW
    serves: tuple[str, ...] = (_OLD, _NEW)
    probation: Probation = _NONE


def in_probation(device: Device) -> None:
    """Its hour has passed, one process has served, and another died: the update ends the probation, and begins one."""
    held = state.release(device.place, "b")
    assert held is not None
    state.accept(device.place, "b", replace(held, trusted=False))
    trial = Trial(text_of(device.now - timedelta(hours=2)), starts=1)
    state.change(device.place, lambda found: replace(found, probation=trial))
    device.place.starts.mkdir(exist_ok=True)
    (device.place.starts / f"{held.manifest_sha256[:16]}-dead").touch()


def damaged(slot: str) -> Callable[[Device], None]:
    def prepare(device: Device) -> None:
        file = device.place.slot(slot) / "files" / "model.tflite"
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content[: len(content) // 2])

    return prepare


PLAIN = Case()
HARD = {
    "while a probation ends and another begins": Case(in_probation, probation=Probation(starts=1, minutes=60)),
    "while the slot that should run is damaged": Case(damaged("b"), serves=("1.0.0", _NEW)),
    "while the release to go back to is mended": Case(damaged("a"), _OLD, (_OLD,)),
}


@dataclass(frozen=True)
class Site:
    """A device that an update is offered to, and the trace of that update.

    Attributes:
        before: the folder of enrolments.
        run: where it was when the trace was made; each cut begins there.
        now: when all was published; commands look at the system's clock.
    """

    before: Path
    run: Path
    config: Config
    now: datetime
    case: Case
    calls: Sequence[Call]

    def reset(self) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.copytree(self.before, self.run, symlinks=True)

    def device(self) -> Device:
        return Device(Place(self.run / LINE.model), self.config, self.now)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """Whose repository offers 1.2.0; `repo-before`: 1.1.0."""
    traces.needed()
    made = make_origin(tmp_path_factory.mktemp("cuts"), datetime.now(UTC))
    made.published.release(_NEW, SEEDS[_NEW], padding=PADDING, compress=False)
    made.published.snapshot("repo-before")
    made.published.rollout(_NEW)
    return made


@contextmanager
def traced_site(origin: Origin, case: Case, folder: Path) -> Iterator[Site]:
    with served(origin.published.folder / ("repo" if case.offered == _NEW else "repo-before")) as server:
        place = Place(folder / "before" / LINE.model)
        shutil.copytree(origin.folder / f"device-{_OLD}", place.folder, symlinks=True)
        telemetry = Telemetry(textfile=place.folder / "metrics.prom")
        made = configs.read(place)
        config = replace(made, repository=server.url, telemetry=telemetry, probation=case.probation)
        place.config.write_text(to_json(config))
        now = origin.published.now
        case.prepare(Device(place, config, now))
        found = Site(folder / "before", folder / "run", config, now, case, [])
        found.reset()
        calls = traces.traced(traces.command(found.run), found.run, folder / "logs")
        check_end(found.device(), case)
        yield replace(found, calls=calls)


@pytest.fixture(scope="module")
def site(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The device runs 1.1.0, and is offered 1.2.0."""
    with traced_site(origin, PLAIN, tmp_path_factory.mktemp("plain")) as made:
        yield made


@pytest.fixture(scope="module", params=HARD)
def hard(request: pytest.FixtureRequest, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with traced_site(origin, HARD[request.param], tmp_path_factory.mktemp("hard")) as made:
        yield made


def check_end(device: Device, case: Case) -> None:
    """It runs what it was offered, nothing is wrong, and a new release is in probation whatever was cut."""
    found = device.status()
    assert device.active == case.offered
    assert found.problems == ()
    if case.probation.minutes:
        assert found.probation is not None
        assert found.active is not None
        assert not found.active.trusted


def test_an_update_changes_the_disk_at_many_points_and_syncs_what_matters(site: Site) -> None:
    """What the cuts below are made of."""
    found = traces.counted(site.calls)
    assert len(site.calls) > 80
    assert found["fsync"] > 20
    assert {"rename", "openat", "write", "mkdir", "link", "unlink"} <= set(found)


def test_an_update_that_is_killed(site: Site, tmp_path: Path) -> None:
    killed_at(site, site.calls[::_STEP], tmp_path)


def test_an_update_that_is_killed_when_all_is_not_well(hard: Site, tmp_path: Path) -> None:
    """At two points; power that fails is cheaper to try (below)."""
    assert len(hard.calls) > 15
    killed_at(hard, hard.calls[len(hard.calls) // 3 :: len(hard.calls) // 2], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_an_update_that_is_killed_at_every_point(site: Site, tmp_path: Path) -> None:
    killed_at(site, site.calls, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_an_update_that_is_killed_at_every_point_when_all_is_not_well(hard: Site, tmp_path: Path) -> None:
    killed_at(hard, hard.calls, tmp_path)


def killed_at(site: Site, calls: Sequence[Call], tmp_path: Path) -> None:
    for call in calls:
        site.reset()
        assert traces.killed(traces.command(site.run), call, tmp_path / "log") == str(call)
        found = recovered(site.run, tmp_path / "out.json")
        check_answers(found["before"], site.case.serves)
        assert found["result"] in ("updated", "current"), call
        check_answers(found["after"], (site.case.offered,))
        check_end(site.device(), site.case)


def recovered(folder: Path, out: Path) -> Any:
    """What a process says that starts afterwards (`recover`)."""
    command = [sys.executable, "-m", "tests.attacks.recover", str(folder), str(out)]
    done = subprocess.run(command, cwd=_ROOT, env=traces.environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(out.read_text())


def check_answers(found: Any, versions: tuple[str, ...]) -> None:
    assert found["version"] in versions
    np.testing.assert_allclose(found["outputs"], expected(X, SEEDS[found["version"]]), atol=1e-5)


def test_power_that_fails(site: Site) -> None:
    """At every point the device serves; at some of them it is seen to go on to the new release."""
    count = cut_at(site, range(len(site.calls) + 1), list(CUTS.values()), converge_each=2 * _STEP)
    assert count > 50


def test_power_that_fails_when_all_is_not_well(hard: Site) -> None:
    points = range(0, len(hard.calls) + 1, 5)
    assert cut_at(hard, points, list(CUTS.values()), converge_each=2 * _STEP) > 5


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_power_that_fails_at_every_point_in_every_way_when_all_is_not_well(hard: Site) -> None:
    ways = [*CUTS.values(), *(disks.by_chance(seed) for seed in range(20))]
    assert cut_at(hard, range(len(hard.calls) + 1), ways, converge_each=1) > 50


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_power_that_fails_at_every_point_in_every_way(site: Site) -> None:
    ways = [*CUTS.values(), *(disks.by_chance(seed) for seed in range(20))]
    assert cut_at(site, range(len(site.calls) + 1), ways, converge_each=1) > 500


def test_without_syncs_and_checks_a_cut_is_found(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either alone is enough: a file that did not last is not loaded, and what is loaded has lasted."""
    unsynced = replace(site, calls=[call for call in site.calls if call.name != "fsync"])
    points = range(len(unsynced.calls) - 20, len(unsynced.calls))
    learned = weights(SEEDS[_NEW]).tobytes()

    def torn(node: disks.Node) -> bytes:
        """A block of the model did not come to the disk: a file that LiteRT opens."""
        return node.content if node.kept == node.content else node.content.replace(learned, bytes(len(learned)))

    ways = [(CUTS["names last, contents are zeros"][0], torn)]
    cut_at(unsynced, points, ways, converge_each=_NEVER)
    GUARDS["content of files"](monkeypatch)
    cut_at(site, points, ways, converge_each=_NEVER)
    with pytest.raises(AssertionError):
        cut_at(unsynced, points, ways, converge_each=_NEVER)


def cut_at(
    site: Site, points: Sequence[int], ways: Sequence[tuple[disks.Names, disks.Content]], *, converge_each: int
) -> int:
    """Cut the power before each of the calls; how many different disks that has left."""
    site.reset()
    disk, known = Disk(site.run), set[str]()
    for point in range(points[-1] + 1):
        for names, content in ways if point in points else ():
            found = disk.after_a_cut(names, content)
            if disks.digest(found) in known:
                continue
            known.add(disks.digest(found))
            check_disk(site, found, converge=len(known) % converge_each == 0)
        if point < len(site.calls):
            disk.apply(site.calls[point])
    return len(known)


def check_disk(site: Site, found: dict[str, bytes | None], *, converge: bool) -> None:
    """A device that starts from this disk serves, and gets the new release."""
    shutil.rmtree(site.run)
    disks.write(found, site.run)
    device = site.device()
    is_served(device, site.case.serves)
    if converge:
        assert device.update().result in ("updated", "current")
        is_served(device, (site.case.offered,))
        check_end(device, site.case)
