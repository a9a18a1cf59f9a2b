"""TFLite Metadata: a flatbuffer in a buffer named TFLITE_METADATA, and files in a ZIP archive behind the model.

Schema: metadata_schema.fbs of tflite-support, file identifier M001. The Task Library, MediaPipe and Android Studio read
it; they want the archive uncompressed. Normalization there is (raw - mean) / std; a quantized input is quantized after.
What the schema has no field for (`resize`, channels other than RGB and grey) stands in the description of the input.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from edgeship.errors import InputError
from edgeship.preprocessing import PIXELS, affine, check
from edgeship.types import Preprocessing, TensorSpec
from edgeship.usage.tables import Byte, Fields, Table, encode
from edgeship.usage.values import Usage

NAME = "TFLITE_METADATA"
MARK = b"M001"
LABELS_FILE = "labels.txt"
#: Fields of the tables, by number.
SUBGRAPHS, INPUTS, OUTPUTS = 3, 2, 3
_NAME, _DESCRIPTION, _CONTENT, _UNITS, _STATS, _FILES = 0, 1, 3, 4, 5, 6
_KIND, _VALUE = 0, 1  # of a union
_MEAN, _STD = 0, 1
_MAX, _MIN = 0, 1
_FILE_NAME, _FILE_TYPE = 0, 2
#: Members of unions and enumerations.
_IMAGE, _NORMALIZATION = 2, 1
_COLORS: Mapping[str, int] = {"RGB": 1, "grey": 2}
AXIS_LABELS, VALUE_LABELS = 2, 3
#: Ranks of an image with its batch.
_IMAGE_RANK = 4


def metadata(given: Usage, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> bytes:
    """The flatbuffer.

    Args:
        given: what the file is to say.
        inputs: in the order of the subgraph.
        outputs: likewise; the labels belong to the first.
    """
    graph = {
        INPUTS: [_input(spec, given.preprocessing) for spec in inputs],
        OUTPUTS: [_output(spec, given.labels if place == 0 else ()) for place, spec in enumerate(outputs)],
    }
    return encode({SUBGRAPHS: [graph]}, MARK)


def _input(spec: TensorSpec, done: Preprocessing) -> Fields:
    fields: dict[int, Any] = {_NAME: spec.name}
    extra = [f"resize: {done.resize}"] if done.resize else []
    color = _COLORS.get(done.channels or "")
    if color is not None and len(spec.shape) == _IMAGE_RANK:
        fields[_CONTENT] = {_KIND: Byte(_IMAGE), _VALUE: {0: Byte(color)}}
    elif done.channels:
        extra.append(f"channels: {done.channels}")
    if extra:
        fields[_DESCRIPTION] = ", ".join(extra)
    if done.scale is None:
        return fields
    factors, offsets = affine(done)
    pairs = list(zip(factors, offsets, strict=True))
    normalization = {_MEAN: [-offset / factor + 0.0 for factor, offset in pairs], _STD: [1 / f for f in factors]}
    fields[_UNITS] = [{_KIND: Byte(_NORMALIZATION), _VALUE: normalization}]
    if done.value_range is not None:
        low, high = ([raw * factor + offset for factor, offset in pairs] for raw in done.value_range)
        fields[_STATS] = {_MAX: high, _MIN: low}
    return fields


def _output(spec: TensorSpec, labels: Sequence[str]) -> Fields:
    if not labels:
        return {_NAME: spec.name}
    # A single score has no axis of classes: its labels are those of its values.
    kind = AXIS_LABELS if spec.shape and spec.shape[-1] == len(labels) else VALUE_LABELS
    return {_NAME: spec.name, _FILES: [{_FILE_NAME: LABELS_FILE, _FILE_TYPE: Byte(kind)}]}


def with_files(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """A model with files in an archive behind it; as it is without any. Equal files give equal bytes."""
    if not files:
        return content
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, body in files.items():
            archive.writestr(zipfile.ZipInfo(name), body)  # dated 1980-01-01
    return whole.getvalue()


def label_files(given: Usage) -> dict[str, bytes]:
    """The files that belong to the metadata of a usage."""
    return {LABELS_FILE: "\n".join(given.labels).encode()} if given.labels else {}


@dataclass(frozen=True)
class Told:
    """What the flatbuffer says.

    Attributes:
        preprocessing: of all inputs; nothing known where they differ.
        label_files: names of files with labels, those of axes of outputs first.
        descriptions: (`input image`, its table) of every input and output.
    """

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    label_files: tuple[str, ...] = ()
    descriptions: Sequence[tuple[str, Table]] = field(default_factory=tuple)


def tell(raw: bytes) -> Told:
    """Read a flatbuffer. Raises what broken ones make flatbuffers raise (see `inspection.bounds.damaged`)."""
    if raw[4:8] != MARK:
        return Told()
    found: list[Preprocessing] = []
    names: dict[int, list[str]] = {AXIS_LABELS: [], VALUE_LABELS: []}
    tables: list[tuple[str, Table]] = []
    for graph in Table.root(raw).tables(SUBGRAPHS):
        for side, number in (("input", INPUTS), ("output", OUTPUTS)):
            for index, tensor in enumerate(graph.tables(number)):
                tables.append((f"{side} {tensor.text(_NAME) or index}", tensor))
                if side == "input":
                    found.append(_told_input(tensor))
                    continue
                for file in tensor.tables(_FILES):
                    names.get(file.byte(_FILE_TYPE), []).append(file.text(_FILE_NAME))
    same = found[0] if found and all(one == found[0] for one in found) else Preprocessing()
    return Told(same, (*names[AXIS_LABELS], *names[VALUE_LABELS]), tables)


def normalization(tensor: Table) -> tuple[list[float], list[float]] | None:
    """(mean, std) of an input; None where it has none."""
    for unit in tensor.tables(_UNITS):
        options = unit.table(_VALUE) if unit.byte(_KIND) == _NORMALIZATION else None
        if options is not None:
            return options.floats(_MEAN), options.floats(_STD)
    return None


def described(tensor: Table) -> tuple[str, tuple[str, ...]]:
    """The description of an input or output, and the names of its files."""
    return tensor.text(_DESCRIPTION), tuple(file.text(_FILE_NAME) for file in tensor.tables(_FILES))


def _told_input(tensor: Table) -> Preprocessing:
    done = Preprocessing()
    content = tensor.table(_CONTENT)
    if content is not None and content.byte(_KIND) == _IMAGE and (image := content.table(_VALUE)) is not None:
        color = next((name for name, number in _COLORS.items() if number == image.byte(0)), None)
        done = replace(done, channels=cast('Literal["RGB", "grey"] | None', color))
    for word in tensor.text(_DESCRIPTION).split(", "):
        if word == "resize: bilinear":
            done = replace(done, resize="bilinear")
        elif (order := word.removeprefix("channels: ")) in ("grey", "RGB", "RGBA", "BGR") and order != word:
            done = replace(done, channels=cast('Literal["grey", "RGB", "RGBA", "BGR"]', order))
    found = normalization(tensor)
    if found is None:
        return done
    return _told_values(done, *found, tensor.table(_STATS))


def _told_values(done: Preprocessing, mean: list[float], std: list[float], stats: Table | None) -> Preprocessing:
    """With the normalization of an input; nothing known where its numbers are of no use."""
    if len(set(mean)) <= 1 and len(set(std)) == 1:
        mean, std = mean[:1], std[:1]
    single = len(std) == 1 and not any(mean) and std[0] > 0
    try:
        if single:
            done = replace(done, scale=1 / std[0])
        else:
            done = replace(done, scale=1.0, mean=tuple(mean) if any(mean) else (), std=tuple(std))
        check(done, "the file")
        limits = [] if stats is None else [stats.floats(number)[:1] for number in (_MIN, _MAX)]
        (factor, *_), (offset, *_) = affine(done)
        raw = [(limit[0] - offset) / factor for limit in limits if limit]
    except (InputError, ZeroDivisionError, OverflowError):
        return Preprocessing()
    near = len(raw) == len(PIXELS) and all(abs(a - b) < 1e-2 for a, b in zip(raw, PIXELS, strict=True))
    return replace(done, value_range=PIXELS) if near else done  # others use these fields in other ways
