"""`edgeship history FOLDER` and `edgeship history A B`."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from tests import report_builder

from edgeship.baselines.builds import of_report
from edgeship.baselines.changes import Limits, compare
from edgeship.cli import cli, failures
from edgeship.history.builds import listed


def run(*words):
    return failures.run(cli, ["history", *map(str, words)])


def test_builds_of_a_folder_are_listed_the_newest_first_and_the_rest_is_said(work, tmp_path, capsys):
    folder = shutil.copytree(work / "builds", tmp_path / "builds")
    (folder / "thesis").mkdir()
    (folder / "notes.txt").write_text("x")
    for name, text in (
        ("cut", '{"schema": "edgeship.report/1", "name"'),
        ("future", '{"schema": "edgeship.report/9"}'),
    ):
        (folder / name).mkdir()
        (folder / name / "report.json").write_text(text)
    (folder / "link").symlink_to(folder / "link")
    assert run(folder, "--json") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert {line["path"].rpartition("/")[2] for line in found["builds"]} == {"first", "again", "worse"}
    assert [line["created"] for line in found["builds"]] == sorted(
        (b["created"] for b in found["builds"]), reverse=True
    )
    reasons = {item["path"].rpartition("/")[2]: item["reason"] for item in found["unreadable"]}
    assert set(reasons) == {"thesis", "cut", "future"}
    assert "no report.json" in reasons["thesis"]
    assert "not JSON" in reasons["cut"]
    assert "edgeship.report/9" in reasons["future"]
    report = json.loads((folder / "first" / "report.json").read_text())
    line = next(line for line in found["builds"] if line["path"].endswith("first"))
    assert (line["name"], line["recipe"], line["files"], line["passed"]) == ("shops", "int8", 2, 2)
    assert line["best"] == "tflite/int8"
    assert line["model_sha256"] == report["source"]["sha256"]
    assert line["value"] == report["predictions"]["tflite/int8 litert"]["metric"]
    assert line["wire_bytes"] < line["size_bytes"]
    assert line["latency_ms"] > 0
    assert len(line["revision"]) == 40
    assert run(folder) == 0
    said = capsys.readouterr()
    assert "tflite/int8" in said.out
    assert "left out" in said.err
    assert run(folder, "--last", "1") == 0
    assert "2 older ones" in capsys.readouterr().out


def test_a_damaged_lineage_costs_no_more_than_the_commit(copy):
    build = copy("first")
    (build / "lineage.json").write_text("{}")
    (line,) = listed([build]).builds
    assert line.revision == ""


@pytest.mark.parametrize("damage", ['{"schema": "edgeship.report/1"}', "[]", "", "\x00", "9" * 5000])
def test_damaged_reports_are_said(copy, capsys, damage):
    build = copy("first")
    (build / "report.json").write_text(damage)
    assert run(build) == 0
    assert "left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["measurements"][0].update(artifact="tflite/none"),
        lambda d: d["measurements"][0].update(round_lengths=[1]),
        lambda d: d.update(created="9999-99-99T99:99:99Z"),
        lambda d: d["baseline"].update(metric="NaN"),
        lambda d: [found.update(path="./artifacts") for found in d["predictions"].values()],
        lambda d: [gate.update(interval=["NaN", "Infinity"]) for gate in d["gates"] if gate["name"] == "metric"],
        lambda d: d.update(metric="auc"),
        lambda d: d.update(recipe={}),
        lambda d: d.update(artifacts=[]),
        lambda d: d.update(dataset=None, baseline=None, predictions={}),
    ],
)
def test_reports_that_contradict_themselves_end_in_a_line_or_a_reason(work, copy, change, capsys):
    build = copy("first")
    document = json.loads((build / "report.json").read_text())
    change(document)
    (build / "report.json").write_text(json.dumps(document))
    assert run(build, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["builds"]) in (0, 1)
    for pair in ((build, work / "builds" / "worse"), (work / "builds" / "worse", build)):
        assert run(*pair, "--json") in (0, 2)
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        json.loads(said.out or "{}")


def test_two_builds_are_compared_stage_by_file(work, capsys):
    assert run(work / "builds" / "first", work / "builds" / "worse", "--json") == 0
    found = json.loads(capsys.readouterr().out)["comparison"]
    assert {file["artifact"]: file["metric"]["verdict"] for file in found["files"]} == {
        "tflite/float32": "regression",
        "tflite/int8": "regression",
    }
    assert run(work / "bundle", work / "builds" / "worse") == 0
    assert "a bundle of tflite/int8" in capsys.readouterr().out
    assert run(work / "builds" / "worse", work / "bundle") == 2
    assert "Give it first" in capsys.readouterr().err


def test_stages_are_compared_by_their_drops(tmp_path):
    report = report_builder.build(tmp_path)
    other = replace(report, stages=tuple(replace(stage, metric=stage.metric - 0.01) for stage in report.stages[:2]))
    found = compare(of_report(other, tmp_path, "new"), of_report(report, tmp_path, "old"), Limits())
    assert [(stage.stage, stage.artifact) for stage in found.stages] == [
        ("base", "tflite/float32"), ("base", "tflite/int8"), ("prune", "tflite/int8"), ("quantize-aware", "tflite/int8")
    ]  # fmt: skip
    assert found.stages[0].change.value == 0
    assert found.stages[-1].metric[1] is None
    assert found.stages[-1].change is None


def test_names_and_folders_do_not_mix_and_names_are_of_the_store(work, capsys):
    assert run(work / "builds", "no-such-build") == 2
    assert "is no folder" in capsys.readouterr().err
    assert run("no-such-build") == 0
    assert "nothing in" in capsys.readouterr().out
    assert run(work / "builds", "--prune", "3") == 2
