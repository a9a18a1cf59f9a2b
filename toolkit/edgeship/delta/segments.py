"""Where the numbers of a model file are: tensors of TFLite, ONNX and TF.js, by offset, type and name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from edgeship.delta.decoder import F16, F32, I8, I32, U8

#: Fewer numbers than this are left to the search for equal bytes.
_FEWEST = 4


@dataclass(frozen=True)
class Segment:
    """Numbers of one type in a row.

    Attributes:
        start: offset in the file.
        type: a class of `edgeship.delta.decoder`.
        name: what stands for the same thing in both files.
    """

    start: int
    count: int
    type: int
    name: str


def segments(content: bytes) -> list[Segment]:
    """The tensors of a file by offset, without overlaps; empty where its format is not known, or it is damaged."""
    for read in (_tflite, _onnx):
        try:
            found = sorted(read(content), key=lambda segment: segment.start)
        except Exception:  # noqa: BLE001, S112 - any damage means that bytes are compared as bytes, which is always right
            continue
        if found:
            return _apart(found, len(content))
    return []


def _apart(found: list[Segment], size: int) -> list[Segment]:
    kept: list[Segment] = []
    end = 0
    for segment in found:
        bytes_each = {F32: 4, F16: 2, I32: 4}.get(segment.type, 1)
        if segment.count >= _FEWEST and segment.start >= end and segment.start + segment.count * bytes_each <= size:
            kept.append(segment)
            end = segment.start + segment.count * bytes_each
    return kept


def _tflite(content: bytes) -> Iterator[Segment]:
    """Buffers of tensors, and the vectors of their scales."""
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != b"TFL3":
        return
    types = schema.TensorType
    kinds = {types.FLOAT32: (F32, 4), types.FLOAT16: (F16, 2), types.INT32: (I32, 4), types.INT8: (I8, 1)}
    model = schema.Model.GetRootAs(content, 0)
    for at in range(model.SubgraphsLength()):
        graph = model.Subgraphs(at)
        for index in range(graph.TensorsLength()):
            tensor = graph.Tensors(index)
            name = f"{at}/{(tensor.Name() or b'').decode(errors='replace')}"
            buffer = model.Buffers(tensor.Buffer())
            kind, each = kinds.get(tensor.Type(), (U8, 1))
            if buffer.DataLength() >= each:
                yield Segment(_vector(buffer, 4), buffer.DataLength() // each, kind, f"{name}:data")
            quantization = tensor.Quantization()
            if quantization is not None and quantization.ScaleLength():
                yield Segment(_vector(quantization, 8), quantization.ScaleLength(), F32, f"{name}:scale")


def _vector(table: Any, field: int) -> int:
    """Offset of the elements of a vector, the field of a flatbuffer table at this place of its vtable."""
    return int(table._tab.Vector(table._tab.Offset(field)))  # the generated classes have no public way to ask


#: TensorProto.DataType of ONNX.
_ONNX_TYPES = {1: (F32, 4), 10: (F16, 2), 3: (I8, 1), 2: (U8, 1), 6: (I32, 4)}


def _onnx(content: bytes) -> Iterator[Segment]:
    """Initializers: of a ModelProto (graph is field 7) the TensorProtos (field 5) with raw data (field 9)."""
    for number, start, end in _fields(content, 0, len(content)):
        if number == 7:
            for inner, tensor, stop in _fields(content, start, end):
                if inner == 5:
                    yield from _initializer(content, tensor, stop)


def _initializer(content: bytes, start: int, end: int) -> Iterator[Segment]:
    kind, name, raw = 0, "", None
    for number, first, last in _fields(content, start, end):
        if number == 2:
            kind = first
        elif number == 8:
            name = content[first:last].decode()
        elif number in (4, 9):  # float_data is packed, as raw data is
            raw = first, last
            kind = 1 if number == 4 else kind
    if raw is not None and kind in _ONNX_TYPES:
        code, each = _ONNX_TYPES[kind]
        yield Segment(raw[0], (raw[1] - raw[0]) // each, code, name)


def _fields(content: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Fields of a protobuf message: number, and where its content starts and ends; of a number itself, twice."""
    while at < end:
        tag, at = _varint(content, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(content, at)
            yield tag >> 3, value, value
            continue
        if wire == 2:
            size, at = _varint(content, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("not a protobuf message")
        if at + size > end:
            raise ValueError("a field ends outside of its message")
        yield tag >> 3, at, at + size
        at += size
    if at != end:
        raise ValueError("a field ends outside of its message")


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        value, at = value | (byte & 127) << shift, at + 1
        if byte < 128:
            return value, at
    raise ValueError("not a protobuf message")
