"""Carries out a measuring plan over open sessions: warm up, then interleaved rounds.

Whatever else the machine does (other work, clock changes, heat) comes and goes over seconds. Artifacts that are
measured one after another would each meet a different machine; in interleaved rounds (A B A B) they share it, and the
ratio of two of them within a round is free of it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeship.errors import InputError
from edgeship.types import Plan, Progress, ProgressCallback

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.session import AgentSession, WarmUp

#: Runs before each round that are not counted: the session was idle, its caches cold, while the others ran.
REWARM_RUNS = 10


@dataclass(frozen=True)
class Timing:
    """What the plan gave for one session.

    Attributes:
        latency_ms: all samples in the order taken.
        round_lengths: samples by round.
        warmup_runs: inferences that were not counted, those before each round included.
        peak_memory_mib: of the process once warm, before timings fill its memory.
    """

    latency_ms: tuple[float, ...]
    round_lengths: tuple[int, ...]
    warm_up: WarmUp
    warmup_runs: int
    peak_memory_mib: float | None


def orders(count: int, plan: Plan) -> list[list[int]]:
    """Who runs when, by round: a seeded permutation, rotated so that each takes each place equally often."""
    first = list(range(count))
    random.Random(plan.seed).shuffle(first)  # noqa: S311 - an order, no secret
    return [first[r % count :] + first[: r % count] for r in range(plan.rounds)]


def execute(
    sessions: Sequence[AgentSession], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
) -> list[Timing]:
    """Measure every loaded session; the results are in the order of `sessions`.

    Each round takes `1 / rounds` of the plan's minima from every session. Samples are kept raw: none is dropped.
    Raises InputError for a plan that measures nothing, and what the sessions raise.
    """
    if min(plan.rounds, plan.min_runs, plan.warmup_max_runs, plan.threads) < 1 or not plan.min_seconds >= 0:
        raise InputError(f"cannot measure by {plan}", remedy="Rounds, runs, warm-up and threads are 1 or more.")
    told = progress or (lambda _: None)
    total = len(sessions) * (plan.rounds + 1)
    warm_ups, peaks = [], []
    for done, session in enumerate(sessions):
        told(Progress("measure", done, total, "warm up"))
        warm_ups.append(session.warm_up(inputs, plan.warmup_max_runs))
        peaks.append(session.memory())
    rounds: list[list[tuple[float, ...]]] = [[] for _ in sessions]
    uncounted = [warm_up.runs for warm_up in warm_ups]
    done = len(sessions)
    for number, order in enumerate(orders(len(sessions), plan), start=1):
        for index in order:
            told(Progress("measure", done, total, f"round {number} of {plan.rounds}"))
            uncounted[index] += sessions[index].warm_up(inputs, min(REWARM_RUNS, plan.warmup_max_runs)).runs
            rounds[index].append(
                sessions[index].measure(inputs, math.ceil(plan.min_runs / plan.rounds), plan.min_seconds / plan.rounds)
            )
            done += 1
    told(Progress("measure", total, total))
    return [
        Timing(sum(taken, ()), tuple(map(len, taken)), warm_up, runs, peak)
        for taken, warm_up, runs, peak in zip(rounds, warm_ups, uncounted, peaks, strict=True)
    ]
