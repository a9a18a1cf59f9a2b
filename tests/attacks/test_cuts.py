"""An update that is killed at any call that changes the disk, and power that fails there: the device serves, and ends
up with the new release."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship.codec import to_json
from edgeship.device import config as configs
from edgeship.device.config import Config, Place, Telemetry
from tests.device_repository import LINE, X, expected, served, weights
from tests.enrolled_device import Device

from . import disks, traces
from .disks import CUTS, Disk
from .guards import GUARDS
from .traces import Call
from .world import PADDING, SEEDS, is_served, make_origin

_ROOT = Path(__file__).parent.parent.parent
_OLD, _NEW = "1.1.0", "1.2.0"
#: Of the points at which an update is cut, `make test` tries every so many.
_STEP = 7
_NEVER = 1 << 30


@dataclass(frozen=True)
class Site:
    """A device with 1.1.0 in one slot and 1.0.0 in the other, which is offered 1.2.0, and the trace of that update.

    Attributes:
        before: the folder of enrolments.
        run: where it was when the trace was made; each cut begins there.
        now: when all was published; commands look at the system's clock.
    """

    before: Path
    run: Path
    config: Config
    now: datetime
    calls: Sequence[Call]

    def reset(self) -> None:
        shutil.rmtree(self.run, ignore_errors=True)
        shutil.copytree(self.before, self.run, symlinks=True)

    def device(self) -> Device:
        return Device(Place(self.run / LINE.model), self.config, self.now)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    traces.needed()
    folder = tmp_path_factory.mktemp("cuts")
    origin = make_origin(folder, now := datetime.now(UTC))
    origin.published.release(_NEW, SEEDS[_NEW], padding=PADDING, compress=False)
    origin.published.rollout(_NEW)
    with served(origin.published.folder / "repo") as server:
        place = Place(folder / "before" / LINE.model)
        shutil.copytree(folder / f"device-{_OLD}", place.folder, symlinks=True)
        telemetry = Telemetry(textfile=place.folder / "metrics.prom")
        config = replace(configs.read(place), repository=server.url, telemetry=telemetry)
        place.config.write_text(to_json(config))
        found = Site(folder / "before", folder / "run", config, now, [])
        found.reset()
        calls = traces.traced(traces.command(found.run), found.run, folder / "logs")
        assert found.device().active == _NEW
        yield replace(found, calls=calls)


def test_an_update_changes_the_disk_at_many_points_and_syncs_what_matters(site: Site) -> None:
    """What the cuts below are made of."""
    found = traces.counted(site.calls)
    assert len(site.calls) > 80
    assert found["fsync"] > 20
    assert {"rename", "openat", "write", "mkdir", "link", "unlink"} <= set(found)


def test_an_update_that_is_killed(site: Site, tmp_path: Path) -> None:
    killed_at(site, site.calls[::_STEP], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_an_update_that_is_killed_at_every_point(site: Site, tmp_path: Path) -> None:
    killed_at(site, site.calls, tmp_path)


def killed_at(site: Site, calls: Sequence[Call], tmp_path: Path) -> None:
    for call in calls:
        site.reset()
        assert traces.killed(traces.command(site.run), call, tmp_path / "log") == str(call)
        found = recovered(site.run, tmp_path / "out.json")
        check_answers(found["before"], (_OLD, _NEW))
        assert found["result"] in ("updated", "current"), call
        check_answers(found["after"], (_NEW,))


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
    is_served(device, (_OLD, _NEW))
    if converge:
        assert device.update().result in ("updated", "current")
        is_served(device, (_NEW,))
