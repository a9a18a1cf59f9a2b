"""Disks that are full, read-only, or lose what was not brought down to them; slots and patches."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tests.device_repository import LINE, Published, Server, X, expected, weights
from tests.enrolled_device import LIMITS, Device
from tests.tiny_tflite import model_bytes

from edgeship.device import durable, enrol, slots, state
from edgeship.device.config import Config, Place, Probation
from edgeship.errors import OutputError, StorageFullError, UpdateRefused


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """A small disk, until the block ends."""
    if os.geteuid() != 0:
        pytest.skip("needs root to mount a small file system")
    place.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a small file system here: {done.stderr.decode().strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def small(published: Published, server: Server, tmp_path: Path) -> Iterator[Device]:
    """A device on a disk of 6 MiB, with 1.0.0."""
    with mounted(tmp_path / "disk", "6m") as disk:
        place = Place(disk / "points")
        config = Config(server.url, str(LINE), ("tflite-float32",), limits=LIMITS, probation=Probation(0, 0))
        enrol(place, config, published.root)
        device = Device(place, config)
        device.update()
        yield device


def serves(device: Device, version: str = "1.0.0", seed: int = 1) -> bool:
    with device.model() as model:
        found = model.predict(X)
    np.testing.assert_allclose(found.outputs["probabilities"], expected(X, seed), atol=1e-5)
    return found.version == version


def test_an_update_that_does_not_fit_is_not_begun(small: Device, published: Published, server: Server) -> None:
    published.release("1.1.0", 2, padding=1 << 20)
    published.rollout("1.1.0")
    server.requests.clear()
    with pytest.raises(StorageFullError, match="an update needs"):
        small.update()
    assert not [path for path, _ in server.requests if "model.tflite" in path]
    assert serves(small)


def test_what_is_here_of_a_download_is_not_asked_for_again(
    device: Device, published: Published, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = server.folder / "targets/models" / str(LINE) / "1.0.0/tflite-float32"
    (whole,) = (path for path in folder.rglob("*") if ".model.tflite" in path.name)
    device.place.downloads.mkdir(parents=True, exist_ok=True)
    part = device.place.downloads / f"{whole.name.partition('.')[0]}.part"
    part.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    needed: list[int] = []

    def usage(_: object) -> object:
        return SimpleNamespace(free=needed[0])

    monkeypatch.setattr("edgeship.device.fetching.shutil.disk_usage", usage)
    needed.append(1)
    with pytest.raises(StorageFullError) as full:
        device.update()
    asked = int(re.findall(r"an update needs ([\d,]+)", str(full.value))[0].replace(",", ""))
    needed[0], begun = asked, part.read_bytes()
    part.unlink()
    with pytest.raises(StorageFullError, match="an update needs"):
        device.update()
    part.write_bytes(begun)
    assert device.update().result == "updated"


def test_a_disk_that_fills_up_meanwhile_stops_the_update_only(
    small: Device, published: Published, server: Server
) -> None:
    published.release("1.1.0", 2, padding=1 << 18)
    published.rollout("1.1.0")
    ballast = small.place.folder.parent / "ballast"

    def fill(request: object) -> bool:
        if "/models/" in request.path and "manifest" not in request.path:  # type: ignore[attr-defined]
            try:
                with ballast.open("ab", buffering=0) as file:
                    while file.write(bytes(1 << 16)):
                        pass
            except OSError:
                pass
        return False

    server.trick = fill
    with pytest.raises(StorageFullError, match="the disk is full"):
        small.update()
    assert serves(small)
    assert small.status().active is not None
    server.trick = None
    ballast.unlink()
    assert small.update().result == "updated"
    assert serves(small, "1.1.0", 2)


def test_from_a_read_only_disk_the_model_serves_and_updates_say_why_not(small: Device, published: Published) -> None:
    small.set(probation=Probation(1, 60))
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    small.update()
    subprocess.run(["mount", "-o", "remount,ro", str(small.place.folder.parent)], check=True)
    assert serves(small, "1.1.0", 2)
    with pytest.raises(OutputError, match="Read-only file system"):
        small.update()
    found = small.status()
    assert found.active is not None
    assert any("cannot be written" in problem for problem in found.problems)


def test_files_that_did_not_change_are_not_fetched_again(device: Device, published: Published, server: Server) -> None:
    """Every file of the release is here, under another manifest: nothing but that comes."""
    device.set(probation=Probation(0, 0))
    device.update()
    published.release("1.0.1", 1, budget={"latency_ms": 1000.0})
    published.rollout("1.0.1")
    server.requests.clear()
    assert (device.update().result, device.active) == ("updated", "1.0.1")
    fetched = [path.rpartition("/")[2] for path, _ in server.requests if "/models/" in path]
    assert [name.partition(".")[2] for name in fetched] == ["manifest.json"]


@pytest.mark.parametrize("kind", ["good", "damaged", "wrong base", "another result", "missing"])
def test_a_patch_is_taken_where_it_works_and_the_file_where_not(
    device: Device, published: Published, server: Server, kind: str
) -> None:
    from edgeship.delta import encode

    device.update()
    old = slots.file(device.place, "a", "model.tflite").read_bytes()
    old_sha256 = slots.digest(slots.file(device.place, "a", "model.tflite"))
    noise = np.random.default_rng(2).bytes(20_000)
    new = model_bytes(weights=weights(2)) + noise
    patches = {
        "good": encode(old, new), "damaged": encode(old, new)[:-9] + b"?" * 9, "wrong base": encode(old[:-1], new),
        "another result": encode(old, new[:-1]),
    }  # fmt: skip
    patch = patches.get(kind, patches["good"])
    published.release("1.1.0", 2, padding=20_000, compress=False)
    published.rollout("1.1.0")
    found = published.repository.read().targets.signed.targets
    model = next(target for path, target in found.items() if path.endswith("1.1.0/tflite-float32/model.tflite"))
    name = f"models/points/v1/patches/{old_sha256[:12]}-{model.hashes['sha256'][:12]}.esd"
    published.repository.change(lambda draft: draft.put(name, patch))
    if kind == "missing":
        server.trick = lambda request: ".esd" in request.path and request.answer(404, b"") is None
    server.requests.clear()
    assert device.update().result == "updated"
    paths = [path for path, _ in server.requests]
    assert any(path.endswith(".esd") for path in paths)
    assert any(path.endswith(".model.tflite") for path in paths) == (kind != "good")
    assert serves(device, "1.1.0", 2)


def test_a_stored_file_that_is_not_the_manifest_s_is_refused(device: Device, published: Published) -> None:
    """Signed by mistake: the manifest and the stored file contradict each other."""
    path = "models/points/v1/1.0.0/tflite-float32/model.tflite.zst"
    published.repository.change(lambda draft: draft.put(path, b"something else"))
    with pytest.raises(UpdateRefused, match="not signed as that"):
        device.update()
    assert device.active is None


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    durable.write(tmp_path / "file", b"old")
    with pytest.raises(OutputError):
        durable.write(tmp_path / "missing" / "file", b"new")
    durable.write(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_change_that_fails_changes_nothing(device: Device) -> None:
    device.update()
    before = device.place.state.read_bytes()

    def wrong(_: state.State) -> state.State:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        state.change(device.place, wrong)
    assert device.place.state.read_bytes() == before


def test_a_slot_that_did_not_pass_its_self_test_is_never_run(device: Device, published: Published) -> None:
    """As after a power cut between filling a slot and trying what is in it."""
    device.update()
    published.release("1.1.0", 2)
    published.rollout("1.1.0")
    device.update()
    state.retire(device.place, "b")
    assert device.active == "1.0.0"
    assert serves(device)
    device.place.state.unlink()
    assert serves(device)
    assert (device.update().result, device.active) == ("updated", "1.1.0")
