"""A build against an earlier one: what certainly became worse is called, in numbers of an independent computation."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar

from edgeship.baselines.builds import open_build
from edgeship.baselines.changes import Limits, apart, compare, shares_apart
from edgeship.cli import cli, failures
from edgeship.errors import ArtifactError, InputError
from edgeship.slices import membership
from edgeship.slices.definitions import Slice
from edgeship.types import Change


@pytest.fixture(scope="session")
def builds(work):
    return {name: open_build(work / "builds" / name) for name in ("first", "again", "worse")}


def changed(found, name="tflite/int8"):
    return next(change for change in found.files if change.artifact == name)


def test_equal_files_are_the_same_whatever_the_clock_said(builds):
    found = compare(builds["again"], builds["first"], Limits())
    assert (found.same_model, found.same_data, found.regressions, found.untold) == (True, True, 0, 0)
    for change in found.files:
        assert (change.there, change.before, change.now, change.worse) == ("both", "pass", "pass", False)
        assert change.metric.verdict == "same"
        assert {figure.verdict for figure in change.figures} <= {"same", "no verdict"}


def test_what_fell_is_found_with_its_slice_on_the_same_samples(builds, work):
    found = compare(builds["worse"], builds["first"], Limits())
    change = changed(found)
    before, now = (
        np.load(work / "builds" / name / "predictions" / "tflite__int8__litert" / "per_sample.npy")
        for name in ("first", "worse")
    )
    assert not found.same_model
    assert found.same_data
    assert change.metric.verdict == "regression"
    assert change.metric.change.value == pytest.approx(100 * (before.mean() - now.mean()), rel=1e-12)
    assert change.metric.how == "paired, 1,500 samples"
    south = np.load(work / "shops.npz")["slice_test.shop"] == "south"
    row = next(row for row in change.fallen if row.slice == "shop=south")
    broken, fixed = (int((south & (before > now)).sum()), int((south & (now > before)).sum()))
    assert (row.n, row.broken, row.fixed) == (int(south.sum()), broken, fixed)
    theirs = mcnemar([[0, broken], [fixed, 0]], exact=True).pvalue
    assert row.p == pytest.approx(theirs, rel=1e-9)
    assert change.fallen[0].slice == "shop=south"
    assert "shop=north" not in {row.slice for row in change.fallen}
    assert change.tested == 4


def test_limits_allow_what_they_say(builds):
    lost = changed(compare(builds["worse"], builds["first"], Limits())).metric.change.interval
    kind = compare(builds["worse"], builds["first"], Limits(drop=99.0, share=10.0))
    assert kind.regressions == 0
    assert changed(kind).metric.verdict == "allowed"
    assert (
        changed(compare(builds["worse"], builds["first"], Limits(drop=lost[0] - 0.01))).metric.verdict == "regression"
    )
    assert changed(compare(builds["worse"], builds["first"], Limits(drop=lost[0] + 0.01))).metric.verdict == "allowed"
    assert changed(compare(builds["first"], builds["worse"], Limits())).metric.verdict == "improvement"


def test_without_results_of_samples_the_interval_is_wider_and_holds_the_paired_one(builds, work, tmp_path):
    shutil.copy(work / "builds" / "first" / "report.json", tmp_path / "report.json")
    alone = open_build(tmp_path / "report.json")
    assert not alone.files["tflite/int8"].results
    paired = changed(compare(builds["worse"], builds["first"], Limits())).metric
    for baseline in (alone, open_build(work / "bundle")):
        wide = changed(compare(builds["worse"], baseline, Limits())).metric
        assert wide.verdict == "regression"
        assert "wider than a paired interval" in wide.how
        assert wide.change.value == pytest.approx(paired.change.value, abs=1e-9)
        assert wide.change.interval[0] <= paired.change.interval[0]
        assert wide.change.interval[1] >= paired.change.interval[1]
        assert not changed(compare(builds["worse"], baseline, Limits())).fallen or baseline is alone


def test_of_many_slices_that_lose_what_is_allowed_none_is_called(builds):
    rng = np.random.default_rng(3)  # two intervals of slices that lost 5 points lie beyond 5
    place = np.arange(40_000) % 40
    lost = np.where(place == 39, 0.2, 0.05)  # what is allowed everywhere, and more in one slice
    rows = [np.ones(40_000), (rng.random(40_000) >= lost).astype(float)]
    parts = tuple(Slice(f"part={k}", place == k) for k in range(40))
    before, now = (
        replace(build, slices=parts, files={"tflite/int8": replace(build.files["tflite/int8"], results={"litert": r})})
        for build, r in zip((builds["first"], builds["worse"]), rows, strict=True)
    )
    change = changed(compare(now, before, Limits(drop=5.0)))
    assert ([row.slice for row in change.fallen], change.tested) == (["part=39"], 40)


def test_bytes_of_a_bundle_are_those_of_the_build_that_it_is_of(builds, work):
    bundle = open_build(work / "bundle").files["tflite/int8"]
    build = builds["first"].files["tflite/int8"]
    assert (bundle.sha256, bundle.size_bytes) == (build.sha256, build.size_bytes)
    assert bundle.wire_bytes == pytest.approx(build.wire_bytes, rel=0.01)


def test_the_interval_of_two_drops_holds_the_truth_whatever_their_correlation():
    """200 data sets each, from independent to the same: the difference of two drops by half-widths that add up."""
    rng = np.random.default_rng(0)
    for correlation in (-1.0, 0.0, 0.7, 1.0):
        held = 0
        for _ in range(200):
            first = rng.normal()
            second = correlation * first + np.sqrt(1 - correlation**2) * rng.normal()
            drops = [Change(value, (value - 1.96, value + 1.96), "points") for value in (first, 1.0 + second)]
            low, high = apart(*drops).interval
            held += low <= 1.0 <= high
        assert held >= 188, correlation


def test_two_shares_of_independent_samples_hold_the_truth():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        before, now = rng.binomial(100, 0.95) / 100, rng.binomial(100, 0.9) / 100
        low, high = shares_apart(before, now, 100).interval
        held += low <= 5 <= high
    assert held >= 190


def test_other_test_data_give_no_verdict_on_the_metric(builds):
    other = replace(builds["first"], data="f" * 64, samples="f" * 64)
    # Two models' files differ by some bytes, either way.
    found = compare(builds["worse"], other, Limits(share=0.1))
    assert (found.untold, found.regressions, found.passed) == (2, 0, False)
    assert changed(found).metric.how == "other test data"
    assert not changed(found).fallen


def test_samples_are_known_whatever_their_inputs_and_columns_are_called(builds):
    renamed = replace(builds["first"], data="f" * 64)
    assert changed(compare(builds["worse"], renamed, Limits())).metric.how == "paired, 1,500 samples"
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 2, 40)
    digest = membership.samples_sha256([x], y)
    assert digest == membership.samples_sha256([x.copy(order="F")], y)
    assert digest != membership.samples_sha256([x[::-1]], y)
    assert digest != membership.samples_sha256([x], 1 - y)
    assert digest != membership.samples_sha256([x.reshape(40, 3, 1)], y)


def test_files_that_came_and_went_are_named_and_count_only_where_they_failed(builds):
    now, before = builds["again"], builds["first"]
    fewer = replace(now, files={"tflite/int8": now.files["tflite/int8"]})
    gone = changed(compare(fewer, before, Limits()), "tflite/float32")
    assert (gone.there, gone.worse) == ("gone", False)
    came = compare(now, replace(before, files={"tflite/int8": before.files["tflite/int8"]}), Limits())
    assert changed(came, "tflite/float32").there == "new"
    with pytest.raises(InputError, match="nothing to compare"):
        compare(replace(now, files={"tflite/int8": now.files["tflite/int8"]}),
                replace(before, files={"tflite/float32": before.files["tflite/float32"]}), Limits())  # fmt: skip


def test_a_gate_that_fails_now_is_a_regression(builds):
    now = builds["again"]
    failing = replace(now, files={**now.files, "tflite/int8": replace(now.files["tflite/int8"], status="fail")})
    assert changed(compare(failing, builds["first"], Limits())).worse


def test_another_metric_is_refused(builds):
    with pytest.raises(InputError, match="judged by auc"):
        compare(builds["again"], replace(builds["first"], metric="auc"), Limits())


def test_what_is_no_build_is_said(tmp_path, copy):
    with pytest.raises(InputError, match="there is no"):
        open_build(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is no build"):
        open_build(tmp_path / "empty")
    build = copy("first")
    rows = build / "predictions" / "tflite__int8__litert" / "per_sample.npy"
    huge = rows.read_bytes().replace(b"(1500,), }        ", b"(150099999999,), }")
    assert huge != rows.read_bytes()
    for damage in (b"", rows.read_bytes()[:-8], b"\x93NUMPY nonsense", huge):
        rows.write_bytes(damage)
        with pytest.raises(InputError, match="per_sample"):
            open_build(build)
    np.save(rows, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        open_build(build)


def test_nothing_outside_of_the_folder_is_read(copy, work, tmp_path):
    build = copy("first")
    rows = build / "predictions" / "tflite__int8__litert" / "per_sample.npy"
    (tmp_path / "secret.npy").write_bytes(rows.read_bytes())
    rows.unlink()
    rows.symlink_to(tmp_path / "secret.npy")
    with pytest.raises(InputError, match="leads out"):
        open_build(build)


def test_damaged_slices_are_refused(copy):
    build = copy("first")
    place = build / "predictions" / "original" / "slices.npz"
    content = place.read_bytes()
    for damage in (b"", content[:-30], b"PK nonsense"):
        place.write_bytes(damage)
        with pytest.raises(InputError, match="slices"):
            open_build(build)
    np.savez(place, names=np.array(["a"]), masks=np.zeros((2, 4), np.uint8), n=np.int64(32), samples=np.str_(""))
    with pytest.raises(InputError, match="no slices"):
        open_build(build)


def test_a_damaged_bundle_is_refused(work, tmp_path):
    bundle = shutil.copytree(work / "bundle", tmp_path / "bundle")
    (bundle / "extra").write_text("x")
    with pytest.raises(ArtifactError):
        open_build(bundle)


@pytest.fixture
def build_command(made, work, monkeypatch, tmp_path):
    monkeypatch.setenv("EDGESHIP_CACHE", str(made / "cache"))
    monkeypatch.chdir(tmp_path)
    words = ["--data", str(work / "shops.npz"), "--recipe", "int8", "--quantize", "int8", "--to", "tflite",
             "--max-drop", "20", "--slices", "label, shop", "--min-seconds", "0.05", "--min-runs", "20"]  # fmt: skip
    return lambda model, *more: failures.run(cli, ["build", str(work / model), *words, *map(str, more)])


def test_the_command_ends_with_1_where_a_slice_fell_and_writes_what_a_pull_request_shows(
    build_command, work, tmp_path, monkeypatch, capsys
):
    step = tmp_path / "step.md"
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    first = work / "builds" / "first"
    assert build_command("worse.keras", "--out", "new", "--compare", first, "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert document["comparison"]["passed"] is False
    (compared,) = [f for f in document["comparison"]["files"] if f["artifact"] == "tflite/int8"]
    assert compared["metric"]["verdict"] == "regression"
    assert next(row["slice"] for row in compared["fallen"]) == "shop=south"
    page = (tmp_path / "new" / "summary.md").read_text()
    assert "Slices that fell" in page
    assert "| shop=south | tflite/int8 |" in page
    assert step.read_text() == f"before\n{page}\n"
    # The folder itself may be the baseline: it is read before it is replaced.
    again = ("--out", "new", "--compare", "new", "--summary", "elsewhere.md")
    assert build_command("worse.keras", *again) == 0
    said = capsys.readouterr()
    assert "nothing is worse" in said.out
    assert (tmp_path / "elsewhere.md").read_text().startswith("## ✅ worse: all gates passed, no regression")


def test_a_baseline_that_is_none_is_refused_before_anything_is_made(build_command, tmp_path, capsys):
    assert build_command("worse.keras", "--out", "new", "--compare", tmp_path / "nothing") == 2
    assert build_command("worse.keras", "--out", "new", "--allow-drop", "1") == 2
    assert not (tmp_path / "new").exists()
    assert "--compare" in capsys.readouterr().err
