"""Sessions that were not interleaved: how often equals are called different, and what a true difference takes."""

from __future__ import annotations

import numpy as np
import pytest
from tests.latencies import measured

from edgeship.types import Measurement
from edgeship_benchmarks import comparison, sessions


def session(rng: np.random.Generator, true_ms: float = 1.0, between: float = 0.05, starts: int = 6) -> Measurement:
    """All starts of a session share its state (`between`); a start has an offset of 0.5 % of its own."""
    state = between * rng.normal()
    offsets = 0.005 * rng.normal(size=starts)
    rounds = [
        np.exp(np.log(true_ms) + state + offset + 0.01 * rng.normal(size=20)) for offset in offsets for _ in range(5)
    ]
    return measured(rounds, starts)


def test_level_and_spread_by_hand() -> None:
    steady = measured([np.full(10, 2.0)] * 6, 6)
    assert sessions.level(steady).value == pytest.approx(np.log(2))
    assert sessions.level(steady).half == pytest.approx(0, abs=1e-12)
    assert sessions.level(measured([np.full(10, 2.0)])).half == 0.0
    values = (1.0, 1.1, 1.2)
    group = [measured([np.full(10, value)]) for value in values]
    found = sessions.spread([group, group[:1], [group[0], group[0]]])
    assert found is not None
    squares = ((np.log(values) - np.log(values).mean()) ** 2).sum()
    assert found.degrees == 3
    assert found.deviation == pytest.approx(np.sqrt(squares / 3))
    assert sessions.spread([group[:1]]) is None


def test_starts_alone_would_call_most_equals_different() -> None:
    """Why sessions need intervals of their own: sessions 5 % apart, starts 0.5 %."""
    rng = np.random.default_rng(0)
    called = 0
    for _ in range(100):
        a, b = (sessions.level(session(rng)) for _ in range(2))
        called += abs(a.value - b.value) > np.hypot(a.half, b.half)
    assert called > 60


@pytest.mark.parametrize("count", [5, 10])
def test_equals_are_not_called_with_a_known_spread(count: int) -> None:
    """At 99 % four of 400 may be called; more than twelve have a chance of 3e-4."""
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(400):
        known = sessions.spread([[session(rng) for _ in range(count)]])
        assert sessions.enough(known)
        found = sessions.ratio(session(rng), session(rng), known).interval
        assert found is not None
        called += not found[0] <= 1 <= found[1]
    assert called <= 12


def test_a_difference_beyond_the_spread_is_found() -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(100):
        known = sessions.spread([[session(rng, between=0.01) for _ in range(10)]])
        ends = sessions.ratio(session(rng, 1.10, 0.01), session(rng, 1.0, 0.01), known).interval
        assert ends is not None
        found += ends[0] > 1
    assert found >= 90


def test_without_sessions_enough_the_floor_holds() -> None:
    now, before = measured([np.full(10, 1.09)] * 6, 6), measured([np.full(10, 1.0)] * 6, 6)
    few = sessions.spread([[before, now]])
    for known in (None, few):
        found = sessions.ratio(now, before, known)
        assert found.interval == pytest.approx((1.09 / (1 + sessions.FLOOR), 1.09 * (1 + sessions.FLOOR)))
    assert found.level == comparison.VERDICT_LEVEL
    twice = sessions.ratio(measured([np.full(10, 2.0)] * 6, 6), before, None)
    assert twice.interval is not None
    assert twice.interval[0] > 1.8


def test_a_spread_is_never_narrower_than_the_starts() -> None:
    rng = np.random.default_rng(3)
    rough = [session(rng, starts=3) for _ in range(2)]
    found = sessions.ratio(rough[0], rough[1], sessions.Spread(0.0, 10))
    half = np.hypot(sessions.level(rough[0]).half, sessions.level(rough[1]).half)
    assert found.interval is not None
    assert np.log(found.interval[1] / found.interval[0]) == pytest.approx(2 * half)
