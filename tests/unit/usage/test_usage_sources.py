"""Exported files as sources: what they say about their use goes on to what is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_usage_tflite import FULL, LABELS, signed
from tests.tiny_tflite import model_bytes

from edgeship import plugins
from edgeship.pipeline.request import Request, stated
from edgeship.recipe import Recipe
from edgeship.source import inspect
from edgeship.types import ConvertOptions, Dataset, Preprocessing, Source
from edgeship.usage import Usage, read, usage
from edgeship_converters.tflite import slim

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
