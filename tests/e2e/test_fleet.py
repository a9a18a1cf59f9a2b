"""A small fleet for two virtual days; the large one is `python -m tests.acceptance.fleet`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import nginx
from tests.acceptance.fleet import models, page, story
from tests.acceptance.fleet.run import Run
from tests.acceptance.fleet.story import Story


@pytest.mark.skipif(nginx.NGINX is None, reason="needs nginx")
def test_a_fleet_outlives_a_halt_and_a_bad_model(tmp_path: Path) -> None:
    record = Run(Story(30, 2, story.TWO_DAYS), tmp_path, 2).run()
    assert record["violations"] == []
    assert [day["without"] for day in record["daily"]] == [0, 0]
    assert record["daily"][-1]["releases"] == {"1.2.1": 30}
    assert record["refused"][models.BAD] > 0
    assert not any(models.BAD in found for _, found in record["samples"])
    halted = next(row for row in record["shares"] if row["hour"] == 18)
    assert (halted["announced_percent"], halted["have"]) == (0, 0)
    assert halted["reached"] >= 25
    assert record["kinds"]["patch"]["requests"] >= 30
    assert record["kinds"]["root probe"]["missing"] == record["kinds"]["root probe"]["requests"]
    assert {"clock", "no network", "killed", "off", "breaks"} <= set(record["troubles"])
    assert page.text(json.loads(json.dumps(record))).count("|") > 100
