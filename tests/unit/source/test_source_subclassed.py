"""Subclassed models of both frameworks: saved with their classes named, live without, and what lacks shapes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_models import RNG, run

from edgeship import source
from edgeship.errors import SourceError

X, Y = (RNG.random((3, size)).astype("float32") for size in (8, 4))


def one(framework: Any) -> Any:
    class One(framework.Model):  # type: ignore[misc] # of either framework
        def __init__(self, units: int) -> None:
            super().__init__()
            self.dense = framework.layers.Dense(units, activation="softmax")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    return One(5)


def pair(framework: Any) -> Any:
    class Pair(framework.Model):  # type: ignore[misc] # of either framework
        def __init__(self) -> None:
            super().__init__()
            self.dense = framework.layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return {"zebra": self.dense(inputs["wide"]), "ant": inputs["deep"] * 2}

    return Pair()


@pytest.mark.parametrize("framework", ["keras", "tf_keras"])
def test_live_models_without_a_config_are_read_as_what_they_compute(
    framework: str, request: pytest.FixtureRequest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    live = one(request.getfixturevalue(framework))
    expected = np.asarray(live(X))
    saved = source.save_live(live, tmp_path)
    assert (saved.name, sorted(p.name for p in tmp_path.iterdir())) == ("model", ["model"])
    found = source.inspect(saved)
    assert (found.kind, found.trainable, found.inputs[0].shape) == ("savedmodel", False, (None, 8))
    assert found.parameters == live.count_params()
    assert np.allclose(run(found, X)[0], expected, atol=1e-6)
    assert "Saved artifact" not in capfd.readouterr().out


@pytest.mark.parametrize("framework", ["keras", "tf_keras"])
def test_dicts_keep_their_names(framework: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    live = pair(request.getfixturevalue(framework))
    expected = live({"wide": X, "deep": Y})
    found = source.inspect(source.save_live(live, tmp_path))
    assert [spec.name for spec in found.inputs] == ["deep", "wide"]
    assert [spec.name for spec in found.outputs] == ["ant", "zebra"]
    for result, name in zip(run(found, Y, X), ("ant", "zebra"), strict=True):
        assert np.allclose(result, expected[name], atol=1e-6)


def test_saved_models_with_their_classes_named_stay_keras(keras: Any, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "own_models.py").write_text(
        "import keras\n\n\n"
        "class Two(keras.Model):\n"
        "    def __init__(self, **options):\n"
        "        super().__init__(**options)\n"
        "        self.dense = keras.layers.Dense(3)\n\n"
        "    def call(self, inputs):\n"
        "        first, second = inputs\n"
        "        return [self.dense(first), second * 2]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from own_models import Two  # type: ignore[import-not-found] # written above

    live = Two()
    expected = live([X, Y])
    path = source.save_live(live, tmp_path / "saved", ("own_models:Two",))
    assert path.name == "model.keras"
    found = source.inspect(path, ("own_models:Two",))
    assert (found.loader, [spec.shape for spec in found.inputs]) == ("keras", [(None, 8), (None, 4)])
    for result, wanted in zip(run(found, X, Y), expected, strict=True):
        assert np.allclose(result, wanted, atol=1e-6)


def test_what_lacks_shapes_is_refused_with_the_remedy(keras: Any, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has no weights yet\nBuild it, or call it once on data"):
        source.save_live(one(keras), tmp_path)


def test_a_live_lambda_is_read_without_its_code(keras: Any, tmp_path: Path) -> None:
    live = keras.Sequential([keras.Input((8,), name="x"), keras.layers.Lambda(lambda x: x * 3), keras.layers.Dense(2)])
    found = source.inspect(source.save_live(live, tmp_path))
    assert found.kind == "savedmodel"
    assert np.allclose(run(found, X)[0], live(X), atol=1e-6)
    assert source.save_live(live, tmp_path / "trusted", allow_unsafe=True).name == "model.keras"
