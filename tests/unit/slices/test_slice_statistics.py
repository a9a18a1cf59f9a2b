"""The statistics of slices: equal to other computations, and right at the rates that they claim."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn_metrics
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW
from tests.acceptance.slices import limits, simulated

from edgeship import verify
from edgeship.metrics import Accuracy, AreaUnderCurve, MeanIntersectionOverUnion, MeanSquaredError
from edgeship.slices import compare
from edgeship.slices.answers import answers, calibration
from edgeship.slices.comparison import Settings, contrast
from edgeship.slices.definitions import Slice
from edgeship.slices.occlusion import spearman
from edgeship.slices.statistics import estimate, excess, holm, mcnemar

CLOSE = {"rel": 1e-9, "abs": 1e-9}


@pytest.mark.parametrize(("broken", "fixed"), [(0, 0), (5, 1), (1, 5), (9, 9), (40, 3), (700, 520)])
def test_mcnemar_is_that_of_statsmodels(broken: int, fixed: int) -> None:
    theirs = their_mcnemar([[0, broken], [fixed, 0]], exact=True).pvalue
    assert mcnemar(broken, fixed) == pytest.approx(theirs, **CLOSE)


def test_holm_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(0)
    for m in (1, 2, 7, 60):
        values = [*rng.random(m) ** 3, 0.01, 0.01]
        assert holm(values) == pytest.approx(multipletests(values, method="holm")[1], **CLOSE)


def test_rows_of_accuracy_are_those_of_other_computations() -> None:
    rng = np.random.default_rng(1)
    base = (rng.random(900) < 0.8).astype(float)
    found = np.where(rng.random(900) < 0.1, 1 - base, base)
    groups = {"group": rng.choice(["a", "b", "c"], 900)}
    rows = compare(base, found, groups)
    tables = {}
    for row in rows:
        mask = groups["group"] == row.slice.removeprefix("group=")
        a, b = base[mask], found[mask]
        assert row.n == mask.sum()
        assert row.before == pytest.approx(sklearn_metrics.accuracy_score(np.ones_like(a), a), **CLOSE)
        assert row.after == pytest.approx(sklearn_metrics.accuracy_score(np.ones_like(b), b), **CLOSE)
        assert row.delta == pytest.approx(row.after - row.before, **CLOSE)
        assert (row.broken, row.fixed) == (int((a > b).sum()), int((a < b).sum()))
        table = [[int((a * b).sum()), row.broken], [row.fixed, int(((1 - a) * (1 - b)).sum())]]
        tables[row.slice] = their_mcnemar(table, exact=True).pvalue
        assert row.p == pytest.approx(tables[row.slice], **CLOSE)
        drop = verify.paired_drop(Accuracy(), a, b)  # the interval that the metric gate has
        assert (row.low, row.high) == pytest.approx((-drop.high / 100, -drop.low / 100), rel=1e-6)
    adjusted = multipletests(list(tables.values()), method="holm")[1]
    assert [row.p_adjusted for row in rows] == pytest.approx(adjusted, **CLOSE)


def test_errors_get_the_paired_t_test_of_statsmodels() -> None:
    rng = np.random.default_rng(2)
    before = rng.gamma(2, 1, 200)
    after = before + rng.normal(0.05, 0.3, 200)
    found = estimate(MeanSquaredError(), before, after)
    theirs = DescrStatsW(after - before)
    assert (found.low, found.high) == pytest.approx(theirs.tconfint_mean(), **CLOSE)
    assert found.p == pytest.approx(theirs.ttest_mean()[1], **CLOSE)
    assert found.p == pytest.approx(stats.ttest_rel(after, before).pvalue, **CLOSE)
    assert found.drop.value == pytest.approx(100 * (after.mean() - before.mean()) / before.mean(), **CLOSE)
    assert found.drop.interval[0] < found.drop.value < found.drop.interval[1]
    assert found.drop.unit == "%"


def test_auc_and_miou_are_those_of_scikit_learn_and_get_a_bootstrap() -> None:
    rng = np.random.default_rng(3)
    labels = rng.random(300) < 0.4
    score = rng.normal(size=300) + 1.5 * labels
    other = score + rng.normal(0, 1.2, 300)
    rows = [AreaUnderCurve().per_sample(s[:, None], labels.astype(int)) for s in (score, other)]
    (row,) = compare(*rows, {"all of them": np.ones(300)}, metric="auc")
    assert row.before == pytest.approx(sklearn_metrics.roc_auc_score(labels, score), **CLOSE)
    assert row.after == pytest.approx(sklearn_metrics.roc_auc_score(labels, other), **CLOSE)
    assert row.low < row.delta < row.high < 0  # so much noise is seen
    assert row.significant
    assert (row.broken, row.fixed) == (None, None)
    assert compare(*rows, {"all of them": np.ones(300)}, metric="auc") == (row,)  # seeded

    truth = rng.integers(0, 3, (40, 6, 6))
    given = np.where(rng.random(truth.shape) < 0.2, rng.integers(0, 3, truth.shape), truth)
    maps = [MeanIntersectionOverUnion().per_sample(np.eye(3)[g], truth) for g in (truth, given)]
    (row,) = compare(*maps, {"g": np.zeros(40)}, metric="miou")
    theirs = sklearn_metrics.jaccard_score(truth.ravel(), given.ravel(), average="macro")
    assert (row.before, row.after) == pytest.approx((1.0, theirs), **CLOSE)


def test_calibration_is_that_of_other_computations() -> None:
    rng = np.random.default_rng(4)
    logits = 2 * rng.normal(size=(500, 4))
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(4, p=p) for p in chances])  # the model is calibrated
    before = answers(logits, logits)
    after = answers(3 * logits, logits)  # too sure of itself
    found = calibration(before, after, labels)
    shares = chances
    assert before.shares == pytest.approx(shares, **CLOSE)
    hot = np.eye(4)[labels]
    assert found.brier_before == pytest.approx(4 * sklearn_metrics.mean_squared_error(hot, shares), **CLOSE)
    theirs = sklearn_metrics.brier_score_loss(labels, shares, scale_by_half=False)
    assert found.brier_before == pytest.approx(theirs, **CLOSE)
    sure, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    place = np.digitize(sure, np.linspace(0, 1, 16)[1:-1], right=True)
    ece = sum(abs(sure[place == b].mean() - right[place == b].mean()) * (place == b).mean() for b in np.unique(place))
    assert found.ece_before == pytest.approx(ece, **CLOSE)
    assert found.ece_after > found.ece_before + 0.05
    assert found.ece_change.interval[0] > 0
    assert found.confidence_change.interval[0] > 0
    assert found.adaptive_after > found.adaptive_before + 0.05


def test_rank_correlation_is_that_of_scipy() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 6, 64).astype(float), rng.normal(size=64)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, **CLOSE)


def test_the_excess_is_over_the_change_of_all_samples() -> None:
    rng = np.random.default_rng(6)
    base, found = (rng.random(400) < 0.9).astype(float), (rng.random(400) < 0.8).astype(float)
    part, rest = (estimate(Accuracy(), base[s], found[s]) for s in (slice(0, 100), slice(100, None)))
    value, low, high = excess(part, rest)
    assert value == pytest.approx(part.delta - (found.mean() - base.mean()), **CLOSE)
    assert low < value < high


def test_a_slice_that_stayed_lost_less_than_all_samples() -> None:
    rng = np.random.default_rng(7)
    base = rng.gamma(2, 1, 400)
    first = np.arange(400) < 200
    rows = contrast(MeanSquaredError(), base, np.where(first, base, base + 1), [Slice("first", first)], Settings()).rows
    assert (rows[0].low, rows[0].high) == (0.0, 0.0)
    assert rows[0].excess == pytest.approx(-0.5, **CLOSE)
    assert rows[0].excess_low < 0
    (exact,) = contrast(MeanSquaredError(), base, base, [Slice("first", first)], Settings(), exact=True).rows
    assert (exact.excess, exact.excess_low, exact.excess_high) == (0.0, 0.0, 0.0)


def test_a_slice_whose_metric_is_no_number_any_more_is_lost_however_few_its_samples() -> None:
    base, part = np.ones(100), Slice("part", np.arange(100) < 10)
    for bad in (np.nan, np.inf):
        found = np.where(np.arange(100) < 3, bad, 1.0)
        compared = contrast(MeanSquaredError(), base, found, [part, Slice("rest", ~part.mask)], Settings(limit=5.0))
        row, rest = compared.rows
        assert (row.slice, row.status, row.no_number, row.lost, row.broken) == ("part", "fail", True, True, 3)
        assert (rest.status, rest.lost) == ("pass", False)
        assert compared.small == ()
    (undefined,) = contrast(MeanSquaredError(), found, base, [part], Settings(limit=5.0)).small
    assert (undefined.note, undefined.status) == ("fewer than 30 samples", None)


def test_the_test_of_a_limit_is_that_of_other_computations() -> None:
    rng = np.random.default_rng(8)
    before = np.ones(200)
    after = before + rng.normal(0.1, 0.3, 200)
    grown = estimate(MeanSquaredError(), before, after).spread
    theirs = stats.ttest_1samp(100 * (after - before), 7.0, alternative="greater").pvalue
    assert grown.above(7.0) == pytest.approx(theirs, **CLOSE)
    assert estimate(MeanSquaredError(), np.ones(1), np.full(1, 2.0)).spread.above(0.0) == 1.0
    certain = estimate(MeanSquaredError(), np.ones(5), np.full(5, 1.5)).spread
    assert (certain.above(49.9), certain.above(50.0)) == (0.0, 1.0)

    right = np.where(np.arange(200) < 24, 0.0, 1.0)
    for metric, (one, other) in ((Accuracy(), (np.ones(200), right)), (Accuracy(), (right, np.ones(200)))):
        found = estimate(metric, one, other)
        # At either end of the interval of 95 %, a one-sided test has 2.5 %.
        assert found.spread.above(found.drop.interval[0]) == pytest.approx(0.025, **CLOSE)
        assert found.spread.above(found.drop.interval[1]) == pytest.approx(0.975, **CLOSE)

    labels = rng.random(300) < 0.4
    score = rng.normal(size=300) + 1.5 * labels
    rows = [AreaUnderCurve().per_sample(s[:, None], labels.astype(int)) for s in (score, score + rng.normal(size=300))]
    found = estimate(AreaUnderCurve(), *rows)
    ends = [found.spread.above(end) for end in found.drop.interval]
    assert ends == pytest.approx([0.025, 0.975], abs=0.01)  # of percentiles: nearly


def test_a_slice_fails_its_limit_only_after_the_correction() -> None:
    """Of 100 slices that lose exactly the limit, hardly any fails; without the correction, one does in most builds."""
    rates = limits.failing(Accuracy(), limits.accuracies(1.0), 1.0, sets=40)
    assert rates["beyond"] > 0.6
    assert rates["fails"] <= 0.05
    assert limits.failing(Accuracy(), limits.accuracies(0.0, 18.0), 3.0, sets=10)["fails"] >= 0.8


def test_exactly_at_the_limit_the_gate_fails_at_its_level() -> None:
    """Exact over all outcomes of 100 slices of 250 samples, where up to 30 % of the samples are fixed."""
    for rates in limits.exact().values():
        assert max(rates.values()) < 0.06
        assert rates["10"] < 0.05


def test_intervals_of_proportions_hold_the_truth_at_the_stated_rate() -> None:
    """Exact coverage over all outcomes, not a simulation."""
    for n in (30, 50, 100, 200):
        held = simulated.coverage(n)
        assert min(held) > 0.93, n
        assert np.mean(held) > 0.955, n


def test_a_planted_loss_is_found_and_nothing_is_called_where_nothing_is() -> None:
    """200 data sets of 20 slices with 250 samples each; docs/slices.md has these rates."""
    rates = simulated.rates(sets=200, seed=0)
    assert rates["null called"] <= 0.05
    assert rates["planted found"] >= 0.9
    assert rates["another slice called"] <= 0.05
    assert rates["planted is first"] >= 0.9
    assert rates["no gate fails of null"] == 1.0


def test_a_planted_loss_of_errors_is_found_and_nothing_is_called_where_nothing_is() -> None:
    rates = simulated.error_rates(sets=200, seed=0)
    assert rates["null called"] <= 0.07
    assert rates["planted found"] >= 0.9


def test_equal_results_of_errors_have_no_width_and_one_sample_no_interval() -> None:
    same = estimate(MeanSquaredError(), np.ones(5), np.ones(5))
    assert (same.low, same.high, same.p) == (0.0, 0.0, 1.0)
    one = estimate(MeanSquaredError(), np.ones(1), np.full(1, 2.0))
    assert math.isinf(one.high)
