"""Latency statistics against known distributions, and their edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.latencies import gamma, measured

from edgeship.errors import InputError
from edgeship_benchmarks import intervals, stats


def ar1(rng: np.random.Generator, count: int, rho: float) -> np.ndarray:
    """exp of a stationary AR(1) series: median 1, skewed, autocorrelated."""
    noise = rng.normal(size=count + 100)
    series = np.zeros_like(noise)
    for k in range(1, len(series)):
        series[k] = rho * series[k - 1] + noise[k]
    found: np.ndarray = np.exp(0.1 * series[100:])
    return found


def test_summary_of_known_numbers() -> None:
    found = stats.summary(measured([np.arange(1.0, 1002.0)]))
    assert (found.n, found.median_ms, found.p90_ms, found.p99_ms) == (1001, 501, 901, 991)
    assert (found.min_ms, found.max_ms, found.drift) == (1, 1001, 0)
    assert found == stats.summary(measured([np.arange(1.0, 1002.0)]))


@pytest.mark.parametrize(("count", "has"), [(499, False), (500, True)])
def test_p99_needs_500_samples(count: int, has: bool) -> None:
    x = gamma(0, count)
    assert (stats.summary(measured([x])).p99_ms is not None) is has
    assert any("no p99" in note for note in stats.notes(x, [count], {})) is not has


@pytest.mark.parametrize("count", [499, 500])
def test_means_of_several_inferences_have_no_p99(count: int) -> None:
    x = gamma(0, count)
    found = stats.summary(measured([x], inferences_per_time="40"))
    assert (found.p99_ms, found.p90_ms) == (None, stats.summary(measured([x])).p90_ms)
    (note,) = stats.notes(x, [count], {"inferences_per_time": "40"})
    assert note == "no p99: each time is the mean of 40 inferences, and p90 is of such means"


@pytest.mark.parametrize("count", [1, 2, 19])
def test_few_samples_have_no_interval(count: int) -> None:
    found = stats.summary(measured([gamma(0, count)]))
    assert found.interval_ms is None
    assert found.median_ms > 0
    assert intervals.median_interval(gamma(0, 20)) is not None


@pytest.mark.parametrize(
    ("rho", "count", "least"),
    [(0.0, 100, 0.92), (0.0, 500, 0.93), (0.5, 500, 0.89), (0.8, 500, 0.86), (0.9, 2000, 0.89)],
)
def test_interval_covers_the_median_despite_autocorrelation(rho: float, count: int, least: float) -> None:
    """Of 300 simulated series; block bootstraps are known to cover somewhat less than nominal when blocks are few."""
    rng = np.random.default_rng(1)
    hits, naive_hits = 0, 0
    for _ in range(300):
        x = ar1(rng, count, rho)
        low, high = intervals.median_interval(x) or (math.nan, math.nan)
        hits += low <= 1 <= high
        # the textbook interval, which takes samples for independent
        half = 1.96 * 0.5 / math.sqrt(count)
        naive_low, naive_high = np.quantile(x, [0.5 - half, 0.5 + half])
        naive_hits += naive_low <= 1 <= naive_high
    assert least <= hits / 300 <= 0.985
    if rho >= 0.8:
        assert naive_hits / 300 < 0.7  # what would be claimed without blocks


def test_interval_shrinks_with_samples_and_is_quick_for_many() -> None:
    widths = []
    for count in (100, 1_000, 200_000):
        low, high = intervals.median_interval(gamma(3, count)) or (0, 0)
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2] > 0


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_block_length_grows_with_autocorrelation(rho: float) -> None:
    rng = np.random.default_rng(0)
    weak = np.mean([intervals.block_length(ar1(rng, 1000, 0.0)) for _ in range(20)])
    strong = np.mean([intervals.block_length(ar1(rng, 1000, rho)) for _ in range(20)])
    assert weak < 3
    assert strong > 2 * weak


def test_block_length_follows_its_formula_for_a_known_process() -> None:
    """An AR(1) series has autocovariances rho**k / (1 - rho**2); the rest is the formula in the docstring."""
    rho, n = 0.6, 20_000
    rng = np.random.default_rng(5)
    lags = np.arange(1, 500)
    covariance = rho**lags / (1 - rho**2)
    slope, spectrum = 2 * float(lags @ covariance), 1 / (1 - rho**2) + 2 * float(covariance.sum())
    expected = (2 * slope**2 / (4 / 3 * spectrum**2) * n) ** (1 / 3)
    found = np.mean([intervals.block_length(np.log(ar1(rng, n, rho))) for _ in range(10)])
    assert found == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("series", [np.ones(1), np.ones(3), np.ones(100), np.arange(3.0)])
def test_block_length_of_degenerate_series(series: np.ndarray) -> None:
    assert intervals.block_length(series) == 1


def test_equal_samples() -> None:
    found = stats.summary(measured([np.full(50, 2.0), np.full(50, 2.0)]))
    assert (found.median_ms, found.interval_ms, found.outliers, found.unstable) == (2.0, (2.0, 2.0), 0.0, False)


def test_outliers() -> None:
    x = gamma(0, 100)
    assert stats.outlier_share(x) <= 0.05
    x[::5] *= 10
    assert stats.outlier_share(x) == pytest.approx(0.2, abs=0.03)
    assert any("of the samples are outliers" in note for note in stats.notes(x, [100], {}))
    coarse = np.r_[np.full(95, 1.0), np.full(5, 9.0)]  # a clock that sees one value only
    assert stats.outlier_share(coarse) == pytest.approx(0.05)


def test_drift_between_rounds_is_unstable() -> None:
    steady = measured([gamma(0), gamma(1)])
    moved = measured([gamma(0), gamma(1, scale=1.3)])
    assert not stats.summary(steady).unstable
    assert stats.summary(moved).unstable
    assert stats.summary(moved).drift == pytest.approx(0.3, abs=0.02)
    assert stats.notes(moved.latency_ms, moved.round_lengths, {})[0].startswith("unstable: round medians differ by")


def test_a_median_that_is_not_known_is_unstable() -> None:
    wide = measured([np.random.default_rng(0).lognormal(sigma=1.5, size=40)])
    assert stats.summary(wide).unstable
    assert any(note.startswith("unstable: the median lies between") for note in stats.notes(wide.latency_ms, [40], {}))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"load_average": "3.1", "cores": "4"}, "load average 3.1 on 4 cores"),
        ({"load_average": "1.9", "cores": "4"}, ""),
        ({"load_average": "odd", "cores": "4"}, ""),
        ({"governor": "powersave"}, "frequency governor powersave"),
        ({"governor": "performance"}, ""),
        ({"frequency_mhz": "1500", "frequency_mhz_after": "1000"}, "the clock fell from 1500 to 1000 MHz"),
        ({"frequency_mhz": "1500", "frequency_mhz_after": "1450"}, ""),
        ({"frequency_mhz": "600", "frequency_mhz_after": "1500"}, ""),
        ({"temperature_c": "50.0", "temperature_c_after": "82.3"}, "82.3 °C afterwards"),
        ({"temperature_c": "50.0", "temperature_c_after": "61.0"}, ""),
        ({"throttled": "0x0", "throttled_after": "0x50005"}, "unstable: the board throttled"),
        ({"throttled": "0x50000"}, ""),  # long ago, not now
        ({"throttled": "0x50000", "throttled_after": "0x50000"}, ""),
        ({"throttled": "0x10000", "throttled_after": "0x50000"}, "unstable: the board throttled"),  # while measuring
        ({"throttled": "odd"}, ""),
    ],
)
def test_what_the_machine_says(facts: dict[str, str], expected: str) -> None:
    found = stats.notes(gamma(0, 600), [600], facts)
    assert len(found) == (1 if expected else 0)
    assert all(note.startswith(expected) for note in found)
    assert stats.summary(measured([gamma(0, 600)], **facts)).unstable is expected.startswith("unstable")


def test_cold_measurement_is_noted() -> None:
    (note,) = stats.notes(gamma(0, 600), [600], {}, warm=False)
    assert "warm-up ended at its limit" in note


def test_t_quantiles() -> None:
    from scipy import stats as reference

    for level in (0.5, 0.95, 0.99, 0.999):
        for degrees in [*range(1, 40), 100, 999, 1000]:
            expected = reference.t.ppf((1 + level) / 2, degrees)
            assert intervals.t_quantile(level, degrees) == pytest.approx(expected, rel=1e-8)


_BAD: list[Callable[[], object]] = [
    lambda: stats.summary(measured([np.array([])])),
    lambda: stats.summary(measured([np.array([1.0, math.nan])])),
    lambda: stats.summary(replace(measured([gamma(0, 10)]), round_lengths=(9,))),
    lambda: stats.summary(replace(measured([gamma(0, 10)]), round_lengths=())),
    lambda: stats.summary(replace(measured([gamma(0, 10)]), round_lengths=(10, 0))),
    lambda: stats.notes([], [], {}),
    lambda: intervals.t_quantile(1.0, 5),
    lambda: intervals.t_quantile(0.95, 0),
]


@pytest.mark.parametrize("call", _BAD)
def test_what_is_no_measurement(call: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        call()
