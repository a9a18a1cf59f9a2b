"""What the original knows of the validation samples, where training is judged by them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from small_networks import written

from edgeship.metrics import Accuracy, MeanSquaredError
from edgeship.pipeline.build import _seen
from edgeship.pipeline.validation import Validation, seen_before
from edgeship.types import Array


def known(rows: Array, metric: Any = None) -> Validation:
    return Validation(cast("Any", None), metric or Accuracy(), rows, "0" * 64)


def rows(right: int, n: int) -> Array:
    return (np.arange(n) < right).astype(np.float64)


@pytest.mark.parametrize(
    ("held", "test", "noted"),
    [
        ((4574, 5000), (4254, 5000), True),
        ((460, 500), (430, 500), True),
        ((90, 100), (860, 1000), False),
        ((10, 10), (930, 1000), False),  # ten right ones are no certainty
        ((430, 500), (460, 500), False),
    ],
)
def test_a_gap_beyond_chance_is_noted(held: tuple[int, int], test: tuple[int, int], noted: bool) -> None:
    found = seen_before(known(rows(*held)), rows(*test))
    assert bool(found) is noted
    if noted:
        assert "it has probably been trained with the validation samples" in found[0]
        assert f"accuracy is {held[0] / held[1]:.4g} on the validation samples" in found[0]


def test_of_errors_less_is_better() -> None:
    errors = np.random.default_rng(0).exponential(1.0, 400)
    assert seen_before(known(0.3 * errors, MeanSquaredError()), errors)
    assert not seen_before(known(errors, MeanSquaredError()), 0.3 * errors)


@pytest.mark.parametrize(
    ("plan", "outcome", "noted"),
    [
        ({"stages": [{"quantize-aware": {"epochs": 1}}], "variants": ["int8"]}, "", True),
        ({"stages": ["equalize"], "variants": ["int8"]}, "", False),
        ({"attempts": ["int8", "int8-qat"]}, "skipped", False),
        ({"attempts": ["int8", "int8-qat"]}, "bad", True),
    ],
)
def test_it_matters_where_something_trains(plan: dict[str, Any], outcome: str, noted: bool) -> None:
    tried = [SimpleNamespace(recipe="int8", outcome="bad"), SimpleNamespace(recipe="int8-qat", outcome=outcome)]
    base = SimpleNamespace(metric=Accuracy(), original=None, per_sample=lambda _: rows(800, 1000))
    choice = SimpleNamespace(attempts=tried if outcome else [])
    made = SimpleNamespace(validation=known(rows(950, 1000)), base=base, choice=choice)
    assert bool(_seen(written(**plan), cast("Any", made))) is noted
