"""What a file from anywhere says about its use, read without the framework that wrote it."""

from __future__ import annotations

import json
from pathlib import Path

from edgeship.errors import ArtifactError
from edgeship.inspection.bounds import Budget, damaged, read_file
from edgeship.usage import onnx, savedmodel, tfjs
from edgeship.usage.values import Usage

#: Largest model.json that is read.
_MAX_JSON_BYTES = 64 << 20


def read(format_name: str, entry: Path) -> Usage:
    """Labels and preprocessing of a file; nothing known for formats that hold neither.

    Args:
        format_name: `tflite`, `onnx`, `tfjs` or `savedmodel`.
        entry: the file that a runtime opens.

    Raises:
        ArtifactError: the file is damaged, or larger than 1 GiB.
    """
    with damaged(entry):
        if format_name == "onnx":
            return onnx.read(entry)
        if format_name == "savedmodel":
            return savedmodel.read(entry)
        if format_name == "tfjs":
            return tfjs.from_model(_json(entry))
        return _tflite(entry) if format_name == "tflite" else Usage()


def _json(entry: Path) -> object:
    found: object = json.loads(read_file(entry, _MAX_JSON_BYTES))
    return found


def _tflite(entry: Path) -> Usage:
    from ai_edge_litert import schema_py_generated as schema

    from edgeship.inspection.tflite_metadata import buffers_of, read_metadata

    content = read_file(entry)
    if content[4:8] != b"TFL3":
        raise ArtifactError(f"{entry} does not carry the mark TFL3 of a TFLite file")
    found = read_metadata(entry, content, buffers_of(schema.Model.GetRootAs(content, 0), Budget(len(content))))
    return Usage(found.labels, found.preprocessing)
