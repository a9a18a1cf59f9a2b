"""The same TFLite file in fewer bytes, as it is and compressed.

What nothing computes with goes: names of inner tensors, descriptions, ranges of calibration (`min`, `max`), metadata of
the converter, empty buffers. What is there twice is written once: buffers, vectors, strings. What stays is written so
that it compresses: tensors that look alike become bytes that are alike.

What stays although it looks redundant, because runtimes need it (measured with LiteRT 2.3):
zero points in full length, which LiteRT demands, written once for each length; scales of biases, without which XNNPACK
leaves convolutions to slower kernels (a single one is an error), and by which GPU delegates turn biases into floats.

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs, where names are "for debugging".
"""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Iterable, Sequence
from typing import Any

import flatbuffers  # type: ignore[import-untyped] # ships no types
import numpy as np

from edgeship.encodings import encode
from edgeship.errors import EdgeshipError
from edgeship.types import Array
from edgeship.usage import Usage
from edgeship.usage.tflite import label_files, with_files
from edgeship_converters import flatfile, usage

#: Metadata that TensorFlow's converter adds and no runtime reads; any other may be meant for somebody.
_NOTES = {b"min_runtime_version", b"CONVERSION_METADATA"}
#: Shorter vectors are cheaper as a repetition nearby than as a reference to somewhere else, once compressed.
_SHARED_BYTES = 20
#: Runtimes map the weights of a file into memory and expect them at such addresses (`force_align` in the schema).
_ALIGNMENT = 16
_IDENTIFIER = b"TFL3"
#: Orders of buffers that are tried where the file compresses to this share of its bytes, and is no larger than this,
#: for which it takes about 5 s.
_ORDERS = 8
_FEW_VALUES = 0.5
_MOST_ORDERED_BYTES = 512 << 10
_NOTHING = Usage()

Ends = tuple[Sequence[str], Sequence[str]]


def slim(content: bytes, ends: Ends | None = None, said: Usage = _NOTHING) -> bytes:
    """Rewrite a `.tflite` file; the order of tensors, operators and subgraphs stays.

    Args:
        content: a file as a converter made it.
        ends: inputs and outputs of its signature in the order that it is to have, named like their tensors then.
        said: what it is to say about its use, by TFLite Metadata. A file that has such metadata keeps its own.

    Returns:
        A file with the same computation, inputs, outputs and signatures. `content` itself if that is no larger and has
        no constant too many, or has an archive behind the flatbuffer: there TFLite Metadata keeps files, found by their
        place in the whole.

    Raises:
        EdgeshipError: the rewritten file does not read back as it was meant.
    """
    if zipfile.is_zipfile(io.BytesIO(content)):
        return content
    model = flatfile.read(content)
    changed = ends is not None and flatfile.name_ends(model, *ends)
    added = usage.attach(model, said)
    _forget_notes(model)
    changed = _share_buffers(model) or changed
    _drop_operator_codes(model)
    written = compact(model)
    difference = _difference(model, flatfile.read(written), "model")
    if difference is not None:
        raise EdgeshipError(f"the slimmed TFLite file differs from the model in {difference}")
    if added:
        return with_files(written, label_files(said))
    return written if changed else min(content, written, key=len)


def _forget_notes(model: Any) -> None:
    """Take out what describes and does not compute."""
    model.description = None
    model.metadata = [entry for entry in model.metadata or () if entry.name not in _NOTES] or None
    for graph in model.subgraphs:
        graph.name = None
        ends = {int(index) for index in (*graph.inputs, *graph.outputs)}
        for index, tensor in enumerate(graph.tensors):
            if index not in ends:
                tensor.name = None
            quantization = tensor.quantization
            if quantization is not None:
                quantization.min = quantization.max = None
                if quantization.scale is None and quantization.details is None:
                    tensor.quantization = None


def _share_buffers(model: Any) -> bool:
    """One buffer for equal constants, and number 0, which is empty by convention, for all that is computed.

    Says whether that left constants out: equal ones, or such as nothing refers to.
    """
    before = _full(model)
    kept = [model.buffers[0]]
    numbers: dict[bytes, int] = {b"": 0}
    for holder in _holders(model):
        data = model.buffers[holder.buffer].data
        content = b"" if data is None else bytes(data)
        if content not in numbers:
            numbers[content] = len(kept)
            kept.append(model.buffers[holder.buffer])
        holder.buffer = numbers[content]
    kept[0].data = None
    model.buffers = kept
    model.metadataBuffer = None  # the numbers of buffers with metadata, before `metadata` had names for them
    return _full(model) < before


def _full(model: Any) -> int:
    return sum(buffer.data is not None and len(buffer.data) > 0 for buffer in model.buffers)


def _holders(model: Any) -> Iterable[Any]:
    """All that refers to a buffer by its number."""
    for graph in model.subgraphs:
        yield from graph.tensors
    yield from model.metadata or ()


def _drop_operator_codes(model: Any) -> None:
    """Leave out operator codes that no operator has."""
    used = sorted({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    model.operatorCodes = [model.operatorCodes[index] for index in used]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = used.index(operator.opcodeIndex)


def compact(model: Any) -> bytes:
    """A model as a file that compresses well (see `_Builder`); it may be larger than others before that.

    Weights of few values are put into another order of buffers, also in `model`, where Brotli takes less for it: how
    well it finds the parts of a file that have a code of their own hangs on what lies beside what, by up to 4 %.
    """
    content = _packed(model)
    if len(content) > _MOST_ORDERED_BYTES or (least := len(encode(content, "br"))) > _FEW_VALUES * len(content):
        return content
    buffers, holders = model.buffers, [(holder, holder.buffer) for holder in _holders(model)]

    def arrange(order: Sequence[int]) -> None:
        model.buffers = [buffers[number] for number in order]
        for holder, number in holders:
            holder.buffer = order.index(number)

    best: Sequence[int] = range(len(buffers))
    rng = random.Random(0)  # noqa: S311 - equal files for equal models
    for _ in range(_ORDERS):
        order = [0, *rng.sample(range(1, len(buffers)), len(buffers) - 1)]
        arrange(order)
        other = _packed(model)
        size = len(encode(other, "br"))
        if size < least:
            content, least, best = other, size, order
    arrange(best)
    return content


def _packed(model: Any) -> bytes:
    builder = _Builder(sum(0 if b.data is None else len(b.data) for b in model.buffers) + (1 << 16))
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


class _Builder(flatbuffers.Builder):  # type: ignore[misc] # as above
    """Writes equal vectors and strings once, and beside each table its own description.

    Tables usually share one description (vtable), at a distance that differs from table to table; with its own, a
    table is the same bytes as the one before it, which costs a compressed file less.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x: Array) -> int:  # noqa: N802 - flatbuffers calls it by this name
        """Offset of a vector with these numbers."""
        little = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
        key = (little.dtype.str, little.tobytes())
        if key in self._written:
            return self._written[key]
        if x.dtype == np.uint8:  # content of buffers, and options of custom operators, which it does no harm
            self.StartVector(1, x.size, _ALIGNMENT)
            self.head -= x.size
            self.Bytes[self.head : self.head + x.size] = key[1]
            self.vectorNumElems = x.size
            offset = self.EndVector()
        else:
            offset = super().CreateNumpyVector(little)
        if x.nbytes >= _SHARED_BYTES:
            self._written[key] = offset
        return int(offset)

    def CreateString(self, s: bytes, encoding: str = "utf-8", errors: str = "strict") -> int:  # noqa: N802 - as above
        """Offset of a string."""
        key = ("", s)
        if key not in self._written:
            self._written[key] = super().CreateString(s, encoding, errors)
        return self._written[key]

    def EndObject(self) -> int:  # noqa: N802 - as above
        """Finish a table, with a description of its own."""
        self.vtables.clear()
        return int(super().EndObject())


def _difference(wanted: Any, found: Any, where: str) -> str | None:
    """Where two models differ, None if nowhere. Vectors without elements are as good as none."""
    if isinstance(wanted, np.ndarray) or isinstance(found, np.ndarray):
        both = [np.empty(0) if value is None else np.asarray(value) for value in (wanted, found)]
        return None if both[0].shape == both[1].shape and both[0].tobytes() == both[1].tobytes() else where
    if isinstance(wanted, list) and isinstance(found, list):
        if len(wanted) != len(found):
            return where
        pairs = ((f"{where}[{i}]", *pair) for i, pair in enumerate(zip(wanted, found, strict=True)))
    elif hasattr(wanted, "__dict__") and type(wanted) is type(found):
        pairs = ((f"{where}.{name}", value, getattr(found, name)) for name, value in vars(wanted).items())
    else:
        return None if wanted == found else where
    return next((inner for name, ours, theirs in pairs if (inner := _difference(ours, theirs, name)) is not None), None)
