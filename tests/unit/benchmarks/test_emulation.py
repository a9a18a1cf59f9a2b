"""Emulated boards: what is written for them, and what is said where they cannot be."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgeship.errors import InputError, TargetUnavailable
from edgeship_benchmarks.emulation import boards, qemu, root


@pytest.mark.parametrize("cpu", sorted(boards.BOARDS))
def test_the_files_of_a_board(tmp_path: Path, cpu: str) -> None:
    of = boards.board(cpu)
    boards.write(of, boards.State("performance", 700_000, 61.2, "0x50005"), tmp_path)
    system = tmp_path / "sys/devices/system/cpu"
    assert (system / "possible").read_text() == "0-3\n"
    assert (system / "cpu3/cpufreq/scaling_governor").read_text() == "performance\n"
    assert (system / "cpu0/cpufreq/scaling_cur_freq").read_text() == "700000\n"
    assert (tmp_path / "sys/class/thermal/thermal_zone0/temp").read_text() == "61200\n"
    assert (tmp_path / "sys/firmware/devicetree/base/model").read_text() == f"{of.name}\0"
    levels = [(p / "level").read_text().strip() for p in sorted((system / "cpu1/cache").iterdir())]
    assert levels == [str(level) for level, *_ in of.caches]
    assert (tmp_path / "proc/cpuinfo").read_text().count(f"CPU part\t: {of.part:#x}") == 4
    said = subprocess.run([tmp_path / "bin-local/vcgencmd", "get_throttled"], capture_output=True, check=True)
    assert said.stdout == b"throttled=0x50005\n"


def test_unknown_processor() -> None:
    with pytest.raises(InputError, match="'cortex-x9'") as caught:
        boards.board("cortex-x9")
    assert "cortex-a72" in caught.value.remedy


def test_a_layer_has_the_system_and_the_board(tmp_path: Path) -> None:
    system = tmp_path / "system"
    for name in ("usr/bin", "lib", "tmp", "sys", "proc"):
        (system / name).mkdir(parents=True)
    (system / "usr/bin/python3").write_text("program")
    layer = boards.layer(system, boards.board("cortex-a72"))
    assert (layer / "usr/bin/python3").read_text() == "program"
    assert (layer / "sys/devices/system/cpu/present").exists()
    assert not (layer / "tmp").exists()  # a program's temporary files are this machine's
    assert boards.layer(system, boards.board("cortex-a72")) == layer
    assert boards.layer(system, boards.board("cortex-a76")) != layer


def _emulator(folder: Path, version: str) -> None:
    program = folder / qemu.STATIC
    program.write_text(f"#!/bin/sh\necho 'qemu-aarch64 version {version} (Debian)'\n")
    program.chmod(0o755)


def test_an_emulator_that_crashes_in_kernels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qemu.find.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    try:
        with pytest.raises(TargetUnavailable, match="is not installed") as caught:
            qemu.find("qemu-none")
        assert "apt install" in caught.value.remedy
        _emulator(tmp_path, "10.0.2")
        with pytest.raises(TargetUnavailable, match=r"version 10\.0\.2"):
            qemu.find()
        assert "qemu-user-static" in root.missing()
        _emulator(tmp_path, "7.2.22")
        assert qemu.find() == str(tmp_path / qemu.STATIC)
        said = qemu.command(Path("/layer"), "cortex-a72", ["/usr/bin/python3", "x.py"], {"A": "b"}, ("-one-insn",))
        assert said == [
            *(str(tmp_path / qemu.STATIC), "-one-insn", "-cpu", "cortex-a72", "-L", "/layer", "-E", "A=b"),
            *("/layer/usr/bin/python3", "x.py"),
        ]
    finally:
        qemu.find.cache_clear()


def test_sources_of_packages_in_both_formats(tmp_path: Path) -> None:
    modern = tmp_path / "debian.sources"
    modern.write_text(
        "# a comment\nTypes: deb\nURIs: mirror\nSuites: bookworm bookworm-updates\nComponents: main\n\n"
        "Types: deb-src\nURIs: mirror\nSuites: bookworm\nComponents: main\n\n"
        "Types: deb\nURIs: others\nSuites: nodistro\nComponents: main\nArchitectures: amd64\n"
    )
    old = tmp_path / "old.list"
    old.write_text(
        "deb [arch=amd64] mirror bookworm-security main\ndeb others stable main\n# deb mirror bookworm main\n"
    )
    found = list(root.sources([modern, old, tmp_path / "none.list"]))
    assert [line.split() for line in found[1:]] == [["deb", "mirror", "bookworm-security", "main"]]
    assert found[0].splitlines()[1:3] == ["URIs: mirror", "Suites: bookworm bookworm-updates"]
    assert len(found) == 2
