"""What programs read of a board under /sys and /proc, for boards that are emulated.

LiteRT asks these files how many cores there are and which caches they share. Those of an x86 machine make it crash in
an emulated program. Our agent reads the governor, the clock and the temperature there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgeship.errors import InputError
from edgeship.files import whole_folder
from edgeship_benchmarks.emulation.root import MOUNT_POINTS


@dataclass(frozen=True)
class Board:
    """A Raspberry Pi as Linux describes it.

    Attributes:
        name: of the model.
        cpu: QEMU's name of its processor.
        part: number of the processor design (MIDR_EL1, Arm's technical reference manuals).
        features: as /proc/cpuinfo lists them.
        caches: level, type, KiB, and whether all cores share it.
    """

    name: str
    cpu: str
    part: int
    features: str
    min_khz: int
    max_khz: int
    caches: tuple[tuple[int, str, int, bool], ...]
    cores: int = 4


_BASE = "fp asimd evtstrm crc32 cpuid"
#: By the emulator's name of the processor.
BOARDS = {
    board.cpu: board
    for board in (
        Board(
            "Raspberry Pi 3 Model B Plus Rev 1.3",
            "cortex-a53",
            0xD03,
            _BASE,
            600_000,
            1_400_000,
            ((1, "Data", 32, False), (1, "Instruction", 32, False), (2, "Unified", 512, True)),
        ),
        Board(
            "Raspberry Pi 4 Model B Rev 1.4",
            "cortex-a72",
            0xD08,
            _BASE,
            600_000,
            1_500_000,
            ((1, "Data", 32, False), (1, "Instruction", 48, False), (2, "Unified", 1024, True)),
        ),
        Board(
            "Raspberry Pi 5 Model B Rev 1.0",
            "cortex-a76",
            0xD0B,
            f"{_BASE} aes pmull sha1 sha2 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp",
            1_500_000,
            2_400_000,
            (
                (1, "Data", 64, False),
                (1, "Instruction", 64, False),
                (2, "Unified", 512, False),
                (3, "Unified", 2048, True),
            ),
        ),
    )
}


@dataclass(frozen=True)
class State:
    """How a board is at the moment.

    Attributes:
        throttled: as `vcgencmd get_throttled` prints it.
    """

    governor: str = "ondemand"
    khz: int = 0
    temperature_c: float = 48.3
    throttled: str = "0x0"


def board(cpu: str) -> Board:
    """The board with a processor. Raises InputError with those that there are."""
    if cpu not in BOARDS:
        raise InputError(f"no emulated processor is called {cpu!r}", remedy=f"Allowed: {', '.join(BOARDS)}.")
    return BOARDS[cpu]


def layer(root: Path, of: Board) -> Path:
    """A folder that is the system of `root` with the board's /sys and /proc, for `qemu.command`; made once."""
    place = root.with_name(f"{root.name}-{of.cpu}")
    if not place.is_dir():
        with whole_folder(place, keep=True) as folder:
            write(of, State(), folder)
            for entry in root.iterdir():
                if entry.name not in MOUNT_POINTS:  # what is there is this machine's, or the board's own
                    (folder / entry.name).symlink_to(os.path.relpath(entry, place))
    return place


def write(of: Board, state: State, folder: Path) -> None:
    """Write `sys`, `proc/cpuinfo` and `bin-local/vcgencmd` of a board into a folder."""
    cpus = folder / "sys/devices/system/cpu"
    every = f"0-{of.cores - 1}"
    files: dict[Path, str] = {cpus / name: every for name in ("possible", "present", "online")}
    for core in range(of.cores):
        files.update(_core(cpus / f"cpu{core}", core, every, of, state))
    thermal = folder / "sys/class/thermal/thermal_zone0"
    files[thermal / "temp"] = str(round(state.temperature_c * 1000))
    files[thermal / "type"] = "cpu-thermal"
    files[folder / "sys/firmware/devicetree/base/model"] = f"{of.name}\0"
    files[folder / "proc/cpuinfo"] = _cpuinfo(of)
    files[folder / "bin-local/vcgencmd"] = f'#!/bin/sh\n[ "$1" = get_throttled ] && echo throttled={state.throttled}'
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if text.endswith("\0") else f"{text}\n", encoding="ascii")
    (folder / "bin-local/vcgencmd").chmod(0o755)


def _core(folder: Path, core: int, every: str, of: Board, state: State) -> dict[Path, str]:
    topology, frequency = folder / "topology", folder / "cpufreq"
    files = {
        **{topology / name: every for name in ("core_siblings_list", "package_cpus_list", "cluster_cpus_list")},
        **{topology / name: str(core) for name in ("core_cpus_list", "thread_siblings_list", "core_id")},
        topology / "physical_package_id": "0",
        frequency / "scaling_governor": state.governor,
        **{frequency / f"{kind}_max_freq": str(of.max_khz) for kind in ("cpuinfo", "scaling")},
        **{frequency / f"{kind}_min_freq": str(of.min_khz) for kind in ("cpuinfo", "scaling")},
        frequency / "scaling_cur_freq": str(state.khz or of.max_khz),
        folder / "regs/identification/midr_el1": f"0x00000000410f{of.part:03x}3",
    }
    for index, (level, kind, kib, shared) in enumerate(of.caches):
        cache = folder / f"cache/index{index}"
        sizes = {
            "level": str(level),
            "type": kind,
            "size": f"{kib}K",
            "shared_cpu_list": every if shared else str(core),
        }
        files.update({cache / name: value for name, value in sizes.items()})
    return files


def _cpuinfo(of: Board) -> str:
    lines = [f"Features\t: {of.features}", "CPU implementer\t: 0x41", "CPU architecture: 8", "CPU variant\t: 0x0"]
    lines += [f"CPU part\t: {of.part:#05x}", "CPU revision\t: 3"]
    cores = ["\n".join((f"processor\t: {core}", "BogoMIPS\t: 108.00", *lines, "")) for core in range(of.cores)]
    return "\n".join((*cores, f"Model\t\t: {of.name}"))
