"""Damaged and hostile model files: a typed error or an answer, whatever is in them; the part every change passes.

10,000 such files: `python -m tests.acceptance.malformed`. One of them again: `--seeds SEED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.compression.data import SHARED
from tests.acceptance.fuzz.runner import environment
from tests.acceptance.malformed.trial import Trials

#: Neighbouring seeds take different files, the corpus has about 30; and what was found before.
SEEDS = (*range(500), 956, 2103, 2331, 2520, 5013, 5096, 6074, 6348, 785100719)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    with environment(), Trials(tmp_path_factory.mktemp("malformed"), SHARED) as found:
        yield found


def test_no_file_ends_in_anything_but_an_answer_or_a_typed_error(trials: Trials) -> None:
    faults, statuses = [], set()
    for seed in SEEDS:
        name, outcomes = trials.run(seed)
        statuses |= {(Path(name).suffix, outcome.status == "answered") for outcome in outcomes}
        faults += [f"{seed} {name} {o.question}: {o.message}" for o in outcomes if o.status == "FAULT"]
    assert not faults, "\n".join(faults)
    assert {kind for kind, _ in statuses} == {".keras", ".h5", ".tflite", ".onnx", ".json", ".bin", ".pb"}
    assert {answered for _, answered in statuses} == {True, False}  # the damage is real, and not all are refused
