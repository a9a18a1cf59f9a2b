"""The parts of the search's acceptance that judge and count."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from tests import search_proxy
from tests.acceptance.compression import records
from tests.acceptance.search import page, proxy


def rows(gains: list[float]) -> dict[str, Any]:
    """Records of both samplers whose hypervolumes differ by so much."""
    made = [
        {"seed": n, "tpe": {"hypervolume": 0.5 + gain, "bytes": 10}, "random": {"hypervolume": 0.5, "bytes": None}}
        for n, gain in enumerate(gains)
    ]
    return {"trials": 60, "task": "a task", "rows": made}


def test_the_interval_of_paired_differences_is_students() -> None:
    gains = [0.01, 0.03, 0.02, -0.01, 0.04]
    expected = stats.ttest_1samp(gains, 0.0).confidence_interval(0.95)
    assert page.paired(gains) == pytest.approx((expected.low, expected.high))


def test_tpe_is_ahead_only_beyond_the_interval_of_the_difference() -> None:
    text, met = page._random(rows([0.10, 0.12, 0.11, 0.09, 0.10]))
    assert met
    assert "By seed TPE gains +0.1040 [" in text
    assert "ahead with 5 of 5 seeds" in text
    _, met = page._random(rows([0.30, -0.10, 0.05, -0.04, 0.01]))  # ahead in the mean, by one lucky seed
    assert not met


def test_what_is_counted_is_what_the_study_has(tmp_path: Path) -> None:
    words = (str(tmp_path), "--trials", "5")
    search_proxy.run(search_proxy.arguments([*words]))
    (tmp_path / "log").write_text("")  # a line is written before its result is told, and may be the last of a process
    assert proxy._finished(*words) == 3


def file(method: str, size: int, right: int, seed: int = 0) -> records.Record:
    """A file that is right about the first `right` of 1,000 samples."""
    rights = records.pack(np.arange(1000) < right)
    return records.Record(
        "cifar10", method, seed, "", "", "", {}, {}, 0.0, sizes={"brotli": size}, n=1000, base_accuracy=0.9,
        accuracy=right / 1000, right=rights,
    )  # fmt: skip


def test_a_written_recipe_dominates_where_no_file_as_small_is_as_accurate() -> None:
    front = [file("trial 3", 20_000, 850), file("trial 7", 40_000, 890)]
    assert page.dominating([file("small", 30_000, 851)], front) == []  # by one sample: within the interval
    assert page.dominating([file("small", 30_000, 880)], front) == ["small"]
    assert page.dominating([file("tiny", 19_000, 700)], front) == ["tiny"]
    assert page.dominating([file("wrong", 10_000, 100)], front) == []  # of no use to anyone
    seeds = [file("small", 30_000, 880), file("small", 30_000, 821, seed=1)]
    assert page.dominating(seeds, front) == []  # in the mean of its seeds


def test_bytes_have_the_noise_of_a_recipes_own_runs() -> None:
    sizes = [30_900, 30_800, 30_780]
    seeds = [file("small", size, 880, seed=n) for n, size in enumerate(sizes)]
    most = page.one_more(sizes)
    once = np.random.default_rng(0).normal(size=(4000, 4))  # three runs, and one more
    within = [page.one_more(row[:3]) >= row[3] for row in once.tolist()]
    assert np.mean(within) == pytest.approx(0.975, abs=0.01)
    assert page.dominating(seeds, [file("trial 11", math.floor(most), 878)]) == []
    assert page.dominating(seeds, [file("trial 11", math.ceil(most), 878)]) == ["small"]
    assert page.dominating(seeds[:1], [file("trial 11", 30_901, 878)]) == ["small"]  # of one run nobody knows
