"""What processors can do at most, by their makers' documents: the peaks that lower bounds rest on.

Every figure is a ceiling: the highest clock that the maker gives, every multiplier busy in every cycle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgeship.errors import InputError

#: Arithmetic whose peak counts where a processor has none of its own: it is computed in the next wider one.
_WIDER = {"int8": "float32", "float16": "float32"}
_MHZ_LIMIT = 10_000


@dataclass(frozen=True)
class Board:
    """A processor on a board.

    Attributes:
        name: as in an address.
        title: of the board that the clock and the memory are of.
        mhz: highest clock.
        macs_per_cycle: by arithmetic, of one core.
        cores: of the processor.
        cache_bytes: all that can hold weights beside the memory.
        memory_mb_per_second: peak of the memory, in 10^6 bytes; None where weights lie in flash or caches hold it all.
        formats: of files that it runs; empty: all.
        sources: where the figures are from.
    """

    name: str
    title: str
    mhz: float
    macs_per_cycle: Mapping[str, float]
    cores: int
    cache_bytes: int
    memory_mb_per_second: float | None
    sources: tuple[str, ...]
    formats: tuple[str, ...] = ()

    def macs_per_second(self, arithmetic: str, cores: int = 1) -> float | None:
        """Peak of some cores; None for an arithmetic that it does not have."""
        rate = self.macs_per_cycle.get(arithmetic)
        if rate is None:
            wider = _WIDER.get(arithmetic)
            rate = None if wider is None else self.macs_per_cycle.get(wider)
        return None if rate is None else rate * self.mhz * 1e6 * min(cores, self.cores)


_KIB, _MIB = 1 << 10, 1 << 20
_PI = "Raspberry Pi documentation, Processors, and the product brief of the board (clock, caches, memory)"
_TFLM = ("tflite", "micro")

BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        Board(
            "cortex-a53",
            "Raspberry Pi 3 B+ (Zero 2 W and 3 B are slower)",
            1400,
            {"float32": 4, "int8": 8},
            4,
            512 * _KIB,
            3600,
            (
                _PI,
                "LLVM, AArch64SchedA53.td: one pipe multiplies, 4 floats (FMLA) or 8 int8 (SMLAL) a cycle",
            ),
        ),
        Board(
            "cortex-a72",
            "Raspberry Pi 4 B",
            1800,
            {"float32": 4, "int8": 8},
            4,
            1 * _MIB,
            12_800,
            (
                _PI + "; 1.8 GHz is with arm_boost=1, LPDDR4-3200 at 32 bit",
                "Arm UAN 0016A, and as measured in OSACA (a72.yml): 4 floats (FMLA) or 8 int8 (SMLAL) a cycle",
            ),
        ),
        Board(
            "cortex-a76",
            "Raspberry Pi 5",
            2400,
            {"float32": 8, "float16": 16, "int8": 32},
            4,
            (4 * 512 + 2048) * _KIB,
            17_068,
            (
                _PI + "; LPDDR4X-4267 at 32 bit",
                "Arm PJDOC-466751330-7215: two pipes, each with an FMLA or SDOT of 128 bits a cycle",
            ),
        ),
        Board(
            "edgetpu",
            "Coral USB Accelerator, Edge TPU",
            500,
            {"int8": 4000},
            1,
            8 * _MIB,
            500,
            (
                "Coral USB Accelerator datasheet 1.4: 4 TOPS in int8, two for a multiply-accumulate; USB 3.0",
                "coral.ai, Edge TPU compiler: about 8 MB on the chip for weights; 500 MHz at most",
            ),
            ("tflite",),
        ),
        Board(
            "cortex-m4",
            "STM32F446",
            180,
            {"float32": 0.5, "int8": 2},
            1,
            0,
            None,
            (
                "ST DS10693 (180 MHz)",
                "Arm DDI 0439, Cortex-M4 TRM: SMLAD (two products) in a cycle; VMUL.F32, VADD.F32 in one each",
            ),
            _TFLM,
        ),
        Board(
            "cortex-m7",
            "STM32H743",
            480,
            {"float32": 1, "int8": 2},
            1,
            0,
            None,
            (
                "ST DS12110 (480 MHz)",
                "LLVM, ARMScheduleM7.td: one pipe for integer products (SMLAD: two), one for floats",
            ),
            _TFLM,
        ),
        Board(
            "cortex-m55",
            "Alif Ensemble E7",
            400,
            {"float32": 2, "float16": 4, "int8": 8},
            1,
            0,
            None,
            (
                "Alif Ensemble E7 datasheet (400 MHz)",
                "Arm, Cortex-M55 TRM: two beats of 32 bits a cycle: 8 int8, 4 half or 2 single",
            ),
            _TFLM,
        ),
        Board(
            "zen5",
            "AMD EPYC 9575F",
            5000,
            {"float32": 32, "int8": 128},
            64,
            (256 + 64) * _MIB,
            614_400,
            (
                "AMD EPYC 9005 datasheet: 5.0 GHz at most, 256 MB of L3, twelve channels of DDR5-6400",
                "AMD 58455, Software Optimization Guide for Zen 5: two 512-bit FMA or VPDPBUSD a cycle",
            ),
        ),
    )
}


def board(rest: str) -> Board:
    """The board that an address names: `cortex-m4`, or `cortex-m4@120` for the processor at another clock in MHz.

    Raises InputError for a board that is not in the table, or a clock that means nothing.
    """
    name, at, clock = rest.partition("@")
    found = BOARDS.get(name)
    if found is None:
        raise InputError(f"no figures are known of a processor {name!r}", remedy=f"Known: {', '.join(BOARDS)}.")
    if not at:
        return found
    if not clock.isascii() or not clock.isdecimal() or not 0 < int(clock) <= _MHZ_LIMIT:
        raise InputError(
            f"{rest!r} gives no clock in MHz that {found.title} can have", remedy=f"For instance: {name}@1000."
        )
    return replace(found, title=f"any board with a {name}", mhz=int(clock))
