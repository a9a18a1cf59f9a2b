"""What processors can do at most: the peaks that lower bounds rest on.

Every figure is a ceiling: the highest clock that the maker gives, the widest multiply instruction in every cycle.
A figure that is too high makes a bound loose, one that is too low makes it wrong.
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
        sources: what was read for the figures; after "not read", what no document was read for.
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
_PI = "Raspberry Pi documentation, config_txt/overclocking.adoc"
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
            (512 + 4 * 32) * _KIB,
            4000,
            (
                _PI + ": 1400 MHz; memory at 500 MHz, twice a cycle",
                "Linux, bcm2837.dtsi: caches; Arm DDI 0500D, 7.6: L2 holds what L1 has evicted, so both count",
                "pigirons/cpufp, RK3399: 11.26 GFLOPS in float32 on a core, 4 multiply-accumulates a cycle at 1.4 GHz",
                "LLVM, AArch64SchedA53.td: one pipe for vectors of integers; 8 int8 (SMLAL) if it takes one cycle",
                "not read: that the memory is 32 bits wide, the clock of the RK3399",
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
                _PI + ": 1800 MHz with arm_boost=1, memory at 3200 MHz",
                "Raspberry Pi documentation, bcm2711.adoc: 1 MB of L2; Arm 100095: it holds all that L1 holds",
                "pigirons/cpufp, BCM2711: 11.96 GFLOPS in float32 on a core at 1.5 GHz, 4 multiply-accumulates a cycle",
                "OSACA, a72.yml, and LLVM, AArch64SchedA57.td: one pipe multiplies integers, 8 int8 a cycle",
                "not read: that the memory is 32 bits wide",
            ),
        ),
        Board(
            "cortex-a76",
            "Raspberry Pi 5",
            2400,
            {"float32": 8, "float16": 16, "int8": 32},
            4,
            (4 * (512 + 64) + 2048) * _KIB,
            17_068,
            (
                _PI + ": 2400 MHz, memory at 4267 MHz",
                "Raspberry Pi documentation, bcm2712.adoc: caches, 32 bits of LPDDR4X, up to 17 GB/s",
                "pigirons/cpufp, BCM2712: 153.5 GOPS in int8, 76.7 in float16, 38.4 in float32 on a core at 2.4 GHz",
                "not read: whether L2 holds all that L1 holds; both count",
            ),
        ),
        Board(
            "edgetpu",
            "Coral USB Accelerator, Edge TPU",
            500,
            {"int8": 4096},
            1,
            8 * _MIB,
            500,
            (
                "Coral USB Accelerator datasheet 1.4: 4 TOPS in int8, USB 3.0",
                "google-coral/edgetpu, issue 758: 500 MHz at most, so 4000 a cycle; 64 x 64 is the next square",
                "not read: the number of multipliers (issue 824 asks for it, unanswered)",
                "not read: the 8 MB for weights, from the maker's page of the compiler; 5 Gbit/s in 8b/10b of USB 3.0",
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
                "Zephyr, nucleo_f446re: 180 MHz",
                "LLVM, ARMScheduleM4.td: one instruction a cycle; SMLAD (two products), VMUL and VADD take one",
                "GCC, cortex-m4-fpu.md: VFMA and VMLA take three, so that VMUL and VADD are faster",
                "not read: ST DS10693; the table of cycles in Arm DDI 0439",
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
                "Zephyr, nucleo_h743zi: 480 MHz",
                "LLVM, ARMScheduleM7.td: one pipe for integer products (SMLAD: two), one for floats (VFMA)",
                "not read: ST DS12110",
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
                "LLVM, ARMScheduleM55.td: half a vector of 128 bits a cycle, one pipe multiplies",
                "Zephyr, ensemble_e8_dk: 400 MHz in the E4, E6 and E8",
                "not read: the clock of the E7, from the maker's product page",
            ),
            _TFLM,
        ),
        Board(
            "zen5",
            "AMD EPYC 9575F",
            5000,
            {"float32": 32, "float16": 64, "int8": 128},
            64,
            (256 + 64 + 3) * _MIB,
            614_400,
            (
                "OSACA, zen5.yml: two of VFMADD, VDPBF16PS (bfloat16) or VPDPBUSD with 512 bits a cycle",
                "pigirons/cpufp, Ryzen 7 9700X: 354 GFLOPS in float32, 708 in bfloat16, 1417 GOPS in int8 on a core",
                "Chips and Cheese on two 9575F, in a summary: 5 GHz, 24 memory controllers; AMD's blog: 64 cores",
                "press reports on the EPYC 9005: 6400 MT/s; 32 MB of L3 for 8 cores; 1 MB of L2, 48 KB of L1 for each",
                "not read: AMD EPYC 9005 datasheet; AMD 58455, Software Optimization Guide for Zen 5",
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
