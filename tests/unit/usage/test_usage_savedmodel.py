"""Labels and preprocessing in a SavedModel: in collections, which TensorFlow hands on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from edgeship.errors import ArtifactError
from edgeship.types import ConvertOptions, Preprocessing
from edgeship.usage import Usage, read
from edgeship_converters.usage import add_collections

SAID = Usage(("cat", "größe"), Preprocessing(1 / 255, "bilinear", "RGB", (0.5, 0.25, 0.125), (0.5,), (0.0, 255.0)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("saved")
    with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
        x = tf.compat.v1.placeholder(tf.float32, (None, 2), name="x")
        tf.compat.v1.saved_model.simple_save(session, str(place / "m"), {"x": x}, {"y": tf.multiply(x, 2.0)})
    return place / "m"


def test_what_was_written_comes_back_and_the_model_still_loads(folder: Path) -> None:
    path = folder / "saved_model.pb"
    assert read("savedmodel", path) == Usage()
    message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    add_collections(message, ConvertOptions(labels=SAID.labels, preprocessing=SAID.preprocessing))
    path.write_bytes(message.SerializeToString(deterministic=True))
    assert read("savedmodel", path) == SAID
    loaded = tf.saved_model.load(str(folder))
    assert np.array_equal(loaded.signatures["serving_default"](x=tf.ones((1, 2)))["y"], [[2.0, 2.0]])


def test_damage_is_typed(folder: Path, tmp_path: Path) -> None:
    content = (folder / "saved_model.pb").read_bytes()
    broken = tmp_path / "saved_model.pb"
    rng = np.random.default_rng(0)
    for _ in range(200):
        changed = bytearray(content)
        changed[int(rng.integers(0, len(content)))] = int(rng.integers(0, 256))
        broken.write_bytes(changed[: int(rng.integers(1, len(content)))])
        try:
            assert isinstance(read("savedmodel", broken), Usage)
        except ArtifactError as error:
            assert "is broken" in error.message  # noqa: PT017 - one of two right answers
