"""Rows of targets by provenance, and which of them fail a build."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests import report_builder, result_rows

from edgeship.pipeline.results import divide, failures
from edgeship.types import NotMeasured


def test_rows_are_divided_by_what_they_are(tmp_path_factory: pytest.TempPathFactory) -> None:
    measured = report_builder.build(tmp_path_factory.mktemp("build")).measurements[0]
    rows = [result_rows.refused(), result_rows.bound(), measured, result_rows.emulation(), result_rows.fit()]
    found = divide(rows)
    assert found.measurements == (measured,)
    assert found.emulations == (rows[3],)
    assert found.estimates == (rows[1], rows[4])
    assert found.unmeasured == (rows[0],)


def row(artifact: str, target: str, kind: str = "TargetUnavailable", reason: str = "it is not there") -> NotMeasured:
    return NotMeasured(artifact, target, "", reason, "Get it.", kind)


def test_what_a_target_has_no_runtime_for_is_no_failure() -> None:
    there = replace(result_rows.emulation(), target="browser:chromium")
    assert failures([there, result_rows.refused(), row("micro/int8", "browser:chromium", "MissingPackageError")]) == ()


def test_a_target_that_gave_nothing_is_one_failure() -> None:
    rows = [row("tflite/int8", "coral"), row("tflite/float32", "coral"), row("a/b", "adb", reason="no device")]
    found = failures([result_rows.emulation(), *rows])
    assert [(f.artifact, f.stage, f.type, f.asked_by_name) for f in found] == [
        ("all/coral", "benchmark", "TargetUnavailable", True),
        ("all/adb", "benchmark", "TargetUnavailable", True),
    ]


def test_a_runtime_that_lacks_what_a_file_needs_is_no_failure_where_another_runs_it() -> None:
    there = replace(result_rows.emulation(), target="browser:chromium")
    lacking = row("tflite/int8", "browser:chromium", "ArtifactError", "LiteRT.js has no int8 inputs")
    assert failures([there, lacking]) == ()
    assert len(failures([replace(there, artifact="tflite/float32"), lacking])) == 1


@pytest.mark.parametrize("kind", ["ChildCrashed", "ArtifactError", "DataError", "EdgeshipError", "unheard of"])
def test_what_broke_is_a_failure_of_its_file(kind: str) -> None:
    there = replace(result_rows.emulation(), target="browser:chromium")
    (found,) = failures([there, row("tfjs/uint8", "browser:chromium", kind, "the tab died")])
    assert (found.artifact, found.type, found.message) == ("tfjs/uint8", kind, "the tab died")
