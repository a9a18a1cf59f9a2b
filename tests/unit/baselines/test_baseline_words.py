"""What BASELINE may be, and what each of them finds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests import result_rows, tiny_tflite
from tests.history_rows import artifact, kept, session, timed
from tests.latencies import gamma, measured

from edgeship.baselines import find
from edgeship.codec import to_data
from edgeship.errors import InputError
from edgeship.history import store
from edgeship.history.remembering import revision
from edgeship.pipeline.results import ByProvenance
from edgeship_benchmarks import stats

OLD, NEW = "1" * 40, "2" * 40


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three sessions of `demo` and one of something else, which is the newest."""
    monkeypatch.setenv("EDGESHIP_HISTORY", str(tmp_path / "history.sqlite3"))
    monkeypatch.chdir(tmp_path)
    sessions = (
        (1, "main", OLD, "demo"),
        (2, "main", NEW, "demo"),
        (3, "", f"{NEW}-dirty", "demo"),
        (4, "x", "", "toy"),
    )
    for number, label, commit, name in sessions:
        of = artifact(name=name)
        store.append([kept(timed(float(number), of), of, session(number, label, commit))])


@pytest.mark.parametrize(("word", "day"), [("last", 3), ("main", 2), (OLD, 1), (OLD[:8], 1), (NEW[:7], 2)])
def test_words_of_the_history(word: str, day: int) -> None:
    found = find(word, ["demo"])
    assert [item.session.created[:10] for item in found.records] == [f"2026-11-{day:02}"]
    assert found.artifacts == ()
    assert f"2026-11-{day:02} 12:00" in found.said


@pytest.mark.parametrize("word", ["x", "3" * 40, "lst", "1111", ""])
def test_words_of_nothing_say_what_there_is(word: str) -> None:
    with pytest.raises(InputError, match=f"no baseline '{word}'") as caught:
        find(word, ["demo"])
    assert caught.value.remedy == "There are last, main."


def test_a_name_that_was_never_measured() -> None:
    with pytest.raises(InputError, match="the history has no results of other") as caught:
        find("last", ["other"])
    assert "without --compare" in caught.value.remedy


def test_a_tag_of_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    who = ["-c", "user.name=n", "-c", "user.email=e@localhost", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], [*who, "commit", "-q", "--allow-empty", "-m", "one"], ["tag", "v1"]):
        subprocess.run(["git", *words], check=True)
    of = artifact()
    store.append([kept(timed(7.0, of), of, session(5, "", revision()))])
    assert find("v1", ["demo"]).records[0].session == session(5, "", revision())


def test_a_file_of_results_with_its_samples(tmp_path: Path) -> None:
    row = measured([gamma(n) for n in range(12)], 6)
    document = to_data(
        ByProvenance((row,), (result_rows.emulation(),), (result_rows.bound(),), (result_rows.refused(),))
    )
    (tmp_path / "old.json").write_text(json.dumps({**document, "comparison": {"baseline": "x"}}))
    found = find("old.json", ["demo"])
    assert [item.result.provenance for item in found.records] == ["measured", "emulated", "estimated"]
    assert found.records[0].summary == stats.summary(row)
    assert len(found.records[0].result.latency_ms) == 12  # type: ignore[union-attr] # it is a measurement
    (tmp_path / "old.json").write_text(json.dumps({**document, "measurements": [{"provenance": "measured"}]}))
    with pytest.raises(InputError):
        find("old.json", ["demo"])


def test_files_that_can_be_measured_again(tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()  # a path comes before a word
    place = tmp_path / "last" / "model.tflite"
    place.write_bytes(tiny_tflite.model_bytes())
    found = find(str(place), ["demo"])
    assert [item.id for item in found.artifacts] == ["tflite/foreign"]
    assert "side by side" in found.said
    with pytest.raises(InputError):
        find("last", ["demo"])  # a folder without files
