"""Both frameworks, and a small network of Keras 3, live and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from source_models import small

from edgeship import source


@pytest.fixture(scope="session")
def keras() -> Any:
    import keras

    return keras


@pytest.fixture(scope="session")
def tf_keras() -> Any:
    import tf_keras

    return tf_keras


@pytest.fixture(scope="session")
def model(keras: Any) -> Any:
    keras.utils.set_random_seed(1)
    return small(keras, activation="softmax")


@pytest.fixture
def saved(model: Any, tmp_path: Path) -> Path:
    return source.save_live(model, tmp_path)
