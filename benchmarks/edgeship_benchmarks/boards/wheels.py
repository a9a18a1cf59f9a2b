"""The runtime of a board as files: wheels that pip downloads here for the board's Python, unpacked without pip.

So the board needs no internet, no pip and no compiler.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from edgeship import cache
from edgeship.errors import MissingPackageError, TargetUnavailable, UnavailableError
from edgeship.files import whole_folder
from edgeship.types import Progress, ProgressCallback
from edgeship_benchmarks.boards.pins import PINS, Pin

#: Not unpacked: the GPU accelerator of LiteRT's other interface, which the agent never loads. It is 17 MB, and built
#: for processors with LSE atomics, which those of a Raspberry Pi 3 and 4 do not have.
LEFT_OUT = ("ai_edge_litert/libLiteRtWebGpuAccelerator.so",)

_SECONDS = 900
#: The oldest C library that wheels are tagged for (PEP 600).
_OLDEST_GLIBC = 17


@dataclass(frozen=True)
class System:
    """What decides which wheels fit.

    Attributes:
        python: version of the interpreter, `3.11`.
        machine: of the interpreter, not of the kernel: `aarch64`, `armv7l`, `x86_64`.
        libc: `glibc 2.36`; another one, or an unknown one, takes no wheels.
    """

    python: str
    machine: str
    libc: str


def pins_for(system: System) -> tuple[Pin, ...]:
    """The wheels of the runtime for a system. Raises TargetUnavailable, saying for which systems there are some."""
    found = tuple(p for p in PINS if (p.python, p.machine) == (system.python, system.machine))
    machines = sorted({pin.machine for pin in PINS})
    if system.machine not in machines:
        raise TargetUnavailable(
            f"no LiteRT runtime exists for the architecture {system.machine}",
            remedy=f"There are wheels for Linux on {', '.join(machines)}. A Raspberry Pi 3 or newer with the 64-bit "
            "Raspberry Pi OS is aarch64; a Pi 1, a Zero or a Zero W cannot be measured.",
        )
    if not re.fullmatch(r"glibc 2\.\d{1,3}", system.libc):
        raise TargetUnavailable(
            f"the board's C library is {system.libc or 'unknown'}; LiteRT's wheels need glibc",
            remedy="Use a system with glibc, such as Raspberry Pi OS, Debian or Ubuntu.",
        )
    if not found:
        known = ", ".join(dict.fromkeys(pin.python for pin in PINS if pin.machine == system.machine))
        raise TargetUnavailable(
            f"no LiteRT runtime exists for Python {system.python} on {system.machine}",
            remedy=f"There it needs Python {known}: Raspberry Pi OS bookworm has 3.11, trixie 3.13.",
        )
    return found


def key(pins: Sequence[Pin]) -> str:
    """Names a runtime: the same for the same wheels, so that what is on a board is found again."""
    named = f"python{pins[0].python}-{pins[0].machine}"
    return f"{named}-{hashlib.sha256('/'.join(pin.sha256 for pin in pins).encode()).hexdigest()[:12]}"


def download(pin: Pin, system: System, progress: ProgressCallback) -> Path:
    """The wheel in this machine's cache, downloaded by pip where it is not there yet.

    Raises MissingPackageError without pip, UnavailableError where pip fails (its last lines are in the message),
    StorageFullError, OutputError.
    """
    place = cache.root() / "wheels" / pin.sha256[:40]
    if not place.is_dir():
        progress(Progress(f"download {pin.requirement}", 0, 1))
        with whole_folder(place, keep=True) as folder:
            _pip_download(pin, system, folder)
        progress(Progress(f"download {pin.requirement}", 1, 1))
    (wheel,) = place.glob("*.whl")
    return wheel


def _pip_download(pin: Pin, system: System, folder: Path) -> None:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
    newest = int(system.libc.rpartition(".")[2])
    tags = [f"manylinux_2_{minor}_{pin.machine}" for minor in range(newest, _OLDEST_GLIBC - 1, -1)]
    platforms = [part for tag in (*tags, f"manylinux2014_{pin.machine}") for part in ("--platform", tag)]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "--python-version", pin.python, *platforms]
    command += ["--dest", str(folder), "--requirement", str(wanted)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"pip did not finish within {_SECONDS} s", remedy="Try again.") from error
    wanted.unlink()
    if "No module named pip" in done.stderr:
        raise MissingPackageError(
            f"pip, which downloads {pin.requirement} for the board, is not in this environment",
            remedy=f"Get it: {sys.executable} -m ensurepip",
        )
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-4:])
        raise UnavailableError(
            f"pip cannot download {pin.requirement} for {system.python} on {system.machine}, {system.libc}:\n{last}",
            remedy="This machine needs its package index, or a folder of wheels in PIP_FIND_LINKS, for that; the "
            "board needs neither.",
        )


def write_tar(wheel: Path, file: IO[bytes]) -> int:
    """What a wheel unpacks to, as a compressed tar archive; returns the bytes it takes unpacked.

    Names that lead out of the folder are refused with UnavailableError: the hash says who made the wheel, not what is
    in it.
    """
    total = 0
    # Level 1: a board takes it in faster than it could be made smaller.
    with (
        zipfile.ZipFile(wheel) as packed,
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=1, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w|") as archive,
    ):
        for entry in packed.infolist():
            name = PurePosixPath(entry.filename)
            if entry.is_dir() or entry.filename in LEFT_OUT:
                continue
            if name.is_absolute() or ".." in name.parts:
                raise UnavailableError(f"{wheel.name} holds {entry.filename!r}", remedy="Do not use this wheel.")
            member = tarfile.TarInfo(str(name))
            member.size, member.mode = entry.file_size, 0o644
            archive.addfile(member, io.BytesIO(packed.read(entry)))
            total += entry.file_size
    return total
