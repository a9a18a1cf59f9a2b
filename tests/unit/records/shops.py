"""A user's script: trains a network on sales of two shops, ships it twice, and ships one that forgot a shop."""

from __future__ import annotations

import keras
import numpy as np

import edgeship
from edgeship.types import Plan

rng = np.random.default_rng(0)
shop = rng.integers(0, 2, 3000)
x = np.column_stack([rng.normal(size=(3000, 5)), 2.0 * shop - 1]).astype(np.float32)
y = (x[:, :2].sum(axis=1) > x[:, 2:4].sum(axis=1)).astype("int64")
x_train, x_test, y_train, y_test = x[:1500], x[1500:], y[:1500], y[1500:]
NAMES = np.array(["north", "south"])[shop]
DATA = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test,
        "slice_train.shop": NAMES[:1500], "slice_test.shop": NAMES[1500:]}  # fmt: skip


def trained(labels):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((6,), name="sales"), keras.layers.Dense(32, "relu"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential(layers, name="shops")
    model.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    model.fit(x_train, labels, epochs=12, verbose=0)
    return model


def ship(model, out):
    edgeship.build(
        model, DATA, recipe="int8", quantize=("float32", "int8"), to="tflite", out=f"builds/{out}", max_drop=20,
        slices="label, shop", plan=Plan(min_seconds=0.05, min_runs=20),
    )  # fmt: skip


if __name__ == "__main__":
    np.savez("shops.npz", **DATA)
    good = trained(y_train)
    good.save("good.keras")
    ship(good, "first")
    ship(good, "again")
    # In the second shop a part of the labels is wrong: there the network becomes worse, elsewhere it stays.
    south = x_train[:, 5] > 0
    worse = trained(np.where(south & (x_train[:, 4] > 0), 1 - y_train, y_train))
    worse.save("worse.keras")
    ship(worse, "worse")
