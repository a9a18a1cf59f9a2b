"""Every file of the device's folder zeroed, emptied, replaced by garbage, cut off, or lost: it serves, and heals."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgeship.device import config as configs
from edgeship.device import enrol, roll_back, state
from edgeship.device.config import Place, Probation
from edgeship.device.probation import settle
from edgeship.device.state import Trial
from edgeship.errors import InputError
from edgeship.releases.moments import text_of
from tests.device_repository import LINE, NOW, X
from tests.enrolled_device import Device

from .guards import GUARDS
from .world import Origin, World, is_served, world

_DAMAGES: dict[str, Callable[[Path], object]] = {
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "emptied": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(b'{"active": [' + bytes(range(256)) * 4),
    "cut off": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "lost": lambda path: path.unlink(),
}
#: Files by which a device knows whom to believe: they are not made up, but given again.
_ANCHORS = ("config.json", "root.json")


@pytest.fixture
def here(origin: Origin, tmp_path: Path) -> Iterator[World]:
    """A device with 1.1.0, and 1.0.0 in the other slot."""
    with world(origin, tmp_path, "1.1.0") as found:
        yield found


def files(folder: Path) -> list[str]:
    """Those of an enrolment, symbolic links left out."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sorted(str(path.relative_to(folder)) for path in found)


def again(here: World, kept: Path) -> None:
    """The device as it was."""
    shutil.rmtree(here.device.place.folder)
    shutil.copytree(kept, here.device.place.folder, symlinks=True)
    here.device.place.state.touch()  # as every writer does


@pytest.fixture
def kept(here: World, tmp_path: Path) -> Path:
    return Path(shutil.copytree(here.device.place.folder, tmp_path / "kept", symlinks=True))


@pytest.mark.parametrize("damage", _DAMAGES)
def test_a_damaged_file_costs_no_service_and_heals(here: World, kept: Path, damage: str) -> None:
    names = files(kept)
    assert len(names) > 15
    for name in names:
        again(here, kept)
        path = here.device.place.folder / name
        content = path.read_bytes()
        _DAMAGES[damage](path)
        changed = not path.exists() or path.read_bytes() != content
        versions = ("1.1.0", "1.0.0") if name.startswith("b/") else ("1.1.0",)
        assert here.model.predict(X).version in versions
        is_served(here.device, versions)
        if Path(name).name in _ANCHORS and len(Path(name).parts) == 1 and changed:
            given_again(here)
        assert here.attempt().startswith(("current 1.1.0", "updated 1.1.0")), name
        is_served(here.device, ("1.1.0",))
        assert here.is_honest()


def given_again(here: World) -> None:
    """What a person does, told by the error: the same enrolment once more; the slots stay."""
    assert "device init" in here.attempt()
    enrol(here.device.place, here.device.config, here.published.root)


@pytest.mark.parametrize("folder", ["tuf", "documents", "downloads", "starts", "a", "b"])
def test_a_lost_folder_costs_no_service_and_heals(here: World, folder: str) -> None:
    shutil.rmtree(here.device.place.folder / folder)
    is_served(here.device, ("1.0.0",) if folder == "b" else ("1.1.0",))
    assert here.attempt().startswith(("current 1.1.0", "updated 1.1.0"))
    is_served(here.device, ("1.1.0",))


def test_a_damaged_model_would_be_loaded_if_it_were_not_checked(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file = here.device.place.slot("b") / "files" / "model.tflite"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    is_served(here.device, ("1.0.0",))
    GUARDS["content of files"](monkeypatch)
    is_served(here.device, ("1.1.0",))


@pytest.mark.parametrize("damage", _DAMAGES)
@pytest.mark.parametrize("name", ["release.json", "manifest.json", "files/model.tflite"])
def test_nobody_goes_back_to_a_damaged_release(here: World, name: str, damage: str) -> None:
    """By hand, or because processes died with the one that runs: that goes on."""
    _DAMAGES[damage](here.device.place.slot("a") / name)
    with pytest.raises(InputError, match=r"no release to go back to|the release to go back to, is damaged"):
        roll_back(here.device.place, "by hand")
    here.device.set(probation=Probation(starts=1, minutes=60, failures=1))
    state.change(here.device.place, lambda found: replace(found, probation=Trial(text_of(NOW), failures=1)))
    assert settle(here.device.place, here.device.config, NOW).active == "b"
    is_served(here.device, ("1.1.0",))


def test_what_is_damaged_is_put_right_in_its_own_slot(here: World) -> None:
    """The other one serves meanwhile, and is there afterwards."""
    here.device.place.slot("b").joinpath("files/model.tflite").write_bytes(b"")
    assert here.attempt().startswith("updated 1.1.0")
    held = {slot: state.release(here.device.place, slot) for slot in state.SLOTS}
    assert {slot: found and found.version for slot, found in held.items()} == {"a": "1.0.0", "b": "1.1.0"}
    here.check_slots()


def test_damage_is_no_fault_of_a_release_in_probation(here: World) -> None:
    here.device.set(probation=Probation(starts=1, minutes=60, failures=1))
    state.change(here.device.place, lambda found: replace(found, probation=Trial(text_of(NOW))))
    here.device.place.slot("b").joinpath("files/model.tflite").write_bytes(b"")
    is_served(here.device, ("1.0.0",))
    found = state.read(here.device.place)
    assert found.failed == ()
    assert here.attempt().startswith("updated 1.1.0")
    is_served(here.device, ("1.1.0",))


def test_a_device_whose_folder_is_gone_says_what_to_do(here: World) -> None:
    shutil.rmtree(here.device.place.folder)
    with pytest.raises(InputError, match="enrolled"):
        Device(here.device.place, here.device.config).model()
    assert here.model.predict(X).version == "1.1.0"


@pytest.mark.parametrize("line", ["../points/v1", "points/../../v1", "/points/v1", "points/v1/..", "points/v01"])
def test_a_line_that_is_a_path_enrols_nobody(here: World, line: str, tmp_path: Path) -> None:
    config = configs.Config(here.server.url, line, ("tflite-float32",))
    with pytest.raises(InputError, match=r"name of a model|no line of releases"):
        enrol(Place(tmp_path / "device" / "other"), config, here.published.root)
    assert not (tmp_path / "device" / "other").exists()
    assert LINE.model in {path.name for path in (tmp_path / "device").iterdir()}


@pytest.mark.parametrize("name", ["..", "../device/points", "/etc", ".hidden", ""])
def test_a_name_that_is_a_path_is_no_enrolment(here: World, name: str) -> None:
    with pytest.raises(InputError):
        configs.enrolled(name, here.device.place.folder.parent)
