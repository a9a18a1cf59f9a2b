"""Disks that are full from the start or fill up meanwhile, and those that cannot be written: the model goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgeship.device import durable
from edgeship.device.config import Place
from tests.device_repository import LINE, Handler, X
from tests.enrolled_device import Device

from .world import Origin, World, is_served, world


@pytest.fixture
def small(origin: Origin, tmp_path: Path) -> Iterator[World]:
    """A device with 1.0.0 on a disk of 6 MiB."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.decode().strip()}")
    try:
        with world(origin, tmp_path / "world", "1.0.0") as here:
            shutil.copytree(here.device.place.folder, disk / LINE.model, symlinks=True)
            here.model.close()
            device = Device(Place(disk / LINE.model), here.device.config)
            with device.model() as model:
                yield replace(here, device=device, model=model)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave no room."""
    ballast = disk / "ballast"
    try:
        with ballast.open("ab", buffering=0) as file:
            while file.write(bytes(1 << 12)):
                pass
    except OSError:
        pass
    return ballast


def test_on_a_full_disk_no_update_is_begun(small: World) -> None:
    ballast = fill(small.device.place.folder.parent)
    assert small.attempt().startswith("StorageFullError")
    small.check_serving("1.0.0")
    ballast.unlink()
    assert small.attempt().startswith("updated 1.1.0")


@pytest.mark.parametrize(
    "file", ["timestamp.json", "rollout.json", "v1.json", "manifest.json", ".esd", ".npy", ".tflite"]
)
def test_a_disk_that_fills_up_meanwhile_stops_the_update_only(small: World, file: str) -> None:
    """At every kind of file that an update fetches."""
    disk = small.device.place.folder.parent
    if file in (".npy", ".tflite"):
        for path in small.repo.rglob("*.esd"):
            path.unlink()

    def trick(request: Handler) -> bool:
        if request.path.endswith(file):
            fill(disk)
        return False

    small.server.trick = trick
    found = small.attempt()
    assert found.startswith("StorageFullError: the disk is full") or "an update needs" in found
    small.check_serving("1.0.0")
    small.server.trick = None
    (disk / "ballast").unlink()
    assert small.attempt().startswith("updated 1.1.0")
    small.check_serving("1.1.0")


def test_a_read_only_disk_serves_and_says_why_nothing_is_new(small: World) -> None:
    disk = small.device.place.folder.parent
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        assert small.attempt().startswith("OutputError")
        is_served(small.device, ("1.0.0",))
        assert small.model.predict(X).version == "1.0.0"
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert small.attempt().startswith("updated 1.1.0")


def test_errors_of_the_disk_would_be_none_of_ours_if_they_were_not_typed(
    small: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(small.device.place.folder.parent)

    class Untyped:
        def __init__(self, _: Path) -> None:
            pass

        def __enter__(self) -> None:
            pass

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(durable, "storage", Untyped)
    assert small.attempt().startswith("OSError")
