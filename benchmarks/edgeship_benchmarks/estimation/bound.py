"""A lower bound of a latency: no processor multiplies faster than its peak, no memory delivers faster than its own.

The roofline of Williams, Waterman and Patterson (CACM 52(4), 2009) with peaks only, for what has to happen at least:
every multiplication of the file, done directly, and every byte of weights that no cache can hold from one inference to
the next. Real latencies are longer, by a factor that this cannot know.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeship.errors import TargetUnavailable
from edgeship_benchmarks.estimation.boards import Board
from edgeship_benchmarks.estimation.work import Work


@dataclass(frozen=True)
class Bound:
    """A lower bound and what it rests on, in words."""

    at_least_ms: float
    basis: str


def bound(work: Work, board: Board, threads: int = 1) -> Bound:
    """The time that one inference of one sample takes at least, in milliseconds.

    The larger of two: the multiply-accumulates at the peak of `threads` cores, and the weights that do not fit in any
    cache, once for each inference, at the peak of the memory.

    Raises TargetUnavailable where nothing can be counted, or the processor lacks the file's arithmetic.
    """
    cores = min(threads, board.cores)
    seconds = 0.0
    for arithmetic, number in work.all_macs.items():
        peak = board.macs_per_second(arithmetic, cores)
        if peak is None:
            raise TargetUnavailable(
                f"{board.title} does not compute in {arithmetic}", remedy="Quantize the file to int8 for it."
            )
        seconds += number / peak
    if not seconds:
        raise TargetUnavailable(
            "no multiplication of this file can be counted", remedy="Measure it on the board, or on one like it."
        )
    beyond = max(0, work.weight_bytes - board.cache_bytes)
    moving = 0.0
    if board.memory_mb_per_second is not None:
        moving = beyond / (board.memory_mb_per_second * 1e6) / work.batch
    if moving > seconds:
        return Bound(1e3 * moving, _of_memory(beyond, board))
    return Bound(1e3 * seconds, _of_processor(work, board, cores))


def _of_processor(work: Work, board: Board, cores: int) -> str:
    parts = []
    for arithmetic, number in work.all_macs.items():
        peak = board.macs_per_second(arithmetic) or 0.0
        rate = f"{peak / (board.mhz * 1e6):g} a cycle"
        parts.append(f"{number / 1e6:,.3g} million multiply-accumulates of {arithmetic}, {rate}")
    plural = "one core" if cores == 1 else f"each of {cores} cores"
    who = board.name if cores == board.cores == 1 else f"{plural} of {board.name}"
    return f"{'; '.join(parts)} on {who} at {board.mhz:,g} MHz ({board.title})"


def _of_memory(beyond: int, board: Board) -> str:
    return (
        f"{beyond / 1e6:,.3g} MB of weights beyond the caches of {board.name} at "
        f"{(board.memory_mb_per_second or 0) / 1e3:.3g} GB/s ({board.title})"
    )
