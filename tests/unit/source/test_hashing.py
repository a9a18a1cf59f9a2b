"""What the hash of a model depends on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgeship.source.hashing import hash_keras


def model(layer: dict[str, Any] | None = None, *, beside: dict[str, Any] | None = None, **top: Any) -> str:
    """Hash of a model of one layer: its own config, what Keras wrote beside that, and beside the model's."""
    inner = {"class_name": "Mine", "config": {"units": 2, **(layer or {})}, **(beside or {})}
    return hash_keras({"class_name": "Sequential", "config": {"layers": [inner]}, **top}, [("w", np.ones(3))])


@pytest.mark.parametrize(
    "config",
    [
        {"backend": "exact"},
        {"build_config": {"ratio": 2}},
        {"compile_config": 1},
        {"keras_version": "x"},
        {"shared_object_id": 7},
        {"backend": {"class_name": "Fast", "config": {"backend": "int8"}}},
    ],
)
def test_every_key_of_a_layers_own_config_counts(config: dict[str, Any]) -> None:
    assert model(config) != model()


def test_values_of_those_keys_count() -> None:
    assert model({"backend": "exact"}) != model({"backend": "fast"})
    assert model(beside={"backend": "exact"}) != model(beside={"backend": "fast"})


def test_what_keras_writes_beside_does_not_count() -> None:
    assert model(beside={"build_config": {"input_shape": [None, 2]}, "shared_object_id": 3}) == model()
    assert (
        model(keras_version="2.4.0", backend="tensorflow", build_config={}, compile_config={"loss": "mse"}) == model()
    )
