"""The goals of compression, on the records that `python -m tests.acceptance.compression` keeps."""

from __future__ import annotations

import pytest

from tests.acceptance.compression import cells, goals, records
from tests.acceptance.compression.tasks import TASKS

pytestmark = pytest.mark.slow

GOALS = {goal.name: goal for goal in goals.check(records.read(), TASKS)}


@pytest.mark.parametrize("name", GOALS)
def test_goal(name: str) -> None:
    assert GOALS[name].met, f"{GOALS[name].found}; run: make acceptance"


def test_records_are_of_todays_code(shared_data: object) -> None:
    due = [str(cell) for cell in cells.cells() if cells.due(cell)]
    assert due == [], "run: python -m tests.acceptance.compression"


def test_no_training_took_more_than_its_budget() -> None:
    assert {f"{r.task}/{r.method}": r.epochs for r in records.read() if r.epochs > 30 and r.method != "base"} == {}
