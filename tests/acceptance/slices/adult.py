"""UCI Adult from ../shared/data, for `--data tests.acceptance.slices.adult:load`, and a small model trained on it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).parents[4] / "shared" / "data" / "adult" / "adult_80.data"
#: Columns of numbers (the sampling weight is none), and of words.
_NUMBERS = (0, 4, 10, 11, 12)
_WORDS = (1, 3, 5, 6, 7, 8, 9, 13)
_RACE, _SEX, _INCOME = 8, 9, 14
_SEED = 7


def load() -> dict[str, Any]:
    """Half of the rows to train on, half to test: standardized numbers and one-hot words; sex and race as slices."""
    with FILE.open(newline="") as file:
        rows = [row for row in csv.reader(file, skipinitialspace=True) if len(row) == 15]
    table = np.array(rows)
    order = np.random.default_rng(_SEED).permutation(len(table))
    train, test = order[: len(order) // 2], order[len(order) // 2 :]
    numbers = table[:, _NUMBERS].astype(np.float32)
    numbers = (numbers - numbers[train].mean(axis=0)) / numbers[train].std(axis=0)
    parts = [numbers, *(_one_hot(table[:, column]) for column in _WORDS)]
    x = np.concatenate(parts, axis=1).astype(np.float32)
    y = (table[:, _INCOME] == ">50K").astype(np.int64)
    found = {f"{what}_{split}": array[rows] for split, rows in (("train", train), ("test", test))
             for what, array in (("x", x), ("y", y))}  # fmt: skip
    for name, column in (("sex", _SEX), ("race", _RACE)):
        found |= {f"slice_{split}.{name}": table[rows, column] for split, rows in (("train", train), ("test", test))}
    return {**found, "classes": np.array(["<=50K", ">50K"])}


def _one_hot(values: Any) -> Any:
    return (values[:, None] == np.unique(values)[None]).astype(np.float32)


def train(path: Path) -> None:
    """A network of two hidden layers; the same weights every time on one kind of machine."""
    import keras

    data = load()
    keras.utils.set_random_seed(_SEED)
    layers = [keras.layers.Dense(64, "relu"), keras.layers.Dense(32, "relu"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((data["x_train"].shape[1],), name="person"), *layers])
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(data["x_train"], data["y_train"], batch_size=128, epochs=8, verbose=0)
    model.save(path)
