"""Instructions of an inference, counted by a plugin of the emulator (`instructions.c`), compiled when first needed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import median_low

from edgeship import cache
from edgeship.errors import TargetUnavailable, UnavailableError
from edgeship.files import whole_folder
from edgeship.types import Instructions
from edgeship_benchmarks.emulation import programs, qemu

#: Dynamically linked: the only one that takes plugins.
EMULATOR = "qemu-aarch64"
#: In the order of `instructions.c`.
CLASSES = ("load and store", "float and vector", "integer", "branch", "other")
_SOURCE = Path(__file__).with_name("instructions.c")
_REMEDY = "On Debian 12: sudo apt install qemu-user gcc libc6-dev"
_SECONDS = 60


def plugin() -> Path:
    """The compiled plugin, made once for each of its sources. Raises TargetUnavailable with what is missing."""
    try:
        qemu.find(EMULATOR)
    except TargetUnavailable as error:
        raise TargetUnavailable(error.message, remedy=_REMEDY) from error
    content = _SOURCE.read_bytes()
    place = cache.root() / "emulation" / f"plugin-{cache.digest(source=content.hex())[:40]}"
    if not place.is_dir():
        compiler = shutil.which("cc")
        if compiler is None:
            raise TargetUnavailable("counting instructions needs a C compiler, cc", remedy=_REMEDY)
        with whole_folder(place, keep=True) as folder:
            command = [compiler, "-shared", "-fPIC", "-O2", "-fvisibility=hidden"]
            command += ["-o", str(folder / "instructions.so"), str(_SOURCE)]
            done = programs.run(command, _SECONDS)
            if done.returncode:
                raise TargetUnavailable(f"{compiler} cannot compile the plugin: {done.stderr[-400:]}", remedy=_REMEDY)
    return place / "instructions.so"


def options(out: Path) -> list[str]:
    """Options of the emulator that count into the file `out`. Raises TargetUnavailable."""
    for path in (plugin(), out):
        if "," in str(path):  # which QEMU takes for the end of the path
            raise TargetUnavailable(f"{path} has a comma", remedy="Set EDGESHIP_CACHE and TMPDIR to paths without one.")
    return ["-plugin", f"{plugin()},out={out}"]


def read(out: Path) -> list[tuple[int, ...]]:
    """Instructions of each inference, by class. Raises UnavailableError for a file that the plugin did not write."""
    try:
        found = [tuple(map(int, line.split())) for line in out.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError) as error:
        raise UnavailableError(f"the emulator's plugin left no counts: {error}") from error
    if any(len(counts) != len(CLASSES) or min(counts) < 0 for counts in found):
        raise UnavailableError("the emulator's plugin left counts that make no sense")
    return found


def instructions(counts: Sequence[tuple[int, ...]]) -> Instructions:
    """What repeated counts of one and the same inference say. Raises UnavailableError where nothing was counted."""
    totals = [sum(each) for each in counts]
    if not totals or not min(totals):
        raise UnavailableError("the emulator's plugin counted no inference")
    middle = sorted(counts, key=sum)[(len(counts) - 1) // 2]
    by_class = {name: number for name, number in zip(CLASSES, middle, strict=True) if number}
    return Instructions(median_low(totals), by_class, len(totals), max(totals) / min(totals) - 1)
