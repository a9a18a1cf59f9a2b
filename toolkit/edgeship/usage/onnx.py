"""ONNX: `labels` and `preprocessing` as JSON in `metadata_props`, read without the `onnx` package.

Read too: the names that others give labels, and `Image.*` of the ONNX specification (docs/MetadataProps.md).
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from edgeship.errors import ArtifactError
from edgeship.inspection.bounds import Budget
from edgeship.preprocessing import NAMED
from edgeship.types import Preprocessing
from edgeship.usage.values import MAX_TEXT, Usage, labels_of_text, preprocessing_of, to_data
from edgeship.usage.wire import fields

_LABELS = ("labels", "classes", "class_names", "names")
#: Image.NominalPixelRange.
_RANGES: Mapping[str, Preprocessing] = {
    "nominalrange_0_255": NAMED["raw"],
    "normalized_0_1": NAMED["unit"],
    "normalized_1_1": NAMED["tf"],
}
#: Image.BitmapPixelFormat.
_FORMATS: Mapping[str, Literal["grey", "RGB", "RGBA", "BGR"]] = {
    "gray8": "grey",
    "rgb8": "RGB",
    "rgba8": "RGBA",
    "bgr8": "BGR",
}
#: Fields of ModelProto and StringStringEntryProto (onnx.proto).
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_MAX_PROPS = 1000


def to_props(given: Usage) -> dict[str, str]:
    """The entries of `metadata_props`."""
    return {key: json.dumps(value, separators=(",", ":"), ensure_ascii=False) for key, value in to_data(given).items()}


def from_props(props: Mapping[str, str]) -> Usage:
    """What the entries of a file say."""
    labels = next((found for key in _LABELS if (found := labels_of_text(props.get(key, "")))), ())
    return Usage(labels, _preprocessing(props))


def _preprocessing(props: Mapping[str, str]) -> Preprocessing:
    said = props.get("preprocessing", "")
    if said:
        try:
            return preprocessing_of(json.loads(said[:MAX_TEXT]))
        except (ValueError, RecursionError):
            return Preprocessing()
    lower = {key.lower(): value.lower() for key, value in props.items()}
    found = _RANGES.get(lower.get("image.nominalpixelrange", ""), Preprocessing())
    return replace(found, channels=_FORMATS.get(lower.get("image.bitmappixelformat", "")))


def read(path: Path) -> Usage:
    """What a file says. Raises ArtifactError where its protocol buffer is damaged."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return from_props(dict(_props(content)))
        except (IndexError, ValueError) as error:
            raise ArtifactError(f"{path} is broken: {error}", remedy="Copy or convert it again.") from error


def _props(content: mmap.mmap) -> Iterator[tuple[str, str]]:
    found = 0
    budget = Budget(0)  # the graph is one field, whatever its size
    for number, start, end in fields(content, 0, len(content), budget):
        if number == _METADATA_PROPS:
            found += 1
            if found > _MAX_PROPS:
                raise ValueError(f"it has more than {_MAX_PROPS:,} entries of metadata")
            entry = {n: content[a : min(b, a + MAX_TEXT)] for n, a, b in fields(content, start, end, budget)}
            yield (entry.get(_KEY, b"").decode("utf-8", "replace"), entry.get(_VALUE, b"").decode("utf-8", "replace"))
