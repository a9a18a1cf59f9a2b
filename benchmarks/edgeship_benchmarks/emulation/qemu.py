"""QEMU's emulator of arm64 programs."""

from __future__ import annotations

import functools
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgeship.errors import TargetUnavailable
from edgeship_benchmarks.emulation import programs

#: Newer ones crash in LiteRT's kernels (10.0.2 at the first inference, on every processor that was tried).
VERSION = "7.2"
#: Statically linked: the one that also works inside a chroot.
STATIC = "qemu-aarch64-static"
REMEDY = "On Debian 12: sudo apt install qemu-user-static mmdebstrap"


@functools.cache
def find(name: str = STATIC) -> str:
    """Path of the emulator. Raises TargetUnavailable where it is not there, says nothing, or is of another version."""
    path = shutil.which(name)
    if path is None:
        raise TargetUnavailable(f"{name}, QEMU's emulator of arm64 programs, is not installed", remedy=REMEDY)
    said = programs.run([path, "--version"], 30).stdout
    version = re.search(r"version (\d+\.\d+)", said)
    if version is None or version[1] != VERSION:
        found = said.splitlines()[0] if said else "no version"
        raise TargetUnavailable(
            f"{name} is {found}; LiteRT's kernels are known to run right in {VERSION} only", remedy=REMEDY
        )
    return path


def command(
    layer: Path,
    cpu: str,
    program: Sequence[str],
    env: Mapping[str, str],
    options: Sequence[str] = (),
    name: str = STATIC,
) -> list[str]:
    """The command that runs one program of an arm64 system; it needs no rights.

    A program that starts others can only start those of this machine; see `inside` for a whole system.

    Args:
        layer: the system as `boards.layer` makes it.
        cpu: which processor, `cortex-a72`. QEMU's default is wrong in int8 kernels.
        program: absolute path inside the system, and arguments. Paths of this machine that are not in the system stay
            what they are.
        env: for the program.
        options: more of the emulator's own.
        name: of the emulator.
    """
    settings = [part for key, value in env.items() for part in ("-E", f"{key}={value}")]
    start = f"{layer}{program[0]}"
    return [find(name), *options, "-cpu", cpu, "-L", str(layer), *settings, start, *program[1:]]
