"""What `make bench` does beside measuring: turns, ratios, records that stand, and the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.acceptance.bench import __main__ as command
from tests.acceptance.bench import page, records
from tests.acceptance.bench.records import Part, Ratio, Timed


def part(**changes: object) -> Part:
    rows = (
        Timed("small, tflite/int8: conversion", "edgeship", "other", 500.0, 1500.0, Ratio(3.0, 2.9, 3.1, 5), 10, 12),
        Timed("edgeship --help", "edgeship --help", "python", 120.0, 60.0, Ratio(0.5, None, None, 1)),
        Timed("edgeship convert", "from the cache", "empty", 0.5, 1.5, Ratio(3.0, 2.9, 3.1, 5)),
    )
    machine = {"cpu": "AMD EPYC", "cores": "2", "os": "Debian"}
    made = Part(
        *("startup", "2026-11-21T10:00+00:00", machine, {"python": "3.11.7"}, "c" * 16, 5, (0.1, 0.2)),
        *(rows, ("tool: no network",)),
    )
    return replace(made, **changes)  # type: ignore[arg-type] # fields of a Part


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(records, "FOLDER", tmp_path / "records")
    return tmp_path / "records"


def test_all_take_a_turn_in_each_round_in_another_order() -> None:
    seen: list[str] = []

    def turn(name: str) -> float:
        seen.append(name)
        return len(seen) / 1e3

    found = records.taking_turns({name: lambda n=name: turn(n) for name in "abc"}, 20)
    rounds = [seen[3 * n : 3 * n + 3] for n in range(20)]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len({tuple(names) for names in rounds}) > 3
    assert sorted(found["a"] + found["b"] + found["c"]) == pytest.approx(list(range(1, 61)))


def test_ratios_are_of_the_rounds() -> None:
    """What a round meets is in both; what is left is the ratio, here 2 in spite of a drift of 30 times."""
    drift = np.exp(np.linspace(0, 3.4, 8))
    found = records.ratio(drift, 2 * drift)
    assert (found.value, found.rounds) == (pytest.approx(2), 8)
    assert found.low == pytest.approx(2)
    assert records.ratio([1.0], [4.0]) == Ratio(pytest.approx(4.0), None, None, 1)  # type: ignore[arg-type] # compares


def test_a_record_stands_for_this_machine_and_code_only(folder: Path) -> None:
    here = part(code=records.code(), machine=records.machine())
    assert records.stands(here, 5)
    assert not records.stands(here, 6)
    assert not records.stands(replace(here, code="d" * 16), 5)
    assert not records.stands(replace(here, machine={"cpu": "another"}), 5)
    assert not records.stands(None, 1)


def test_what_was_taken_is_read_again(folder: Path) -> None:
    taken = records.take("startup", 5, lambda rounds: (part().rows[:rounds], ["left"]))
    assert records.read("startup") == taken
    assert taken.left_out == ("left",)
    assert {"cpu", "cores"} <= set(taken.machine)
    assert records.read("tfjs") is None


def test_a_part_whose_code_changed_is_not_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = iter("ab")
    monkeypatch.setattr(records, "code", lambda: next(versions))
    with pytest.raises(RuntimeError, match="the code changed"):
        records.take("startup", 1, lambda _: ((), ()))
    assert records.read("startup") is None


def test_the_page_says_what_was_measured_where_and_what_was_not(folder: Path) -> None:
    assert page.page().count("Not measured yet.") == len(page.HEADINGS)
    records.take("startup", 5, lambda _: (part().rows, part().left_out))
    text = page.page()
    assert "| small, tflite/int8: conversion | 500 | 1,500 | other | 3.00 [2.90, 3.10] | 10 / 12 |" in text
    assert "| edgeship --help | 120 | 60 | python | 0.50 |  |" in text
    assert "| edgeship convert: from the cache | 0.5 | 1.5 | empty | 3.00 [2.90, 3.10] |  |" in text
    assert "Not measured: tool: no network." in text
    assert f"{records.machine()['cores']} cores" in text
    assert "load average" in text
    assert text.count("Not measured yet.") == len(page.HEADINGS) - 1


def test_only_missing_parts_are_taken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[tuple[str, int]] = []

    def measuring(name: str):  # type: ignore[no-untyped-def] # as PARTS has them
        def measure(rounds: int) -> tuple[list[Timed], list[str]]:
            taken.append((name, rounds))
            return [part().rows[0]], []

        return measure

    monkeypatch.setattr(command, "PARTS", {name: (measuring(name), 4) for name in page.HEADINGS})
    monkeypatch.setattr(command, "DOCS", tmp_path / "benchmarks.md")
    for words in (["--only", "startup", "--quick"], ["--only", "startup"], [], [], ["--only", "tfjs", "--again"]):
        monkeypatch.setattr("sys.argv", ["bench", *words])
        command.main()
    others = [(name, 4) for name in page.HEADINGS if name != "startup"]
    assert taken == [("startup", 2), ("startup", 4), *others, ("tfjs", 4)]
    assert (tmp_path / "benchmarks.md").read_text() == page.page()
    assert "has a record of this machine" in capsys.readouterr().out
