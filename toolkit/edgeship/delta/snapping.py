"""A new file whose float32 numbers lie whole steps from the old ones, so that a patch needs the steps only."""

from __future__ import annotations

import numpy as np

from edgeship.delta.decoder import F32, TYPES
from edgeship.delta.encoder import pairings

#: A step as a share of the root mean square of a tensor's change: the error that snapping makes is 0.29 of it.
SHARE = 1 / 16


def snap(old: bytes, new: bytes, share: float = SHARE) -> bytes:
    """Move every float32 tensor of `new` to the nearest point of a grid around `old`.

    The result is another model, to be verified and published in place of `new`. A step is a power of two, at most
    `share` of the root mean square of what changed in its tensor. What has no tensor of its size in `old` stays.

    Args:
        old: the file that devices have (TFLite, ONNX, or the weights of a TF.js model).
        new: the file that they are to get.
        share: larger ones make smaller patches, and move the model further from `new`.
    """
    made = bytearray(new)
    for source, target in next(iter(pairings(old, new)), []):
        if source is None or target.type != F32:
            continue
        x = np.frombuffer(old, "<f4", source.count, source.start).astype(np.float64)
        y = np.frombuffer(new, "<f4", target.count, target.start).astype(np.float64)
        with np.errstate(all="ignore"):
            spread = float(np.sqrt(np.mean((y - x) ** 2)))
            if not np.isfinite(spread) or spread == 0:
                continue
            width = 2.0 ** np.floor(np.log2(spread * share))
            snapped = (x + np.rint((y - x) / width) * width).astype("<f4")
        if np.isfinite(snapped).all():
            size = target.count * np.dtype(TYPES[F32]).itemsize
            made[target.start : target.start + size] = snapped.tobytes()
    return bytes(made)
