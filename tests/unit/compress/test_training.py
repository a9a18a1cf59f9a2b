"""What stages train with."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edgeship.compress.training import gentle, optimizer, stable
from edgeship.recipe import Prune
from edgeship.recipe.stages import Training

STEPS = 40


def _model() -> keras.Model:
    image = keras.Input((6, 6, 1))
    inner = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(image))
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(inner)))


@pytest.mark.parametrize(
    ("name", "at_start", "later"), [("adam", 0.1, 0.1 * (1 + np.cos(np.pi / 20)) / 2), ("sgd", 0.0, 0.1)]
)
def test_the_rate_falls_to_zero_and_first_rises_with_sgd(name: str, at_start: float, later: float) -> None:
    spec = Training(learning_rate=0.1, optimizer=name)  # type: ignore[arg-type]

    rate = optimizer(spec, _model(), STEPS)._learning_rate

    assert float(rate(0)) == pytest.approx(at_start, abs=1e-7)
    assert float(rate(2)) == pytest.approx(later, rel=1e-5)
    assert float(rate(STEPS)) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_weight_decay_takes_its_share_of_kernels_and_of_nothing_else(name: str) -> None:
    model = _model()
    for weight in model.trainable_variables:
        weight.assign(np.ones(weight.shape))
    before = [np.array(v) for v in model.trainable_variables]
    made = optimizer(Training(learning_rate=0.1, optimizer=name, weight_decay=0.2), model, STEPS)  # type: ignore[arg-type]

    for _ in range(3):
        rate = float(made.learning_rate)
        made.apply([np.zeros(v.shape, np.float32) for v in model.trainable_variables], model.trainable_variables)
        before = [v * (1 - 0.2 * rate) if v.ndim > 1 else v for v in before]

    for variable, expected in zip(model.trainable_variables, before, strict=True):
        np.testing.assert_allclose(np.array(variable), expected, rtol=1e-6)
    assert float(before[0].max()) < 0.98


def test_sgd_gives_way_to_adam_where_nothing_is_normalized_by_batch() -> None:
    plain = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    within = keras.Sequential([keras.Input((6, 6, 1)), _model()])
    spec = Prune(learning_rate=0.1, optimizer="sgd", weight_decay=0.2, epochs=9)

    assert stable(spec, plain) == Prune(learning_rate=0.005, optimizer="adam", weight_decay=0.2, epochs=9)
    assert isinstance(optimizer(spec, plain, STEPS), keras.optimizers.Adam)
    assert stable(spec, within) == spec
    assert gentle(spec) == stable(spec, plain)
    assert gentle(Prune(learning_rate=0.1)) == Prune(learning_rate=0.1)
    assert isinstance(optimizer(spec, within, STEPS), keras.optimizers.SGD)


@pytest.mark.parametrize("settings", [{"optimizer": "sgd"}, {"weight_decay": 0.1}, {"teacher": 0.5}])
def test_tfmot_trains_with_adam_alone(settings: dict[str, object]) -> None:
    found = Prune(backend="tfmot", **settings).problem(())  # type: ignore[arg-type]

    assert found is not None
    assert "backend tfmot trains without" in found[0]
    assert Prune(**settings).problem(()) is None  # type: ignore[arg-type]
