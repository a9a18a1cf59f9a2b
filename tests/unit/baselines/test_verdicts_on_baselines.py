"""What is worse than a baseline, and when nothing can be said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests import result_rows
from tests.history_rows import artifact, kept, session, timed
from tests.latencies import measured

from edgeship.baselines import Judged, recorded, side_by_side
from edgeship.history.records import Record
from edgeship.types import NO_GPU, Artifact, DeviceInfo, Estimate, Measurement, NotMeasured, Result

OLD, NEW = artifact("a" * 64), artifact("b" * 64)


def latency(judged: Sequence[Judged]) -> Judged:
    (found,) = (item for item in judged if item.figure == "latency")
    return found


def earlier(count: int = 8, spread: float = 0.01, of: Artifact = OLD) -> list[Record]:
    """Sessions of an unchanged file around 1 ms."""
    rng = np.random.default_rng(0)
    return [kept(timed(float(np.exp(spread * rng.normal())), of), of, session(n + 2)) for n in range(count)]


def against(now: Measurement, before: Measurement, history: Sequence[Record] = (), allowed: float = 0.0) -> Judged:
    return latency(recorded([(NEW, now)], [kept(before, OLD, session(1))], history, allowed))


@pytest.mark.parametrize(
    ("now_ms", "word"),
    [(1.5, "regression"), (0.6, "improvement"), (1.08, "within the noise"), (1.0, "within the noise")],
)
def test_without_a_history_ten_percent_are_noise(now_ms: float, word: str) -> None:
    found = against(timed(now_ms, NEW), timed(1.0, OLD))
    assert found.verdict == word
    assert (found.before, found.now, found.level) == (1.0, now_ms, 0.99)
    assert found.how == "between sessions; their noise is not known yet: 10 % assumed"


@pytest.mark.parametrize(("now_ms", "word"), [(1.08, "regression"), (0.92, "improvement"), (1.0, "no difference")])
def test_the_spread_of_unchanged_files_decides(now_ms: float, word: str) -> None:
    found = against(timed(now_ms, NEW), timed(1.0, OLD), earlier())
    assert found.verdict == word
    assert re.fullmatch(r"between sessions; their noise: [01]\.\d % \(by 8 or more\)", found.how)
    wide = against(timed(now_ms, NEW), timed(1.0, OLD), earlier(spread=0.08))
    assert wide.verdict == "within the noise"


def test_other_files_devices_and_unstable_sessions_say_nothing_about_the_noise() -> None:
    elsewhere = [kept(timed(1.0 + n / 9, OLD, cpu="Other"), OLD, session(n + 2)) for n in range(8)]
    two_threads = [replace(item, result=replace(item.result, threads=2)) for item in earlier()]  # type: ignore[call-arg] # measurements
    shaken = [replace(item, summary=replace(item.summary, unstable=True)) for item in earlier() if item.summary]
    for history in (elsewhere, two_threads, shaken, earlier(of=artifact(name="other"))):
        assert "not known yet" in against(timed(1.08, NEW), timed(1.0, OLD), history).how


def test_what_is_allowed_is_no_regression() -> None:
    assert against(timed(1.5, NEW), timed(1.0, OLD), allowed=0.5).verdict == "allowed"
    assert against(timed(1.8, NEW), timed(1.0, OLD), allowed=0.5).verdict == "regression"


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (timed(9.0, NEW, cpu="Cortex-A76"), "other conditions: cpu AMD EPYC -> Cortex-A76"),
        (timed(9.0, NEW, **{"ai-edge-litert": "2.2.0"}), "ai-edge-litert 2.1.6 -> 2.2.0"),
        (replace(timed(9.0, NEW), threads=2), "the baseline has no such result"),
        (replace(timed(9.0, NEW), runtime="litert without XNNPACK"), "the baseline has no such result"),
        (replace(timed(9.0, NEW), target="coral"), "the baseline has no such result"),
    ],
)
def test_other_conditions_give_no_verdict(now: Measurement, why: str) -> None:
    found = against(now, timed(1.0, OLD), earlier())
    assert found.verdict == "no verdict"
    assert why in found.how


def test_unstable_rows_give_no_verdict() -> None:
    moving = replace(
        measured([np.full(20, 1 + n / 10) for n in range(12)], 6, **timed(1.0, NEW).device.facts),
        artifact_sha256="b" * 64,
    )
    assert against(moving, timed(1.0, OLD)).how == "unstable: this measurement"
    assert against(timed(1.0, NEW), moving).how == "unstable: the baseline"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"repeats": 5}, "are no 5 equal repeats"),
        ({"repeats": 0}, "are no 0 equal repeats"),
        ({"latency_ms": (0.0,) * 12, "round_lengths": (1,) * 12}, "its clock is too coarse"),
    ],
)
def test_what_cannot_be_gives_no_verdict(change: dict[str, Any], why: str) -> None:
    before = kept(timed(1.0, OLD), OLD, session())
    wrong = replace(before, result=replace(before.result, **change))
    assert why in latency(recorded([(NEW, timed(1.0, NEW))], [wrong], (), 0.0)).how


def test_an_equal_file_is_no_regression() -> None:
    judged = recorded([(OLD, timed(1.5, OLD))], [kept(timed(1.0, OLD), OLD, session())], (), 0.0)
    assert [(item.figure, item.verdict) for item in judged] == [("file", "same"), ("latency", "no verdict")]
    assert "the file is the same: the machine is not" in latency(judged).how


def test_sizes_are_exact_and_said_once() -> None:
    before, now = timed(1.0, OLD), replace(timed(1.0, NEW), size_bytes=1001, brotli_bytes=700)
    rows = [(NEW, now), (NEW, replace(now, target="coral"))]
    judged = recorded(rows, [kept(before, OLD, session())], (), 0.0)
    sizes = [(item.figure, item.verdict, item.before, item.now) for item in judged if "size" in item.figure]
    assert sizes == [("size", "regression", 1000, 1001), ("compressed size", "improvement", 800, 700)]
    bound = result_rows.bound()  # has no size, and hides none
    mixed = recorded([(NEW, bound), *rows], [kept(bound, OLD, session()), kept(before, OLD, session())], (), 0.0)
    assert [item.figure for item in mixed if "size" in item.figure] == ["size", "compressed size"]
    allowed = recorded(rows, [kept(before, OLD, session())], (), 0.01)
    assert allowed[0].verdict == "allowed"


def test_instructions_and_arenas_are_exact() -> None:
    emulation, micro = result_rows.emulation(), result_rows.micro()
    assert emulation.instructions is not None
    more = replace(emulation.instructions, total=emulation.instructions.total + 1)
    now = replace(emulation, instructions=more, artifact_sha256="b" * 64)
    rows: list[tuple[Artifact, Result]] = [
        (NEW, now),
        (NEW, replace(micro, arena_bytes=30_000, artifact_sha256="b" * 64)),
    ]
    before = [kept(row, OLD, session()) for row in (emulation, micro)]
    found = {item.figure: item.verdict for item in recorded(rows, before, (), 0.0)}
    assert found["instructions"] == "regression"
    assert found["arena"] == "improvement"
    noisy = replace(now, instructions=replace(more, spread=0.001))
    found = {item.figure: item.verdict for item in recorded([(NEW, noisy)], before, (), 0.0)}
    assert found["instructions"] == "same"


def test_estimates_are_not_compared() -> None:
    bound: Estimate = result_rows.bound()
    (found,) = recorded([(NEW, bound)], [kept(bound, OLD, session())], (), 0.0)[-1:]
    assert (found.verdict, found.how) == ("no verdict", "an estimate is not compared")


def test_several_files_of_one_name_are_not_guessed_between() -> None:
    twice = [kept(timed(1.0, of), of, session()) for of in (OLD, artifact("c" * 64))]
    assert "several files" in latency(recorded([(NEW, timed(1.0, NEW))], twice, (), 0.0)).how


def beside(now_ms: float, before_ms: float, starts: int = 6) -> list[Result | NotMeasured]:
    """Rows of one call; the noise of both is the same in each round."""
    rng = np.random.default_rng(0)
    noise = np.exp(0.02 * rng.normal(size=12))
    rows = []
    for name, median in (("tflite/int8", now_ms), ("tflite/int8@baseline", before_ms)):
        rounds = [np.full(20, median * share * (1 + 0.001 * rng.normal())) for share in noise]
        rows.append(replace(measured(rounds, starts), artifact=name))
    return [*rows]


PAIRS = {"tflite/int8": (NEW, replace(OLD, variant="int8@baseline"))}


@pytest.mark.parametrize(("now_ms", "word"), [(1.02, "regression"), (0.98, "improvement"), (1.0, "no difference")])
def test_side_by_side_two_percent_are_seen(now_ms: float, word: str) -> None:
    found = latency(side_by_side(beside(now_ms, 1.0), PAIRS, 0.0))
    assert found.verdict == word
    assert found.how == "interleaved, 6 starts of both"
    assert latency(side_by_side(beside(now_ms, 1.0), PAIRS, 0.05)).verdict == ("allowed" if now_ms > 1 else word)


def test_side_by_side_rows_that_are_missing_or_unstable() -> None:
    now, _ = beside(1.0, 1.0)
    gone = NotMeasured("tflite/int8@baseline", "local", "litert", "it has an operator of another", "")
    assert latency(side_by_side([now, gone], PAIRS, 0.0)).how == "of the baseline: it has an operator of another"
    assert latency(side_by_side([now], PAIRS, 0.0)).how == "of the baseline: there is no result"
    shaken = [replace(row, latency_ms=tuple(1 + n / 100 for n in range(240)), repeats=2) for row in beside(1.0, 1.0)]  # type: ignore[call-arg] # measurements
    assert "unstable" in latency(side_by_side(shaken, PAIRS, 0.0)).how


def test_software_that_stood_for_a_gpu_is_not_judged() -> None:
    facts = {"software_gpu": "yes"}
    judged = [against(timed(2.0, NEW, **facts), timed(1.0, OLD, **facts))]
    rows = [replace(row, device=DeviceInfo("local", "measured", facts)) for row in beside(2.0, 1.0)]  # type: ignore[call-arg] # measurements
    judged.append(latency(side_by_side(rows, PAIRS, 0.0)))
    for found in judged:
        assert (found.verdict, found.how) == ("no verdict", NO_GPU)
        assert found.ratio is None
        assert found.now == pytest.approx(2.0, rel=0.1)


def test_side_by_side_equal_files_are_equal() -> None:
    pairs = {"tflite/int8": (OLD, replace(OLD, variant="int8@baseline"))}
    (found,) = side_by_side(beside(1.0, 1.0)[:1], pairs, 0.0)
    assert (found.figure, found.verdict) == ("file", "same")


@pytest.mark.parametrize(
    ("kind", "runtime", "word"),
    [
        ("ArtifactError", "litert", "regression"),
        ("ChildCrashed", "", "regression"),
        ("TargetUnavailable", "litert", "no verdict"),
        ("ArtifactError", "another", None),
    ],
)
def test_what_ran_and_does_not_run_any_more(kind: str, runtime: str, word: str | None) -> None:
    before = timed(1.0, OLD)
    now = NotMeasured(NEW.id, before.target, runtime, "it computes something else", "", kind)
    old = replace(OLD, variant=f"{OLD.variant}@baseline")
    rows = [now, replace(before, artifact=old.id)]
    for judged in (
        recorded([(NEW, now)], [kept(before, OLD, session(1))], (), 0.0),
        side_by_side(rows, {NEW.id: (NEW, old)}, 0.0),
    ):
        assert [(item.figure, item.verdict) for item in judged] == ([("run", word)] if word else [])
        assert all(item.how == "it ran before; now: it computes something else" for item in judged)
