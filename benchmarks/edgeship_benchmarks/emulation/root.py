"""The files of an arm64 Debian, made from packages when first asked for, and kept in the user's cache."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from edgeship import cache
from edgeship.errors import TargetUnavailable, UnavailableError
from edgeship.files import whole_folder
from edgeship.types import Progress, ProgressCallback
from edgeship_benchmarks.boards import wheels
from edgeship_benchmarks.emulation import programs, qemu

#: Of Debian; its packages are taken from where this machine takes its own.
SUITE = "bookworm"
#: The same for people.
DESCRIPTION = "Debian 12, arm64"
#: What that release has.
SYSTEM = wheels.System("3.11", "aarch64", "glibc 2.36")
PYTHON = "/usr/bin/python3.11"
#: Python with what LiteRT and NumPy link to, and what a board has that is reached with ssh.
_PACKAGES = (
    "python3",
    "libstdc++6",
    "libgomp1",
    "libatomic1",
    "openssh-server",
    "dash",
    "bash",
    "coreutils",
    "grep",
    "tar",
    "procps",
)
#: Where a whole system has other file systems (`inside`).
MOUNT_POINTS = ("proc", "sys", "dev", "run", "tmp", "root", "mnt", "home", "var/tmp", "usr/local/bin")
#: What the scripts of base-passwd and openssh-server would have made.
_ACCOUNTS = {
    "etc/passwd": ("root:x:0:0:root:/root:/bin/bash", "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin"),
    "etc/group": ("root:x:0:", "nogroup:x:65534:"),
}
_SECONDS = 900


def missing() -> list[str]:
    """Packages of this machine that making and running need; empty means ready."""
    lacking = [] if shutil.which("mmdebstrap") else ["mmdebstrap"]
    try:
        qemu.find()
    except TargetUnavailable:
        lacking.append("qemu-user-static")
    return lacking


def make(progress: ProgressCallback) -> Path:
    """The folder of the system, made where it is not there yet, whole or not at all (200 MB).

    Raises:
        TargetUnavailable: mmdebstrap or QEMU is missing or does not end, or this machine knows no source of Debian's
            packages.
        UnavailableError: the packages cannot be had, or the system does not run; the last lines are in the message.
        StorageFullError, OutputError: the cache cannot be written.
    """
    place = _place()
    if place.is_dir():
        return place
    emulator = qemu.find()
    if shutil.which("mmdebstrap") is None:
        raise TargetUnavailable("mmdebstrap, which unpacks an arm64 system, is not installed", remedy=qemu.REMEDY)
    apt = Path("/etc/apt")
    entries = "\n\n".join(sources([apt / "sources.list", *sorted((apt / "sources.list.d").glob("*.*"))]))
    if not entries:
        raise TargetUnavailable(
            f"this machine has no source of Debian's packages for {SUITE} in /etc/apt",
            remedy="Emulation needs Debian 12 on this machine.",
        )
    progress(Progress("make an arm64 system", 0, 1))
    with whole_folder(place, keep=True) as folder:
        _unpack(folder, entries)
        for name in MOUNT_POINTS:
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, lines in _ACCOUNTS.items():
            (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
        _verify(folder, emulator)
    progress(Progress("make an arm64 system", 1, 1))
    return place


def is_made() -> bool:
    """Whether the folder of the system is there."""
    return _place().is_dir()


def _place() -> Path:
    key = cache.digest(suite=SUITE, packages=_PACKAGES, points=MOUNT_POINTS, accounts=_ACCOUNTS)
    return cache.root() / "emulation" / key[:40]


def site_packages(progress: ProgressCallback) -> Path:
    """A folder with NumPy and LiteRT for that system, to be its PYTHONPATH. Raises as `make` and `wheels.download`."""
    pins = wheels.pins_for(SYSTEM)
    place = cache.root() / "emulation" / f"site-{wheels.key(pins)}"
    if place.is_dir():
        return place
    found = [wheels.download(pin, SYSTEM, progress) for pin in pins]
    with whole_folder(place, keep=True) as folder:
        for wheel in found:
            with tempfile.TemporaryFile() as packed:
                wheels.write_tar(wheel, packed)
                packed.seek(0)
                with tarfile.open(fileobj=packed, mode="r:gz") as archive:
                    archive.extractall(folder, filter="data")
    return place


def _unpack(folder: Path, entries: str) -> None:
    """Packages are unpacked, not installed: none of their scripts runs."""
    mode = "root" if os.getuid() == 0 else "auto"
    command = ["mmdebstrap", "--quiet", f"--mode={mode}", "--architectures=arm64", "--variant=extract"]
    command += [f"--include={','.join(_PACKAGES)}", SUITE, str(folder), "-"]
    done = programs.run(command, _SECONDS, entries)
    if done.returncode:
        last = "\n".join((done.stdout + done.stderr).strip().splitlines()[-4:])
        raise UnavailableError(
            f"mmdebstrap cannot unpack an arm64 system:\n{last}",
            remedy="It needs the network, and about 200 MB of disk. Does this work? sudo apt-get update",
        )


def _verify(folder: Path, emulator: str) -> None:
    program = [
        emulator,
        "-cpu",
        "cortex-a72",
        "-L",
        str(folder),
        f"{folder}{PYTHON}",
        "-c",
        "import ctypes, json, zlib",
    ]
    done = programs.run(program, 120)
    if done.returncode:
        raise UnavailableError(f"Python of the arm64 system does not run: {done.stderr[-400:]}", remedy="Try again.")


def sources(files: Iterable[Path]) -> Iterator[str]:
    """The entries of apt's configuration files for the suite, in either of the two formats, for any architecture."""
    for file in files:
        if not file.is_file():
            continue
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".sources":
            for paragraph in re.split(r"\n\s*\n", text):
                lines = [line for line in paragraph.splitlines() if not line.startswith("#")]
                if any(re.match(rf"Suites:.*\b{SUITE}", line) for line in lines) and _binary(lines):
                    yield "\n".join(line for line in lines if not line.startswith("Architectures:"))
        else:
            for line in text.splitlines():
                if re.match(rf"deb\s+(\[[^]]*\]\s+)?\S+\s+{SUITE}", line):
                    yield re.sub(r"\[\s*\]\s*", "", re.sub(r"\barch=\S+?(?=[\s\]])", "", line))


def _binary(lines: list[str]) -> bool:
    return any(re.match(r"Types:.*\bdeb\b(?!-)", line) for line in lines)
