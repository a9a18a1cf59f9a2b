"""The front, the choice and its reasons; limits as a user writes them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import pytest
from tests import report_builder

from edgeship import codec
from edgeship.errors import InputError
from edgeship.searching import page
from edgeship.searching.choice import choose, front
from edgeship.searching.limits import Limits, objectives, parse_all, parse_at, parse_bytes, parse_seconds, value_of
from edgeship.searching.outcome import broken
from edgeship.searching.trials import Timing, Trial, WorstSlice
from edgeship.types import Change, Stage, StageFile

RECIPE = {
    "schema": "edgeship.recipe/1",
    "name": "pruned",
    "stages": [{"prune": {"sparsity": 0.7}}],
    "variants": ["int8"],
}
BOTH = ("drop", "bytes")


def trial(number, drop, size, high=None, ms=None, **more):
    change = Change(drop, (drop - 1, drop + 1 if high is None else high), "points")
    file = StageFile("tflite/int8", "0" * 64, "litert", 1000, 0.9, change, change, size, size, size, size)
    timings = () if ms is None else (Timing("local", "litert", 0.5, None, 1.0, 30.0, ms),)
    return Trial("finished", RECIPE, number, file=file, timings=timings, metric="accuracy", **more)


def test_the_front_has_what_nothing_dominates():
    rows = [trial(0, 0.0, 900), trial(1, 1.0, 500), trial(2, 1.0, 600), trial(3, 0.0, 900), trial(4, 3.0, 100)]
    rows += [Trial("failed", RECIPE, 5), Trial("stopped", RECIPE, 6)]
    assert [t.number for t in front(rows, BOTH)] == [4, 1, 0]
    independent = [
        t.number for t in rows[:5]
        if not any(o.file.drop.value <= t.file.drop.value and o.wire_bytes <= t.wire_bytes
                   and (o.file.drop.value, o.wire_bytes) != (t.file.drop.value, t.wire_bytes) for o in rows[:5])
    ]  # fmt: skip
    assert set(independent) - {3} == {0, 1, 4}


def test_what_is_no_number_is_neither_in_the_front_nor_chosen():
    lost = trial(1, math.nan, 100)
    assert [t.number for t in front([trial(0, 0.0, 900), lost], BOTH)] == [0]
    assert choose([lost], BOTH, Limits(max_drop=0.5)).trial is None
    uneven = trial(2, 0.0, 100, worst_slice=WorstSlice("label=3", 50, math.nan, (math.nan, math.nan)))
    assert choose([uneven], BOTH, Limits(max_drop=0.5, max_slice_drop=5.0)).trial is None


def test_the_choice_is_the_smallest_that_is_shown_to_keep_the_drop():
    rows = [
        trial(0, 0.0, 900, high=0.4),
        trial(1, 0.3, 500, high=0.9),
        trial(2, 0.1, 700, high=0.5),
        trial(3, 2.0, 100),
    ]
    found = choose(rows, BOTH, Limits(max_drop=0.5))
    assert found.trial.number == 2
    assert found.runner_up.number == 0
    text = "\n".join(found.why)
    assert "1 of them may break a limit by their 95 % intervals, and come after" in text
    assert "limit max-drop bound: it excludes 1 trial with less bytes to send (nearest: 3: pruned" in text
    assert "runner-up: 0: pruned" in text


def test_with_too_few_samples_the_drop_itself_decides_and_it_is_said():
    found = choose([trial(0, 0.0, 900), trial(1, 0.3, 500)], BOTH, Limits(max_drop=0.5))
    assert found.trial.number == 1
    assert "none of them is shown to keep the drop with certainty" in "\n".join(found.why)


def test_a_slice_that_may_be_worse_than_its_limit_comes_after(tmp_path):
    """As its gate will judge it: of the slice that lost most, or of a smaller one with a wider interval."""
    doubtful = trial(0, 0.0, 400, high=0.1, worst_slice=WorstSlice("label=1", 50, 4.9, (-2.0, 4.95), 12.0))
    certain = trial(1, 0.0, 500, high=0.1, worst_slice=WorstSlice("label=1", 50, 1.0, (-1.0, 3.0), 4.0))
    limits = Limits(0.5, max_slice_drop=5.0)
    assert (limits.doubts(doubtful), limits.doubts(certain)) == (("max-slice-drop",), ())
    assert choose([doubtful, certain], BOTH, limits).trial == certain
    found = choose([doubtful], BOTH, limits)
    assert found.trial == doubtful
    assert "none of them is shown to keep max-slice-drop with certainty" in "\n".join(found.why)


def test_a_latency_is_certain_by_its_interval():
    timing = Timing("local", "litert", 0.5, (0.4, 0.6), 1.0, 30.0, 2.0)
    row = replace(trial(0, 0.0, 400, high=0.1), timings=(timing,))
    assert timing.high_ms == pytest.approx(2.4)
    assert Limits(0.5, max_ms={"local": 2.2}).doubts(row) == ("max-ms@local",)
    assert Limits(0.5, max_ms={"local": 2.5}).doubts(row) == ()
    assert trial(0, 0.0, 400, ms=2.0).timings[0].high_ms == 2.0


def test_the_build_is_held_to_the_limits_that_no_gate_knows(tmp_path):
    made = report_builder.build(tmp_path)
    (int8,) = [a for a in made.artifacts if a.id == "tflite/int8"]
    rows = tuple(m for m in made.measurements if m.artifact == int8.id)
    built = replace(made, artifacts=(int8,), measurements=rows)
    assert broken(Limits(max_ms={"local": 1.0}, max_mib={"local": 60.0}), built) == ()
    (tiny,) = broken(Limits(max_bytes=1), built)
    assert "bytes to send, the limit is 1" in tiny
    slow, large, unmeasured = broken(Limits(max_ms={"local": 0.1, "ssh://pi": 1.0}, max_mib={"local": 10.0}), built)
    assert re.fullmatch(r"tflite/int8 takes 0.3\d+ ms on local, the limit is 0.1", slow)
    assert large == "tflite/int8 takes 58.2 MiB on local, the limit is 10"
    assert unmeasured == "tflite/int8 was not measured on ssh://pi, where the limit is 1 ms"


def test_every_limit_counts_and_the_one_that_bound_is_named():
    even = WorstSlice("label=1", 50, 1.0, (-1.0, 3.0))
    slow = trial(0, 0.0, 500, ms=3.0, worst_slice=even)
    large = trial(1, 0.0, 5000, ms=0.1, worst_slice=even)
    uneven = trial(2, 0.0, 400, ms=0.1, worst_slice=WorstSlice("label=3", 50, 9.0, (1.0, 17.0)))
    limits = Limits(0.5, max_bytes=1000, max_ms={"local": 2.0}, max_slice_drop=5.0)
    found = choose([slow, large, uneven], BOTH, limits)
    assert found.trial is None
    text = "\n".join(found.why)
    assert "no trial keeps all limits (drop 0.5, drop in any slice 5, 1,000 bytes, 2 ms on local): 3 finished" in text
    for name in ("max-ms@local", "max-bytes", "max-slice-drop"):
        assert f"limit {name} bound: it excludes 1 trial" in text
    assert limits.excess(slow)["max-ms@local"] == 0.5
    assert limits.excess(trial(4, 0, 1))["max-ms@local"] == math.inf  # what was not measured keeps no limit


def test_wide_limits_have_room_for_losses_and_for_nothing_else():
    limits = Limits(0.5, max_bytes=1000, max_ms={"local": 2.0}, max_slice_drop=5.0)
    assert limits.wide == Limits(2.5, max_bytes=1000, max_ms={"local": 2.0}, max_slice_drop=25.0)
    assert Limits(60.0).wide == Limits(100.0)


def test_a_trial_far_beyond_the_limit_is_not_worth_more_training():
    assert Limits(max_drop=0.5).far_beyond == 7.5


@pytest.mark.parametrize(
    ("text", "value"), [("40k", 40_000), ("40Ki", 40_960), ("1.5M", 1_500_000), ("7", 7), ("9kB", 9000)]
)
def test_bytes(text, value):
    assert parse_bytes(text) == value


@pytest.mark.parametrize("text", ["", "k", "-1k", "0", "1e9", "40 K K", "9" * 99, "٣k"])
def test_no_bytes(text):
    with pytest.raises(InputError):
        parse_bytes(text)


def test_limits_at_targets_and_times():
    assert parse_at("2@ssh://pi@host", "ms") == ("ssh://pi@host", 2.0)
    assert parse_at("0.5", "ms") == ("local", 0.5)
    assert (parse_seconds("30m"), parse_seconds("1.5h")) == (1800.0, 5400.0)
    assert parse_all(["2@local", "3@ssh://pi"], "ms") == {"local": 2.0, "ssh://pi": 3.0}
    with pytest.raises(InputError, match="local has two limits in ms: 2 and 3"):
        parse_all(["2@local", "3"], "ms")
    for text in ("nan@local", "inf", "-1", "x@local", ""):
        with pytest.raises(InputError):
            parse_at(text, "ms")
    for text in ("30", "m", "-3m", "1y"):
        with pytest.raises(InputError):
            parse_seconds(text)
    for more in ({"max_drop": -1}, {"max_bytes": 0}, {"max_ms": {"local": math.nan}}, {"max_slice_drop": 101}):
        with pytest.raises(InputError):
            Limits(**more)


def test_objectives():
    assert objectives((), ("local",)) == ("drop", "bytes", "ms@local")
    assert objectives(("ms", "bytes"), ("local",)) == ("drop", "ms@local", "bytes")
    for wrong in ("speed", "ms@ssh://pi", "bytes@local", "ms"):
        with pytest.raises(InputError):
            objectives((wrong,), ())
    assert value_of(trial(0, 0.25, 900, ms=2.0), "ms@local") == 2.0
    assert value_of(trial(0, 0.25, 900), "ms@local") == math.inf


def test_trials_cross_processes_unchanged():
    stages = (Stage("base", 0.9, 10, 10, 0.0, 0, 0.0), Stage("prune", 0.8, 5, 10, 0.5, 2, 1.5, ("a note",)))
    given = trial(3, 0.5, 700, ms=0.2, stages=stages, worst_slice=WorstSlice("a", 3, 1.0, (0.0, 2.0)))
    assert codec.from_json(Trial, codec.to_json(given)) == given
    assert json.loads(codec.to_json(given))["recipe"]["name"] == "pruned"


@pytest.mark.parametrize(
    ("direction", "unit", "after", "told"),
    [("minimize", "%", 12.0, "+20.00"), ("minimize", "%", 8.0, "-20.00"), ("maximize", "points", 9.5, "+50.00")],
)
def test_what_a_stage_cost_is_positive_where_it_is_worse(direction, unit, after, told):
    stages = (Stage("base", 10.0, 10, 10, 0.0, 0, 0.0), Stage("prune", after, 5, 10, 0.5, 2, 1.5))
    row = trial(0, 0.1, 900, high=0.4, stages=stages, direction=direction, unit=unit)
    shown = page.Shown("m", (row,), BOTH, Limits(0.5), choose((row,), BOTH, Limits(0.5)), "ended", None)
    html = page.render(shown, running=False)
    assert f"Lost in the stage, {unit}" in html
    assert f'<td class="n">{told}</td>' in html


def test_the_page_escapes_and_needs_no_network(tmp_path):
    evil = "<script>alert(1)</script>\"'&"
    recipe = {**RECIPE, "name": evil}
    stages = (Stage("base", 0.9, 10, 10, 0.0, 0, 0.0), Stage(evil, 0.8, 5, 10, 0.5, 2, 1.5))
    rows = (
        replace(trial(0, 0.1, 900, ms=0.2), recipe=recipe, stages=stages),
        replace(trial(1, 9.0, 400, ms=0.1), recipe=recipe),
        Trial("failed", recipe, 2, reason=evil, error="EdgeshipError"),
    )
    objectives_ = ("drop", "bytes", "ms@local")
    limits = Limits(max_drop=2.0)
    shown = page.Shown(evil, rows, objectives_, limits, choose(rows, objectives_, limits), evil, None)
    for running in (True, False):
        html = page.render(shown, running=running)
        assert "<script" not in html
        assert "alert(1)" in html
        assert not re.search(r'(src|href)="(?!#)', html)
        assert "default-src 'none'" in html
        assert ('http-equiv="refresh"' in html) == running
        assert html.count("<title>") == 1 + 2 * 2  # the page's own, and one for each mark of both sizes of the picture
    empty = page.Shown("m", (), objectives_, limits, choose((), objectives_, limits), "running", None)
    assert "No trial keeps all limits yet" in page.render(empty, running=True)
