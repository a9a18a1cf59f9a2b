"""What the table, the last line and the verdict of a benchmark say."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from tests import report_builder

from edgeship.cli import ui
from edgeship.types import Prediction, Report


@pytest.fixture
def two_runtimes(tmp_path: Path) -> Report:
    """A build whose smallest passing file was verified in two runtimes; the second saw more samples and is worse."""
    made = report_builder.build(tmp_path)
    best = made.best
    assert best is not None
    (gate,) = [g for g in made.gates if g.artifact == best.id and g.name == "metric"]
    worse = replace(gate, runtime="other", value=0.41, interval=(0.33, 0.49))
    seen = {**made.predictions, f"{best.id} other": Prediction(tmp_path, "other", 9000, 0.8463)}
    return replace(made, gates=(*made.gates, worse), predictions=seen)


def test_the_worst_runtime_speaks_for_a_file(two_runtimes: Report) -> None:
    best = two_runtimes.best
    assert best is not None
    shown = io.StringIO()
    Console(width=200, file=shown).print(ui.report_table(two_runtimes))
    (line,) = [line for line in shown.getvalue().splitlines() if line.split()[:1] == [best.id]]
    assert "0.8463" in line
    assert "+0.41 [+0.33, +0.49]" in line
    assert " -0.41 points " in ui.last_line(two_runtimes, "builds/x")


def shown(table: Table) -> list[list[str]]:
    """The rows of a table as words."""
    text = io.StringIO()
    Console(width=120, file=text).print(table)
    return [line.split() for line in text.getvalue().splitlines()]


def test_what_was_tried_and_what_each_stage_did_fit_a_terminal(tmp_path: Path) -> None:
    made = report_builder.build(tmp_path)
    rows = shown(ui.attempt_table(made))
    assert [row[0] for row in rows if row[1:2] and row[0] in {a.recipe for a in made.attempts}] == [
        "int8", "mixed", "small"  # float16 was not needed
    ]  # fmt: skip
    (taken,) = [row for row in rows if "taken" in row and row[0] == "small"]
    assert taken[:5] == ["small", "0.8514", "50,874", "503", "taken"]
    stages = shown(ui.stage_table(made))
    assert next(row[:7] for row in stages if row[:1] == ["prune"]) == [
        "prune",
        "tflite/int8",
        "0.8474",
        "+0.58",
        "[+0.18,",
        "+0.98]",
        "51,020",
    ]
    assert next(row for row in stages if row[:1] == ["tflite/int8"])[1] == "0.8522"  # the second of its stage
    assert "validation" in stages[0]


def test_tables_without_files_keep_what_there_is(tmp_path: Path) -> None:
    made = report_builder.build(tmp_path)
    bare = replace(made, stages=tuple(replace(s, files=(), macs=None) for s in made.stages))
    (prune,) = [row for row in shown(ui.stage_table(bare)) if row[:1] == ["prune"]]
    assert prune == ["prune", "0.8490", "50", "%"]


def test_the_last_line_proposes_what_can_be_done_with_the_file_it_names(tmp_path: Path) -> None:
    made = report_builder.build(tmp_path)
    line = ui.last_line(made, "builds/x")
    assert line.startswith(
        "smallest passing: builds/x/artifacts/tflite/int8/model.tflite 98,464 B (77,786 B compressed) "
    )
    assert line.endswith("   next: edgeship bundle builds/x --for device")
    for format_name, entry in (("tfjs", "model.json"), ("onnx", "model.onnx")):
        measured = [
            replace(m, brotli_bytes=9_000) if m.artifact == f"{format_name}/float16" else m for m in made.measurements
        ]
        path = f"builds/x/artifacts/{format_name}/float16/{entry}"
        other = ui.last_line(replace(made, measurements=tuple(measured)), "builds/x")
        assert other.startswith(f"smallest passing: {path} ")
        assert other.endswith(f"   next: edgeship predict {path} INPUT"), "a device bundle would hold another file"


def test_the_last_line_of_a_conversion_states_plain_bytes(tmp_path: Path) -> None:
    made = replace(report_builder.build(tmp_path), measurements=())
    assert " 98,464 B -0.10 points   next: " in ui.last_line(made, "builds/x")
