"""Exported files as sources: what they say about their use goes on to what is made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tensorflow.core.protobuf import saved_model_pb2
from test_usage_tflite import FULL, LABELS, signed
from tests.tiny_tflite import model_bytes

from edgeship import plugins
from edgeship.pipeline.request import Request, stated
from edgeship.recipe import Recipe
from edgeship.source import inspect
from edgeship.types import ConvertOptions, Dataset, Preprocessing, Source, TensorSpec
from edgeship.usage import Usage, read, tfjs, usage
from edgeship_converters.tflite import slim
from edgeship_converters.usage import add_collections

#: As it comes back from TFLite Metadata.
SAID = Usage(LABELS, FULL)


@pytest.fixture
def source(tmp_path: Path) -> Source:
    path = tmp_path / "labelled.tflite"
    path.write_bytes(slim.slim(signed(model_bytes(), ("x", "p")), said=usage(LABELS, FULL)))
    return inspect(path)


@pytest.mark.parametrize("export", ["tflite/float32", "tflite/dynamic", "tflite/float16", "onnx/float32"])
def test_labels_go_on(source: Source, tmp_path: Path, export: str) -> None:
    name, variant = export.split("/")
    (tmp_path / "out").mkdir()
    options = ConvertOptions(labels=LABELS, preprocessing=FULL)
    artifact = plugins.converter(name).convert(source, variant, options, tmp_path / "out")
    assert read(name, artifact.entry) == SAID


def test_a_model_says_what_its_data_does_not(source: Source, tmp_path: Path) -> None:
    request = Request(source.path, tmp_path / "build", Recipe("test"))
    probe = Dataset(tmp_path, "probe inputs", "0", "unlabelled", source.inputs, {"test": 1})
    found = stated(probe, source, request)
    assert (found.classes, found.preprocessing) == (LABELS, FULL)
    own = Dataset(
        tmp_path,
        "d",
        "0",
        "classification",
        source.inputs,
        {"test": 1},
        ("x", "y", "z"),
        preprocessing=Preprocessing(1.0),
    )
    found = stated(own, source, request)
    assert (found.classes, found.preprocessing) == (own.classes, own.preprocessing)


def test_a_tfjs_layers_model_says_its_labels(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"userDefinedMetadata": tfjs.to_metadata(SAID)}))
    assert said_by("tfjs", path) == SAID


def test_a_saved_model_says_its_labels(tmp_path: Path) -> None:
    message = saved_model_pb2.SavedModel()
    message.meta_graphs.add()
    add_collections(message, ConvertOptions(labels=LABELS, preprocessing=FULL))
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
    assert said_by("savedmodel", tmp_path) == SAID


def said_by(kind: str, path: Path) -> Usage:
    """What is known of a dataset without names after the model was asked."""
    ends = (TensorSpec("x", (None, 4), "float32"),), (TensorSpec("p", (None, 3), "float32"),)
    source = Source(path, kind, kind, "0", *ends, parameters=1, trainable=False)
    probe = Dataset(path, "probe inputs", "0", "unlabelled", source.inputs, {"test": 1})
    found = stated(probe, source, Request(path, path / "build", Recipe("test")))
    return Usage(found.classes, found.preprocessing)
