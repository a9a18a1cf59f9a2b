"""Models with layers and code of their author's."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_models import RNG, run

from edgeship import source
from edgeship.errors import SourceError, UnsafeModelError
from edgeship.types import TensorSpec

CUSTOM = """
import keras

@keras.saving.register_keras_serializable(package="mine")
class Registered(keras.layers.Layer):
    def call(self, x):
        return x * 2

class Plain(keras.layers.Layer):
    def call(self, x):
        return x + 1

def twice(x):
    return 2 * x

class Whole(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(2)

    def call(self, x):
        return {"scores": self.dense(x)}
"""


@pytest.fixture(scope="module")
def custom(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("custom")
    (folder / "layers_of_a_user.py").write_text(CUSTOM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        from edgeship.references import resolve

        resolve("layers_of_a_user:Plain")
        yield sys.modules["layers_of_a_user"]


def saved(live: Any, folder: Path) -> Path:
    """A file as users write it."""
    live.save(folder / "model.keras")
    return folder / "model.keras"


def test_custom_objects(keras: Any, custom: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    y = keras.layers.Dense(2, activation=custom.twice, name="y")(custom.Plain()(custom.Registered()(x)))
    live = keras.Model(x, y)
    path = saved(live, tmp_path)
    references = tuple(f"layers_of_a_user:{name}" for name in ("Plain", "Registered", "twice"))
    with pytest.raises(SourceError, match=r"needs '(Plain|twice)'[\s\S]*--custom-objects"):
        source.inspect(path)
    found = source.inspect(path, references)
    assert found.custom_objects == references
    value = RNG.random((2, 3)).astype("float32")
    assert np.allclose(run(found, value)[0], live(value), atol=1e-6)
    with pytest.raises(SourceError, match="there is no 'Gone' in layers_of_a_user"):
        source.inspect(path, ("layers_of_a_user:Gone",))


def test_a_class_that_was_registered_when_saved_and_is_not_any_more(keras: Any, custom: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    path = saved(keras.Model(x, custom.Plain(name="y")(x)), tmp_path)
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "moved.keras", "w") as new:
        for name in old.namelist():
            new.writestr(name, old.read(name).replace(b'"registered_name": "Plain"', b'"registered_name": "old>Plain"'))
    found = source.inspect(tmp_path / "moved.keras", ("layers_of_a_user:Plain",))
    assert run(found, np.zeros((1, 3), "float32"))[0].tolist() == [[1, 1, 1]]


def test_edgeships_own_layers_need_no_permission(keras: Any, tmp_path: Path) -> None:
    from edgeship.compress.layers import FakeQuant

    x = keras.Input((3,), name="x")
    found = source.inspect(source.save_live(keras.Model(x, FakeQuant(frozen=True, name="y")(x)), tmp_path))
    assert (found.fake_quantized, found.trainable, found.outputs[0].name) == (True, True, "y")


def test_a_subclassed_model(keras: Any, custom: Any, tmp_path: Path) -> None:
    live = custom.Whole()
    with pytest.raises(SourceError, match="has no weights yet"):
        source.save_live(live, tmp_path)
    value = RNG.random((2, 3)).astype("float32")
    expected = live(value)["scores"]
    found = source.inspect(saved(live, tmp_path), ("layers_of_a_user:Whole",))
    assert found.inputs == (TensorSpec("input", (None, 3), "float32"),)
    assert found.outputs == (TensorSpec("scores", (None, 2), "float32"),)
    assert np.allclose(run(found, value)[0], expected, atol=1e-6)


def test_a_lambda_layer_needs_permission(keras: Any, tmp_path: Path) -> None:
    x = keras.Input((3,), name="x")
    path = saved(keras.Model(x, keras.layers.Lambda(lambda v: v * 3, name="triple")(x)), tmp_path)
    with pytest.raises(UnsafeModelError, match=r"layer 'triple' \(Lambda\) carries code"):
        source.inspect(path)
    found = source.inspect(path, allow_unsafe=True)
    assert found.allow_unsafe
    assert np.allclose(run(found, np.ones((1, 3), "float32"))[0], 3)
    with pytest.raises(UnsafeModelError):
        source.load(replace(found, allow_unsafe=False))
