"""SavedModels with several signatures, several inputs and outputs, and inputs that are no floats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from source_models import RNG, run

from edgeship import source
from edgeship.errors import SourceError


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two signatures: `both` takes and gives dicts, `image` takes pixels."""
    import tensorflow as tf

    class Model(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = tf.Variable(np.arange(12, dtype=np.float32).reshape(4, 3))

        @tf.function
        def both(self, a: Any, ids: Any) -> Any:
            return {"zebra": tf.matmul(a, self.kernel), "ant": tf.gather(self.kernel, ids)}

        @tf.function
        def image(self, image: Any) -> Any:
            return {"scores": tf.matmul(tf.reshape(tf.cast(image, tf.float32), (-1, 4)), self.kernel)}

    model, place = Model(), tmp_path_factory.mktemp("saved") / "model"
    signatures = {
        "both": model.both.get_concrete_function(
            a=tf.TensorSpec((None, 4), tf.float32, name="a"), ids=tf.TensorSpec((None,), tf.int64, name="ids")
        ),
        "image": model.image.get_concrete_function(image=tf.TensorSpec((None, 2, 2, 1), tf.uint8, name="image")),
    }
    tf.saved_model.save(model, str(place), signatures=signatures)
    return place


def test_a_signature_is_chosen_by_name(saved: Path) -> None:
    kernel = np.arange(12, dtype=np.float32).reshape(4, 3)
    found = source.inspect(saved, signature="both")
    assert found.signature == "both"
    assert [(s.name, s.shape, s.dtype) for s in found.inputs] == [
        ("a", (None, 4), "float32"),
        ("ids", (None,), "int64"),
    ]
    assert [s.name for s in found.outputs] == ["ant", "zebra"]
    a, ids = RNG.random((5, 4)).astype("float32"), np.array([3, 0, 2, 1, 1])
    ant, zebra = run(found, a, ids)
    assert np.allclose(zebra, a @ kernel, atol=1e-5)
    assert np.array_equal(ant, kernel[ids])
    other = source.inspect(saved, signature="image")
    assert other.inputs[0].dtype == "uint8"
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    assert np.allclose(run(other, pixels)[0], pixels.reshape(2, 4).astype("float32") @ kernel)
    assert other.sha256 != found.sha256


def test_what_is_ambiguous_or_not_there_is_refused_with_the_names(saved: Path, keras: Any, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"has 2 signatures.*\(it has: both, image\)[\s\S]*--signature both"):
        source.inspect(saved)
    with pytest.raises(SourceError, match=r"has no signature 'third' \(it has: both, image\)"):
        source.inspect(saved, signature="third")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "plain.keras")
    with pytest.raises(SourceError, match=r"plain\.keras has no signatures to choose from"):
        source.inspect(tmp_path / "plain.keras", signature="both")


@pytest.mark.parametrize(
    ("name", "dtype", "result"), [("int64_multiply", "int64", "int64"), ("uint8_multiply", "uint8", "int32")]
)
def test_reference_models_with_integers(shared_data: Path, name: str, dtype: str, result: str) -> None:
    found = source.inspect(shared_data / "tfjs_reference" / "saved_models" / name)
    assert (found.inputs[0].dtype, found.outputs[0].dtype, found.signature) == (dtype, result, "serving_default")
    x = np.arange(1, 1 + (found.inputs[0].shape[0] or 1)).astype(dtype)
    (given,) = run(found, x)
    assert given.shape == x.shape
    assert len(set((given / x).tolist())) == 1, "it multiplies by a number"


def test_reference_models_with_several_signatures_and_outputs(shared_data: Path) -> None:
    folder = shared_data / "tfjs_reference" / "saved_models"
    several = folder / "module_with_multiple_signatures"
    assert source.inspect(several).signature == "serving_default"
    assert np.allclose(run(source.inspect(several, signature="timestwo"), np.float32(3))[0], 6)
    with pytest.raises(SourceError, match=r"\(it has: serving_default, timestwo\)"):
        source.inspect(several, signature="times")
    found = source.inspect(folder / "model_multi_output")
    assert [spec.name for spec in found.outputs] == ["output_0", "output_1"]
    assert len(run(found, np.int32(2), np.int32(5))) == 2
