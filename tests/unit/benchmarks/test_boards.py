"""What is put on a board: which wheels, what of them, for which system."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zipfile
from pathlib import Path

import pytest

from edgeship.errors import TargetUnavailable, UnavailableError
from edgeship_benchmarks.boards import preparing, wheels
from edgeship_benchmarks.boards.pins import PINS
from edgeship_benchmarks.transports import lease
from edgeship_benchmarks.transports.lease import Board

_LOCK = (Path(__file__).parents[3] / "requirements/base.txt").read_text()
#: What the lock does not have (see pins.py): NumPy for Python 3.10 and the runtime of 32-bit systems.
_UNLOCKED = {"numpy==2.2.6", "tflite-runtime==2.14.0"}


def _locked(requirement: str) -> str:
    """The part of the lock with the hashes of a requirement; empty where it is not locked."""
    found = re.search(rf"^{re.escape(requirement)}[ \\][^\n]*\n((?: +--hash[^\n]*\n?)+)", _LOCK, re.MULTILINE)
    return "" if found is None else found[1]


@pytest.mark.parametrize("pin", PINS, ids=lambda pin: f"{pin.requirement}-{pin.python}-{pin.machine}")
def test_versions_and_hashes_are_those_of_the_lock(pin: wheels.Pin) -> None:
    if pin.requirement in _UNLOCKED:
        assert not _locked(pin.requirement), "it is locked now: remove it here, and its word in pins.py"
    else:
        assert f"sha256:{pin.sha256}" in _locked(pin.requirement)


def test_each_system_has_one_runtime() -> None:
    systems = {(pin.python, pin.machine) for pin in PINS}
    for python, machine in systems:
        found = wheels.pins_for(wheels.System(python, machine, "glibc 2.36"))
        names = [pin.requirement.partition("==")[0] for pin in found]
        assert names == (["tflite-runtime"] if machine == "armv7l" else ["ai-edge-litert", "numpy"])
        assert wheels.key(found).startswith(f"python{python}-{machine}-")
    assert len({wheels.key(wheels.pins_for(wheels.System(*s, "glibc 2.36"))) for s in systems}) == len(systems)


@pytest.mark.parametrize(
    ("system", "words", "remedy"),
    [
        (wheels.System("3.11", "armv6l", "glibc 2.36"), "architecture armv6l", "a Pi 1, a Zero"),
        (wheels.System("3.11", "aarch64", ""), "C library is unknown", "glibc"),
        (wheels.System("3.11", "aarch64", "musl 1.2"), "C library is musl 1.2", "glibc"),
        (wheels.System("3.9", "aarch64", "glibc 2.31"), "Python 3.9 on aarch64", "3.10, 3.11, 3.12, 3.13, 3.14"),
        (wheels.System("3.13", "armv7l", "glibc 2.41"), "Python 3.13 on armv7l", "Python 3.11:"),
    ],
)
def test_systems_without_a_runtime(system: wheels.System, words: str, remedy: str) -> None:
    with pytest.raises(TargetUnavailable, match=words) as caught:
        wheels.pins_for(system)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("machine", "bits", "expected"),
    [("aarch64", "64", "aarch64"), ("aarch64", "32", "armv7l"), ("armv7l", "32", "armv7l"), ("armv6l", "32", "armv6l")],
)
def test_the_interpreter_counts_and_not_the_kernel(machine: str, bits: str, expected: str) -> None:
    board = Board("/folder", "/cache", machine, "/usr/bin/python3", "3.11", bits, "glibc 2.36")
    assert preparing.system_of(board, "ssh://pi").machine == expected


def test_a_python_that_is_missing_or_broken() -> None:
    with pytest.raises(TargetUnavailable, match="has no Python 3"):
        preparing.system_of(Board("/folder", "/cache", "aarch64"), "ssh://pi")
    with pytest.raises(TargetUnavailable, match="does not run"):
        preparing.system_of(Board("/folder", "/cache", "aarch64", "/usr/bin/python3"), "ssh://pi")


def _wheel(folder: Path, names: tuple[str, ...]) -> Path:
    path = folder / "x-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, name.encode())
    return path


def test_what_is_unpacked_on_a_board(tmp_path: Path) -> None:
    packed = io.BytesIO()
    left_out = "ai_edge_litert/libLiteRtWebGpuAccelerator.so"
    size = wheels.write_tar(_wheel(tmp_path, ("numpy/__init__.py", left_out, "ai_edge_litert/x.so")), packed)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(packed.getvalue()))) as archive:
        members = archive.getmembers()
    assert [m.name for m in members] == ["numpy/__init__.py", "ai_edge_litert/x.so"]
    assert all(m.isreg() and m.mode == 0o644 for m in members)
    assert size == sum(m.size for m in members)


@pytest.mark.parametrize("name", ["../.bashrc", "/etc/passwd", "a/../../b"])
def test_names_that_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnavailableError, match=re.escape(repr(name))):
        wheels.write_tar(_wheel(tmp_path, (name,)), io.BytesIO())


_SAID = {"folder": "/tmp/edgeship-run.1.abc", "cache": "/home/pi/.cache/edgeship", "machine": "aarch64"}


def test_what_a_lease_says() -> None:
    python = {"python": "/usr/bin/python3", "version": "3.11", "bits": "64", "libc": "glibc 2.36"}
    assert lease.read({**_SAID, **python}, "pi") == Board(*_SAID.values(), *python.values())
    assert lease.read({**_SAID, "python": "", "version": "3.11; rm"}, "pi") == Board(*_SAID.values())


@pytest.mark.parametrize("bad", [{"folder": ""}, {"folder": "x"}, {"cache": "/" * 2000}, {"machine": "a b"}])
def test_what_no_lease_says(bad: dict[str, str]) -> None:
    with pytest.raises(TargetUnavailable, match=f"pi gave .* for its {next(iter(bad))}"):
        lease.read({**_SAID, **bad}, "pi")
