"""The page of slices says what its records say, and the records keep what is promised."""

from __future__ import annotations

import json

from tests.acceptance.slices import page
from tests.acceptance.slices.__main__ import RECORDS, TASKS


def test_the_page_is_made_of_the_records() -> None:
    records = {name: json.loads((RECORDS / f"{name}.json").read_text()) for name in TASKS}
    assert page.tables(records) in page.PAGE.read_text(encoding="utf-8")
    for rates in records["simulated"]["rates"].values():
        assert rates["null called"] <= 0.05
        assert rates["another slice called"] <= 0.05
    assert records["simulated"]["rates"]["10"]["planted found"] >= 0.9
    assert max(rates["fails"] for rates in records["limits"]["false"].values()) <= 0.05
    assert max(max(rates.values()) for rates in records["limits"]["exact"].values()) <= 0.06
    assert {study["artifact"] for study in records["resnet8"]["studies"]} >= {"tflite/int8", "tflite/int4"}
    for name in ("resnet8", "adult"):
        assert not any("flips" in study for study in records[name]["studies"])  # no samples of others
