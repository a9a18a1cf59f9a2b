"""Inputs in a form for a page: small PNG pictures, short curves, rows of a table. Sizes are bounded."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from edgeship.slices.definitions import is_image
from edgeship.types import Array, Exhibit, Preprocessing

#: Pixels of the longer side of a picture, points of a curve, values of a row, inputs altogether.
SIDE, POINTS, VALUES, MOST = 64, 96, 12, 96
#: Inputs of one axis with more values than this are signals.
TABLE = 64
#: Samples by which it is told what values are usual.
_LOOKED_AT = 256
#: Kinds of inputs, the one first by which people tell a sample most easily.
_TOLD = ("image", "signal", "row")


def exhibits(
    inputs: Mapping[str, Array], rows: Iterable[int], columns: Mapping[str, Array], preprocessing: Preprocessing
) -> tuple[Exhibit, ...]:
    """The samples at `rows` (each once, at most `MOST`), as a page can show them; none without an input of numbers.

    Of several inputs, the one is shown by which a sample is told most easily: the first image, else the first signal.
    Where all are rows of a table, they are shown together.

    Args:
        inputs: name -> (N, ...) of the model's inputs.
        rows: which.
        columns: name -> (N,) values, shown beside each sample.
        preprocessing: of the data; tells BGR from RGB.
    """
    numbers = {name: values for name, values in inputs.items() if values.dtype.kind in "biuf"}
    if not numbers:
        return ()
    kinds = {name: _kind(values.shape[1:]) for name, values in numbers.items()}
    kind = min(kinds.values(), key=_TOLD.index)
    name = next(name for name in kinds if kinds[name] == kind)
    show: Callable[[int], Exhibit] = partial(_signal, numbers[name])
    if kind == "image":
        show = partial(_image, numbers[name], _span(_looked_at(numbers[name])), preprocessing)
    elif kind == "row":
        show = partial(_row, numbers, _usual(numbers))
    told = name if kind != "row" and len(inputs) > 1 else ""
    chosen = sorted(list(dict.fromkeys(rows))[:MOST])
    return tuple(replace(show(i), input=told, facts={k: str(v[i]) for k, v in columns.items()}) for i in chosen)


def _kind(shape: Sequence[int]) -> str:
    if is_image(shape):
        return "image"
    return "row" if len(shape) == 0 or (len(shape) == 1 and shape[0] <= TABLE) else "signal"


def _looked_at(values: Array) -> Array:
    return np.asarray(values[:_LOOKED_AT], np.float64)


def _span(values: Array) -> tuple[float, float]:
    """Which values are black and white: 0..1 and 0..255 where values lie in them, else their own ends."""
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        return 0.0, 1.0 if high <= 1 else 255.0 if high <= 255 else high
    return low, high if high > low else low + 1.0


def _image(inputs: Array, span: tuple[float, float], preprocessing: Preprocessing, index: int) -> Exhibit:
    values = np.asarray(inputs[index], np.float64)
    pixels = np.clip((values - span[0]) / (span[1] - span[0]) * 255, 0, 255).round().astype(np.uint8)[..., :3]
    if preprocessing.channels == "BGR":
        pixels = pixels[..., ::-1]
    return Exhibit(index, "image", data_uri(_shrunk(pixels)))


def _signal(inputs: Array, index: int) -> Exhibit:
    values = np.asarray(inputs[index], np.float64)
    curve = values.reshape(len(values), -1).mean(axis=1)
    parts = np.array_split(curve, min(POINTS, len(curve)))
    return Exhibit(index, "signal", values=_plain([part.mean() for part in parts]))


def _usual(inputs: Mapping[str, Array]) -> tuple[Array, Array]:
    """Mean and standard deviation (1 where it is 0) of each value of a sample, all inputs side by side."""
    looked = np.column_stack([_looked_at(values) for values in inputs.values()])
    looked = np.where(np.isfinite(looked), looked, 0.0)
    deviation = looked.std(axis=0)
    return looked.mean(axis=0), np.where(deviation > 0, deviation, 1.0)


def _row(inputs: Mapping[str, Array], usual: tuple[Array, Array], index: int) -> Exhibit:
    """The values of one sample, or those that tell it from others: the furthest from the mean of the data."""
    values = np.concatenate([np.ravel(np.asarray(array[index], np.float64)) for array in inputs.values()])
    mean, deviation = usual
    known = np.flatnonzero(np.isfinite(values))
    far = np.abs(values - mean)[known] / deviation[known]
    shown = np.sort(known[np.argsort(-far, kind="stable")[:VALUES]])
    names = _names(inputs)
    told = tuple(names[k] for k in shown)
    return Exhibit(index, "row", values=_plain(values[shown]), names=told, total=len(values))


def _names(inputs: Mapping[str, Array]) -> list[str]:
    """Of each value: that of its input, and its place where the input has several."""
    names: list[str] = []
    for name, array in inputs.items():
        word, size = name if len(inputs) > 1 else "", array[0].size
        names += [word or "value"] if size == 1 else [f"{word}[{k}]" for k in range(size)]
    return names


def _plain(values: Sequence[float] | Array) -> tuple[float, ...]:
    """Numbers with six digits; what is none becomes 0, which a curve can show."""
    return tuple(float(f"{v:.6g}") if np.isfinite(v) else 0.0 for v in values)


def _shrunk(pixels: Array) -> Array:
    """Every k-th pixel of the means of k x k, so that no side is longer than `SIDE`."""
    k = -(-max(pixels.shape[:2]) // SIDE)
    if k <= 1:
        return pixels
    height, width = (max(1, side // k) for side in pixels.shape[:2])
    cut = pixels[: height * k, : width * k].astype(np.float64)
    small: Array = cut.reshape(height, k, width, k, -1).mean(axis=(1, 3)).round().astype(np.uint8)
    return small


def data_uri(pixels: Array) -> str:
    """A PNG (ISO/IEC 15948) of (H, W, 1 or 3) uint8 as a data URI."""
    height, width, channels = pixels.shape
    lines = b"".join(b"\0" + row.tobytes() for row in pixels)  # filter 0: as it is
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return "data:image/png;base64," + base64.b64encode(content).decode()
