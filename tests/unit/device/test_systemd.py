"""The units of a board, as systemd reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from edgeship.device import systemd
from edgeship.errors import InputError

SYSTEM = Path("/var/lib/edgeship")


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("needs systemd, for systemd-analyze")
    return subprocess.run([found, *words], capture_output=True, text=True, check=False)


def settings(service: str) -> dict[str, str]:
    """What a unit says, by key; one that is there twice, by its last value."""
    pairs = (line.partition("=") for line in service.splitlines() if line[:1].isalpha())
    return {key: value for key, _, value in pairs}


@pytest.mark.parametrize("name", ["wake-word", "a.b_c", "x" * 64])
@pytest.mark.parametrize("folder", [SYSTEM, Path("/var/lib/other/models"), Path("/srv/models"), None])
def test_units_are_what_systemd_understands(tmp_path: Path, name: str, folder: Path | None) -> None:
    counters = tmp_path / "counters"
    counters.mkdir(mode=0o775)
    counters.chmod(0o775)
    # Those of a service with a /tmp of its own could not be seen from outside: they are refused (see below).
    textfile = counters / "x.prom" if folder is None else None
    made = systemd.units(name, folder=folder or tmp_path / "models", textfile=textfile)
    paths = systemd.install(made, tmp_path / "units")
    assert [path.name for path in paths] == [f"edgeship-{name}.service", f"edgeship-{name}.timer"]
    assert not any("@" in line for path in paths for line in path.read_text().splitlines() if "SystemCall" not in line)
    done = analyze("verify", *map(str, paths))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("folder", [SYSTEM, Path("/srv/models")])
def test_the_service_is_shut_in(tmp_path: Path, folder: Path) -> None:
    """`systemd-analyze security` gives points for what a service could do: 0 nothing, 10 everything."""
    service, _ = systemd.install(systemd.units("wake-word", folder=folder), tmp_path)
    # A service of root is given points for what root could do with its capabilities, of which this one has none.
    threshold = 20 if folder == SYSTEM or os.geteuid() else 25
    done = analyze("security", "--offline=true", f"--threshold={threshold}", str(service))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_folder_of_the_system_is_made_by_systemd() -> None:
    found = settings(systemd.units("wake-word")["edgeship-wake-word.service"])
    assert (found["DynamicUser"], found["StateDirectory"]) == ("yes", "edgeship/wake-word")
    assert found["Environment"] == "EDGESHIP_DEVICE_DIR=/var/lib/edgeship"
    assert "ReadWritePaths" not in found
    other = settings(systemd.units("wake-word", folder=Path("/var/lib/x/y"))["edgeship-wake-word.service"])
    assert (other["StateDirectory"], other["Environment"]) == ("x/y/wake-word", "EDGESHIP_DEVICE_DIR=/var/lib/x/y")


def test_in_a_folder_elsewhere_the_service_is_its_owner_and_may_write_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ProtectSystem=strict makes everything else read-only, and a user that systemd invents owns nothing there."""
    (tmp_path / "wake-word").mkdir()
    monkeypatch.chdir(tmp_path)
    found = settings(systemd.units("wake-word", folder=Path())["edgeship-wake-word.service"])
    assert "DynamicUser" not in found
    assert "StateDirectory" not in found
    assert found["ReadWritePaths"] == f"{tmp_path}/wake-word"
    assert found["Environment"] == f"EDGESHIP_DEVICE_DIR={tmp_path}"
    assert found["User"] == (tmp_path / "wake-word").owner()
    assert found["PrivateTmp"] == ("no" if tmp_path.is_relative_to("/tmp") else "yes")
    elsewhere = settings(systemd.units("wake-word", folder=Path("/srv/models"))["edgeship-wake-word.service"])
    assert elsewhere["PrivateTmp"] == "yes"


def test_counters_go_where_a_group_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_TEMPORARY", ())  # this test's folder is in /tmp
    file = tmp_path / "counters" / "wake-word.prom"
    with pytest.raises(InputError, match="is not there") as caught:
        systemd.units("wake-word", textfile=file)
    assert "install -d -g prometheus -m 2775" in caught.value.remedy
    file.parent.mkdir(mode=0o755)
    with pytest.raises(InputError, match="could not write its counters"):
        systemd.units("wake-word", textfile=file)
    file.parent.chmod(0o2775)
    service = systemd.units("wake-word", textfile=file)["edgeship-wake-word.service"]
    assert settings(service)["ReadWritePaths"] == str(file.parent)
    assert settings(service)["SupplementaryGroups"] == file.parent.group()
    own = systemd.units("wake-word", textfile=SYSTEM / "wake-word" / "x.prom")["edgeship-wake-word.service"]
    assert "ReadWritePaths" not in settings(own)
    mine = systemd.units("wake-word", folder=tmp_path, textfile=file)["edgeship-wake-word.service"]
    assert "SupplementaryGroups" not in settings(mine)  # its owner may write there


def test_what_no_service_could_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="of its own, which no exporter sees"):
        systemd.units("wake-word", textfile=Path("/tmp/wake-word.prom"))
    with pytest.raises(InputError, match="a unit cannot name"):
        systemd.units("wake-word", folder=tmp_path / "my models")
