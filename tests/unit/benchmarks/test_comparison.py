"""Verdicts over two files: how often they are wrong on a machine that is simulated to be busy, and their words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.latencies import gamma, measured

from edgeship.errors import InputError
from edgeship.types import Measurement
from edgeship_benchmarks import comparison, intervals
from edgeship_benchmarks.comparison import Ratio, Verdict, ratio, verdict


def busy_machine(rng: np.random.Generator, true_ratio: float, repeats: int = 8, rounds: int = 12) -> list[Measurement]:
    """Two files on a machine whose clock wanders, where a load comes and goes, and whose processes are not alike.

    The clock's logarithm is an autoregressive series over bursts (0.97, 3 % wide). Under a load all takes half as long
    again; it is switched with a chance of 8 % at each burst, and one burst in six meets it twice as hard. A process
    keeps an offset of 0.5 % for its life.
    """
    bursts = repeats * rounds * 2
    clock = np.zeros(bursts)
    for k in range(1, bursts):
        clock[k] = 0.97 * clock[k - 1] + 0.03 * np.sqrt(1 - 0.97**2) * rng.normal()
    loaded = np.cumsum(rng.random(bursts) < 0.08) % 2
    state = clock + loaded * np.where(rng.random(bursts) < 1 / 6, 0.8, 0.4) + 0.003 * rng.normal(size=bursts)
    offsets = 0.005 * rng.normal(size=(repeats, 2)) + np.log([true_ratio, 1.0])
    times = np.zeros((repeats, rounds, 2))
    for r in range(repeats):
        for k in range(rounds):
            first = rng.integers(2)
            at = 2 * (r * rounds + k)
            times[r, k, first], times[r, k, 1 - first] = state[at], state[at + 1]
        times[r] += offsets[r]
    flat = np.exp(times).reshape(-1, 2)
    return [measured([flat[n : n + 1, i] for n in range(len(flat))], repeats) for i in (0, 1)]


def test_equals_are_called_equal_on_a_busy_machine() -> None:
    """At 99 % four of 400 may be called; more than twelve have a chance of 3e-4."""
    rng = np.random.default_rng(5)
    called = 0
    for _ in range(400):
        a, b = busy_machine(rng, 1.0)
        called += verdict(a, b).word in ("faster", "slower")
    assert called <= 12


def test_one_start_speaks_of_its_processes_only() -> None:
    """With offsets of 0.5 % for each process and little noise, a single start calls most equals different."""
    rng = np.random.default_rng(6)
    wrong = 0
    for _ in range(100):
        offsets = np.exp(0.005 * rng.normal(size=2))
        a, b = ([o * np.exp(0.001 * rng.normal(size=1)) for _ in range(50)] for o in offsets)
        wrong += verdict(measured(a), measured(b)).word in ("faster", "slower")
    assert wrong > 50


@pytest.mark.parametrize(("true_ratio", "word"), [(1.05, "slower"), (1 / 1.05, "faster"), (1.03, "slower")])
def test_small_differences_are_found_on_a_busy_machine(true_ratio: float, word: str) -> None:
    rng = np.random.default_rng(7)
    words = [verdict(*busy_machine(rng, true_ratio)).word for _ in range(100)]
    assert words.count(word) >= 90  # type: ignore[arg-type] # a word of ours
    assert not ({"faster", "slower"} - {word}) & set(words)


@pytest.mark.parametrize("level", [0.95, 0.99])
def test_intervals_hold_the_true_ratio_as_often_as_they_say(level: float) -> None:
    rng = np.random.default_rng(8)
    hits = 0
    for _ in range(400):
        found = ratio(*busy_machine(rng, 1.2, repeats=5, rounds=6), level).interval
        assert found is not None
        hits += found[0] <= 1.2 <= found[1]
    assert level - 0.025 <= hits / 400 <= level + 0.03


def test_ratio_is_free_of_what_both_share() -> None:
    """The machine slows down by half over five rounds; both artifacts slow down with it."""
    speeds = [1.0, 1.1, 1.2, 1.35, 1.5]
    a = measured([gamma(k, scale=2 * s) for k, s in enumerate(speeds)])
    b = measured([gamma(k + 50, scale=s) for k, s in enumerate(speeds)])
    found = ratio(a, b)
    assert found.value == pytest.approx(2.0, rel=0.01)
    assert (found.rounds, found.repeats, found.level) == (5, 1, 0.95)
    assert found.interval is not None
    assert 1.97 < found.interval[0] < 2 < found.interval[1] < 2.03
    back = ratio(b, a)
    assert back.value == pytest.approx(1 / found.value)


@pytest.mark.parametrize(("rounds", "level"), [(5, 0.95), (5, 0.99), (6, 0.99), (20, 0.95)])
def test_interval_of_one_start_covers(rounds: int, level: float) -> None:
    """Round noise of 5 % and the true ratio 1.2, for Student's t and from six rounds on for the trimmed mean."""
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(1000):
        noise = np.exp(0.05 * rng.normal(size=(2, rounds)))
        a, b = measured([np.array([1.2 * v]) for v in noise[0]]), measured([np.array([v]) for v in noise[1]])
        found = ratio(a, b, level).interval
        assert found is not None
        hits += found[0] <= 1.2 <= found[1]
    assert level - 0.02 <= hits / 1000 <= level + 0.02


def test_a_disturbed_round_in_ten_hardly_moves_the_ratio() -> None:
    rng = np.random.default_rng(3)
    logs = 0.01 * rng.normal(size=20)
    clean = intervals.trimmed_mean_interval(logs, 0.95)
    logs[[3, 11]] = 2.0, 5.0
    disturbed = intervals.trimmed_mean_interval(logs, 0.95)
    assert disturbed[0] == pytest.approx(clean[0], abs=0.005)
    assert disturbed[2] - disturbed[1] < 2 * (clean[2] - clean[1])
    assert logs.mean() > 0.3


def test_a_start_that_was_disturbed_as_a_whole_does_not_hide_a_difference() -> None:
    rng = np.random.default_rng(4)
    found = 0
    for _ in range(50):
        a, b = busy_machine(rng, 1.05)
        disturbed = np.array(a.latency_ms)
        disturbed[12:24] *= 4
        found += verdict(replace(a, latency_ms=tuple(disturbed)), b).word == "slower"
    assert found >= 45


def test_ratio_of_one_round_and_of_no_pair() -> None:
    one, two = measured([gamma(0)]), measured([gamma(0), gamma(1)])
    assert ratio(one, one) == Ratio(1.0, None, 1)
    assert verdict(one, one).word == "undecided"
    assert "says nothing" in verdict(one, one).sentence("B", "A")
    for other in (two, replace(one, target="elsewhere"), replace(one, group="later")):
        with pytest.raises(InputError, match="were not interleaved"):
            ratio(one, other)
    with pytest.raises(InputError, match="were not interleaved"):
        ratio(two, replace(two, repeats=2))
    with pytest.raises(InputError, match="no 2 equal repeats"):
        ratio(*[measured([gamma(0), gamma(1), gamma(2)], repeats=2)] * 2)
    with pytest.raises(InputError, match="clock is too coarse"):
        ratio(two, measured([np.zeros(3), gamma(1)]))


def made(low: float, high: float) -> Callable[..., Ratio]:
    """A ratio with that interval, whatever is compared."""
    return lambda *_: Ratio((low * high) ** 0.5, (low, high), 40, 0.99, 8)


@pytest.mark.parametrize(
    ("interval", "word", "text"),
    [
        ((1 / 1.36, 1 / 1.27), "faster", "B is 1.31x faster than A, 99 % interval 1.27 to 1.36"),
        ((1.27, 1.36), "slower", "B is 1.31x slower than A, 99 % interval 1.27 to 1.36"),
        ((1.002, 1.02), "slower", "B is 1.011x slower than A, 99 % interval 1.002 to 1.020"),
        (
            (0.99, 1.01),
            "no difference",
            "B takes 1.000x the time of A, 99 % interval 0.990 to 1.010: no difference of 5 % or more",
        ),
        ((0.94, 1.02), "undecided", "B takes 0.979x the time of A, 99 % interval 0.940 to 1.020: undecided; raise"),
        ((0.7, 2.0), "undecided", "B takes 1.18x the time of A, 99 % interval 0.70 to 2.00: undecided; raise"),
    ],
)
def test_words(interval: tuple[float, float], word: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "ratio", made(*interval))
    one = measured([gamma(0)])
    found = verdict(one, one)
    assert isinstance(found, Verdict)
    assert found.word == word
    assert found.sentence("B", "A").startswith(text)
