"""Two small trained networks and their data: one that int8 suits, and one that it ruins; and builds of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgeship import recipe
from edgeship.pipeline import Request
from edgeship.recipe import Recipe
from edgeship.types import Plan

FAST = Plan(min_runs=10, min_seconds=0.01, rounds=2, warmup_max_runs=20)


def write_networks(folder: Path) -> None:
    """`plain.keras`, and `spread.keras`, in which a large channel that nothing reads is in the way of int8."""
    import keras

    keras.utils.set_random_seed(0)
    data = np.load(folder / "data.npz")
    numbers = keras.Input((8,), name="numbers")
    hidden = keras.layers.Dense(24, "relu", name="hidden")(numbers)
    model = keras.Model(numbers, keras.layers.Dense(2, "softmax", name="side")(hidden))
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    model.fit(data["x_train"], data["y_train"], epochs=12, batch_size=64, verbose=0)
    model.save(folder / "plain.keras")
    kernel, bias, above, last = model.get_weights()
    kernel[:, 0], above[0] = 1000, 0
    model.set_weights([kernel, bias, above, last])
    model.save(folder / "spread.keras")


def written(**keys: object) -> Recipe:
    """A recipe as in a file."""
    return recipe.parse({"schema": recipe.SCHEMA, "name": "test", **keys}, "test")


def request_for(networks: Path, model: str, plan: Recipe, out: Path, *, measured: bool = False) -> Request:
    """A build of one of the networks as TFLite."""
    targets = ("local",) if measured else ()
    data = str(networks / "data.npz")
    return Request(networks / model, out, plan, data=data, formats=("tflite",), targets=targets, plan=FAST)
