"""From raw samples to what a model takes, and back: the one definition that data, files and predictions share.

prepared = (raw * scale - mean) / std, channel by channel in the model's order. The named ways are those of
`keras.applications.imagenet_utils.preprocess_input`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgeship.errors import DataError, InputError
from edgeship.types import Preprocessing

if TYPE_CHECKING:
    from edgeship.types import Array

#: Most numbers that `mean` and `std` may have: features of a table.
MAX_CHANNELS = 65_536

#: How many numbers of `mean` and `std` are shown.
_SHOWN = 8
#: Range of the raw values of images.
PIXELS = (0.0, 255.0)
#: What a user may call it -> for pixels 0..255 in RGB.
NAMED: Mapping[str, Preprocessing] = {
    "raw": Preprocessing(1.0),
    "unit": Preprocessing(1 / 255),
    "tf": Preprocessing(1 / 127.5, mean=(1.0,)),
    "torch": Preprocessing(1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "caffe": Preprocessing(1.0, channels="BGR", mean=(103.939, 116.779, 123.68)),
}


def check(done: Preprocessing, where: str, error: type[InputError] = DataError) -> None:
    """Raise `error` for numbers that nothing can be prepared with; `where` says whose they are."""
    if done.scale is not None and not 0 < done.scale < math.inf:
        raise error(f"{where}: the scale of its preprocessing is {done.scale}", remedy="Allowed: numbers above 0.")
    if max(len(done.mean), len(done.std)) > MAX_CHANNELS:
        raise error(f"{where}: mean or std has more than {MAX_CHANNELS:,} numbers")
    if len(done.mean) > 1 and len(done.std) > 1 and len(done.mean) != len(done.std):
        raise error(f"{where}: mean has {len(done.mean)} numbers and std {len(done.std)}")
    if not all(map(math.isfinite, done.mean)) or not all(0 < value < math.inf for value in done.std):
        raise error(f"{where}: mean or std is no number to divide by", remedy="Allowed for std: numbers above 0.")
    low, high = done.value_range or (0.0, 1.0)
    if not -math.inf < low < high < math.inf:
        raise error(f"{where}: the range of raw values is {low} to {high}")


def affine(done: Preprocessing) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(factors, offsets), prepared = raw * factor + offset; each holds one number, or one for each channel."""
    scale = 1.0 if done.scale is None else done.scale
    count = max(1, len(done.mean), len(done.std))
    mean, std = _spread(done.mean or (0.0,), count), _spread(done.std or (1.0,), count)
    return tuple(scale / s for s in std), tuple(-m / s for m, s in zip(mean, std, strict=True))


def _spread(values: tuple[float, ...], count: int) -> tuple[float, ...]:
    return values * count if len(values) == 1 else values


def changes(done: Preprocessing) -> bool:
    """Whether it does anything to values (resizing aside)."""
    factors, offsets = affine(done)
    return done.channels == "BGR" or set(factors) != {1.0} or set(offsets) != {0.0}


def prepare(raw: Array, done: Preprocessing) -> Array:
    """What a model takes for raw values (..., channels); resizing is not done here.

    Floats keep their dtype; integers that are scaled become float32.

    Raises:
        DataError: `mean`, `std` or the order of channels do not fit the last axis.
    """
    import numpy as np

    fits(done, raw.shape, "the samples")
    values = raw[..., ::-1] if done.channels == "BGR" else raw
    dtype = raw.dtype if raw.dtype.kind == "f" else np.dtype(np.float32)
    if done.scale not in (None, 1.0):
        values = np.multiply(values, dtype.type(done.scale), dtype=dtype)
    for numbers, operation in ((done.mean, np.subtract), (done.std, np.divide)):
        if numbers:
            values = operation(values, np.asarray(numbers, dtype), dtype=dtype)
    return values


def restore(prepared: Array, done: Preprocessing) -> Array:
    """The raw values that `prepare` makes `prepared` of, up to rounding in float32; whole ones are whole again."""
    import numpy as np

    factors, offsets = (np.asarray(numbers, np.float64) for numbers in affine(done))
    raw = (prepared - offsets) / factors
    whole = np.rint(raw)
    if np.abs(raw - whole).max(initial=0.0) < 1e-3:
        raw = whole
    raw = raw.astype(np.float32)
    return raw[..., ::-1] if done.channels == "BGR" else raw


def in_words(done: Preprocessing) -> tuple[str, ...]:
    """What is recorded, a step each; empty where nothing is."""
    steps = [f"resize: {done.resize}"] if done.resize else []
    steps += [f"channels: {done.channels}"] if done.channels else []
    steps += [f"values {done.value_range[0]:g}..{done.value_range[1]:g}"] if done.value_range else []
    if done.scale is not None:
        steps.append(f"x {done.scale:.6g}" if done.scale != 1.0 else "as they are")
    for word, numbers in (("-", done.mean), ("/", done.std)):
        if numbers:
            shown = ", ".join(f"{number:.6g}" for number in numbers[:_SHOWN])
            steps.append(f"{word} ({shown}{', ...' if len(numbers) > _SHOWN else ''})")
    return tuple(steps)


def fits(done: Preprocessing, shape: tuple[int | None, ...], where: str) -> None:
    """Raise DataError where numbers for each channel do not go with the last axis of a shape."""
    last = shape[-1] if shape else None
    for word, numbers in (("mean", done.mean), ("std", done.std)):
        if len(numbers) > 1 and last != len(numbers):
            raise DataError(
                f"{word} has {len(numbers)} numbers, but the last axis of {where} has {last}",
                remedy="Give one number, or one for each channel.",
            )
    if done.channels == "BGR" and last != 3:
        raise DataError(f"the order BGR is for images of three channels; the last axis of {where} has {last}")
