"""The units of a board, as systemd reads them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgeship.device import systemd


@pytest.mark.parametrize("name", ["wake-word", "a.b_c", "x" * 64])
def test_units_are_what_systemd_understands(tmp_path: Path, name: str) -> None:
    paths = systemd.install(name, tmp_path)
    assert [path.name for path in paths] == [f"edgeship-{name}.service", f"edgeship-{name}.timer"]
    assert not any("@" in line for path in paths for line in path.read_text().splitlines() if "SystemCall" not in line)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd, for systemd-analyze")
    done = subprocess.run([analyze, "verify", *map(str, paths)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_is_shut_in(tmp_path: Path) -> None:
    """`systemd-analyze security` gives points for what a service could do: 0 nothing, 10 everything."""
    service, _ = systemd.install("wake-word", tmp_path)
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd, for systemd-analyze")
    command = [analyze, "security", "--offline=true", "--threshold=20", str(service)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
