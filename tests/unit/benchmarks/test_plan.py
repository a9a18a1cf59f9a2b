"""The measuring plan: who runs when, and how often."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import ConnectionLost, EdgeshipError, InputError
from edgeship.types import Plan, Progress
from edgeship_benchmarks.plan import REWARM_RUNS, execute, orders
from edgeship_benchmarks.session import AgentSession

_PLAN = Plan(min_runs=12, min_seconds=0.0, rounds=4, warmup_max_runs=30)


class Watched(AgentSession):
    """A real session that also writes down when it was asked to do what."""

    def __init__(self, log: list[tuple[str, str]], label: str) -> None:
        super().__init__(name=label)
        self._log, self._label = log, label

    def warm_up(self, *args, **kwargs):  # type: ignore[no-untyped-def] # as in the base
        self._log.append((self._label, "warm"))
        return super().warm_up(*args, **kwargs)

    def measure(self, *args, **kwargs):  # type: ignore[no-untyped-def] # as in the base
        self._log.append((self._label, "measure"))
        return super().measure(*args, **kwargs)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_each_takes_each_place_equally_often(count: int) -> None:
    found = orders(count, replace(_PLAN, rounds=count, repeats=2))
    assert all(sorted(order) == list(range(count)) for order in found)
    for place in range(count):
        assert Counter(order[place] for order in found) == dict.fromkeys(range(count), 2)


def test_order_depends_on_the_seed_only() -> None:
    assert orders(6, _PLAN) == orders(6, _PLAN)
    assert any(orders(6, replace(_PLAN, seed=s)) != orders(6, _PLAN) for s in range(1, 5))


def test_rounds_are_interleaved(models: Path) -> None:
    log: list[tuple[str, str]] = []
    events: list[Progress] = []
    inputs = {"x": np.load(models / "affine.x.npy")}
    with Watched(log, "A") as a, Watched(log, "B") as b:
        a.load("litert", models / "affine.tflite")
        b.load("litert", models / "int8.tflite")
        timings = execute([a, b], inputs, _PLAN, events.append)
    assert sorted(log[:2]) == [("A", "warm"), ("B", "warm")]
    assert log[2::2] == [(who, "warm") for who, _ in log[3::2]]  # each round is re-warmed by the one that is measured
    turns = "".join(who for who, what in log if what == "measure")
    assert [sorted(turns[k : k + 2]) for k in range(0, 8, 2)] == [["A", "B"]] * 4
    assert turns[0:2] != turns[2:4]  # of two rounds, each goes first once
    assert turns[4:6] != turns[6:8]
    for timing in timings:
        assert timing.round_lengths == (3, 3, 3, 3)
        assert len(timing.latency_ms) == 12
        assert timing.warmup_runs == timing.warm_up.runs + 4 * REWARM_RUNS
        assert timing.peak_memory_mib is not None
    assert [e.done for e in events] == list(range(11))
    assert {e.total for e in events} == {10}


def test_minima_hold_over_all_rounds(models: Path) -> None:
    asked: list[tuple[int, float]] = []

    class Asked(AgentSession):
        def measure(self, inputs, min_runs, min_seconds):  # type: ignore[no-untyped-def] # as in the base
            asked.append((min_runs, min_seconds))
            return super().measure(inputs, min_runs, min_seconds)

    inputs = {"x": np.load(models / "affine.x.npy")}
    with Asked() as session:
        session.load("litert", models / "affine.tflite")
        (few,) = execute([session], inputs, Plan(min_runs=10, min_seconds=0, rounds=3, warmup_max_runs=1))
        (long,) = execute([session], inputs, Plan(min_runs=1, min_seconds=0.2, rounds=2, warmup_max_runs=1))
    assert few.round_lengths == (4, 4, 4)  # 10 runs in 3 equal rounds, rounded up
    assert not few.warm_up.stable
    assert len(long.round_lengths) == 2
    assert asked == [(4, 0.0)] * 3 + [(1, 0.1)] * 2


def test_orders_are_drawn() -> None:
    """With the seeds, every order of two rounds of two comes; nobody can run in step with something periodic."""
    found = {str(orders(2, replace(_PLAN, rounds=4, seed=seed))) for seed in range(30)}
    assert len(found) == 4  # (AB BA or BA AB), twice


def test_each_repeat_is_a_new_process(models: Path) -> None:
    pids: dict[str, list[int]] = {"A": [], "B": []}

    class Counted(AgentSession):
        def measure(self, *args, **kwargs):  # type: ignore[no-untyped-def] # as in the base
            pids["A" if self is a else "B"].append(self.pid)
            return super().measure(*args, **kwargs)

    inputs = {"x": np.load(models / "affine.x.npy")}
    plan = Plan(min_runs=30, min_seconds=0, rounds=2, repeats=3, warmup_max_runs=20, cool_down_seconds=0.05)
    with Counted() as a, Counted() as b:
        a.load("litert", models / "affine.tflite")
        b.load("litert", models / "int8.tflite")
        started = time.monotonic()
        found = execute([a, b], inputs, plan)
        assert time.monotonic() - started >= 0.1
    for found_pids in pids.values():
        assert len(found_pids) == 6
        assert [found_pids[k] == found_pids[k + 1] for k in range(5)] == [True, False, True, False, True]
    for timing in found:
        assert not isinstance(timing, EdgeshipError)
        assert (timing.repeats, timing.round_lengths) == (3, (5,) * 6)
        assert min(timing.import_ms, timing.load_ms, timing.warm_up.first_inference_ms) > 0


_BAD: list[Callable[[Plan], Plan]] = [
    lambda p: replace(p, rounds=0),
    lambda p: replace(p, repeats=0),
    lambda p: replace(p, batch=-1),
    lambda p: replace(p, cool_down_seconds=-1.0),
    lambda p: replace(p, cool_down_seconds=float("inf")),
    lambda p: replace(p, min_runs=0),
    lambda p: replace(p, warmup_max_runs=0),
    lambda p: replace(p, min_seconds=float("nan")),
]


@pytest.mark.parametrize("change", _BAD)
def test_a_plan_that_measures_nothing(change: Callable[[Plan], Plan]) -> None:
    with pytest.raises(InputError, match="cannot measure by"):
        execute([], {}, change(_PLAN))


class Losing(Watched):
    """Loses its board in the given measurements, counted from 1."""

    def __init__(self, log: list[tuple[str, str]], label: str, *lost: int) -> None:
        super().__init__(log, label)
        self._lost, self._count = lost, 0

    def measure(self, *args, **kwargs):  # type: ignore[no-untyped-def] # as in the base
        self._count += 1
        if self._count in self._lost:
            self._child.close()
            raise ConnectionLost("the cable was pulled")
        return super().measure(*args, **kwargs)


def test_a_round_with_a_lost_connection_is_measured_again_by_all(models: Path) -> None:
    log: list[tuple[str, str]] = []
    with Watched(log, "A") as a, Losing(log, "B", 2) as b:
        for session in (a, b):
            session.load("litert", models / "affine.tflite")
        timings = execute([a, b], {"x": np.load(models / "affine.x.npy")}, _PLAN)
    for timing in timings:
        assert not isinstance(timing, EdgeshipError)
        assert timing.again == (2,)
        assert len(timing.round_lengths) == _PLAN.rounds
        assert sum(timing.round_lengths) == len(timing.latency_ms)
    assert [who for who, what in log if what == "measure"].count("A") == _PLAN.rounds + 1


def test_a_connection_that_is_lost_again_and_again_costs_only_its_row(models: Path) -> None:
    with Watched([], "A") as a, Losing([], "B", *range(1, 100)) as b:
        for session in (a, b):
            session.load("litert", models / "affine.tflite")
        kept, lost = execute([a, b], {"x": np.load(models / "affine.x.npy")}, _PLAN)
    assert isinstance(lost, ConnectionLost)
    assert not isinstance(kept, EdgeshipError)
    assert len(kept.round_lengths) == _PLAN.rounds
