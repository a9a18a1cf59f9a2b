"""What the table, the last line and the verdict of a benchmark say."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from tests import report_builder

from edgeship.cli import ui
from edgeship.types import Measurement, Prediction, Report


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


def test_nothing_is_claimed_from_unstable_measurements(tmp_path: Path) -> None:
    artifact = report_builder.artifact(tmp_path, "tflite", "int8", 4096)

    def measured(median: float, last_rounds: float = 1.0) -> Measurement:
        made = report_builder.measurement(artifact, median, 1)
        moved = (*made.latency_ms[:900], *(x * last_rounds for x in made.latency_ms[900:]))
        return replace(made, latency_ms=moved)

    assert ui.comparison(measured(1.0), measured(2.0)).startswith("2.00x faster")
    assert ui.comparison(measured(1.0, 1.5), measured(2.0)) == "unstable: cannot be compared"
    assert ui.comparison(measured(1.0), measured(2.0, 1.5)) == "unstable: cannot be compared"
