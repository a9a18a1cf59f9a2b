"""Inputs in a form for a page: small PNG pictures, short curves, rows of a table. Sizes are bounded."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from edgeship.slices.definitions import is_image
from edgeship.types import Array, Exhibit, Preprocessing

#: Pixels of the longer side of a picture, points of a curve, values of a row, inputs altogether.
SIDE, POINTS, VALUES, MOST = 64, 96, 12, 96
#: Inputs of one axis with more values than this are signals.
TABLE = 64
#: Samples by which the range of values is told.
_LOOKED_AT = 256


def exhibits(
    inputs: Array, rows: Iterable[int], columns: Mapping[str, Array], preprocessing: Preprocessing
) -> tuple[Exhibit, ...]:
    """The samples at `rows` (each once, at most `MOST`), as a page can show them.

    Args:
        inputs: (N, ...) of the model's first input.
        rows: which.
        columns: name -> (N,) values, shown beside each sample.
        preprocessing: of the data; tells BGR from RGB.
    """
    chosen = sorted(list(dict.fromkeys(rows))[:MOST])
    looked = np.asarray(inputs[: min(len(inputs), _LOOKED_AT)], np.float64)
    span = _span(looked)
    return tuple(
        _exhibit(i, np.asarray(inputs[i], np.float64), span, {k: str(v[i]) for k, v in columns.items()}, preprocessing)
        for i in chosen
    )


def _span(values: Array) -> tuple[float, float]:
    """Which values are black and white: 0..1 and 0..255 where values lie in them, else their own ends."""
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        return 0.0, 1.0 if high <= 1 else 255.0 if high <= 255 else high
    return low, high if high > low else low + 1.0


def _exhibit(
    index: int, values: Array, span: tuple[float, float], facts: Mapping[str, str], preprocessing: Preprocessing
) -> Exhibit:
    if is_image(values.shape):
        pixels = np.clip((values - span[0]) / (span[1] - span[0]) * 255, 0, 255).round().astype(np.uint8)[..., :3]
        if preprocessing.channels == "BGR":
            pixels = pixels[..., ::-1]
        return Exhibit(index, "image", data_uri(_shrunk(pixels)), facts=facts)
    if values.ndim == 1 and values.size <= TABLE:
        return Exhibit(index, "row", values=_plain(values[:VALUES]), facts=facts)
    curve = values.reshape(len(values), -1).mean(axis=1) if values.ndim > 1 else values
    parts = np.array_split(curve, min(POINTS, len(curve)))
    return Exhibit(index, "signal", values=_plain([part.mean() for part in parts]), facts=facts)


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
