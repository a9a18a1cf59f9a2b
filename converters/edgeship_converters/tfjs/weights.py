"""How weights are stored: reduced precision, the weights manifest, shards.

TF.js restores the stored numbers to float32 when it loads a model: `stored * scale + min` for uint8 and uint16
(`decodeWeight` in @tensorflow/tfjs-core 4.22, `io/io_utils`), the half-precision value for float16.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from edgeship.types import Array

SHARD_BYTES = 4 << 20
"""The size that browsers cache well; also what the official converter writes."""

#: Fewer elements than this cost more as a manifest entry with scale and minimum than they save.
_MIN_ELEMENTS = 16
_LEVELS = {"uint8": 255, "uint16": 65535}
_HALF_MAX = float(np.finfo(np.float16).max)


def encode(array: Array, variant: str, *, precise: bool) -> tuple[Array, dict[str, Any] | None]:
    """A float32 weight as stored, and its `quantization` entry in the manifest (None: stored as it is).

    Args:
        array: float32.
        variant: `float32`, `float16`, `uint8` or `uint16`.
        precise: keep more than 8 bits: for what is small in bytes and large in effect, where channels differ in range.
    """
    if variant == "float32" or array.dtype != np.float32 or array.size < _MIN_ELEMENTS:
        return array, None
    if variant == "float16":
        if np.abs(array).max() > _HALF_MAX:
            return array, None
        return array.astype(np.float16), {"dtype": "float16", "original_dtype": "float32"}
    if not np.isfinite(array).all():  # a mask: steps between infinities are none
        return array, None
    dtype = "uint16" if variant == "uint16" or precise else "uint8"
    stored, scale, minimum = quantize(array, _LEVELS[dtype])
    entry = {"dtype": dtype, "min": minimum, "original_dtype": "float32", "scale": scale}
    return stored.astype(dtype), entry


def quantize(array: Array, levels: int) -> tuple[Array, float, float]:
    """Affine quantization to 0..levels that keeps 0 exact (arXiv 1712.05877, section 2.1): stored, scale, minimum."""
    low, high = min(float(array.min()), 0.0), max(float(array.max()), 0.0)
    scale = (high - low) / levels or 1.0
    zero = round(-low / scale)
    stored = np.clip(np.round(array.astype(np.float64) / scale) + zero, 0, levels)
    return stored, scale, -zero * scale if zero else 0.0


def manifest(weights: Mapping[str, Array], variant: str, precise: Iterable[str]) -> tuple[list[dict[str, Any]], bytes]:
    """The entries of the weights manifest, in order, and the bytes they describe (little endian, C order)."""
    keep = frozenset(precise)
    entries: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, array in weights.items():
        stored, quantization = encode(array, variant, precise=array.ndim < 2 or name in keep)
        entry: dict[str, Any] = {"dtype": array.dtype.name, "name": name, "shape": list(array.shape)}
        if quantization is not None:
            entry["quantization"] = quantization
        entries.append(entry)
        parts.append(np.ascontiguousarray(stored).astype(stored.dtype.newbyteorder("<"), copy=False).tobytes())
    return entries, b"".join(parts)


def write_shards(data: bytes, folder: Path) -> list[str]:
    """Cut the bytes of all weights into files of `SHARD_BYTES`; returns their names."""
    count = max(1, -(-len(data) // SHARD_BYTES))
    names = [f"group1-shard{index + 1}of{count}.bin" for index in range(count)]
    for index, name in enumerate(names):
        (folder / name).write_bytes(data[index * SHARD_BYTES : (index + 1) * SHARD_BYTES])
    return names
