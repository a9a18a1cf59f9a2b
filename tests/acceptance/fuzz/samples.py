"""Samples for the inputs of a model: they differ in contrast, offset and texture, as real ones do."""

from __future__ import annotations

import numpy as np

from edgeship.types import Array
from tests.acceptance.fuzz.description import Entry
from tests.acceptance.fuzz.draw import generator


def draw_samples(entry: Entry, seed: int, split: str, count: int) -> Array:
    """(count, *shape) of the entry's dtype."""
    random = generator(seed, "samples", split, entry.name)
    shape = (count, *entry.shape)
    if entry.values == "ids":
        return random.integers(0, entry.high, shape).astype(entry.dtype)
    single = (count, *(1 for _ in entry.shape))
    texture = random.normal(size=shape)
    if entry.values == "signal":
        texture = _oscillation(random, shape) + 0.05 * texture
    elif len(entry.shape) > 2:
        texture = _smooth(texture)
    values = texture * random.uniform(0.4, 1.2, single) + random.normal(0, 0.4, single)
    if entry.values == "padded":
        steps = np.arange(entry.shape[0]).reshape(1, -1, *(1 for _ in entry.shape[1:]))
        values = np.where(steps < random.integers(max(1, entry.shape[0] // 2), entry.shape[0] + 1, single), values, 0)
    elif entry.values in ("unit", "pixels"):
        values = np.clip(0.5 + 0.25 * values, 0, 1)
        values = np.round(values * 255) if entry.values == "pixels" else values
    return values.astype(entry.dtype)


def _smooth(noise: Array) -> Array:
    """Neighbours along all axes but the first and the last are alike; the spread stays about 1."""
    for axis in range(1, noise.ndim - 1):
        noise = (noise + np.roll(noise, 1, axis)) / np.sqrt(2)
    return noise


def _oscillation(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    time = np.arange(shape[1]).reshape(1, -1, *(1 for _ in shape[2:]))
    single = (shape[0], 1, *shape[2:])
    found = np.zeros(shape)
    for _ in range(3):
        found += np.sin(time * random.uniform(0.1, 2.8, single) + random.uniform(0, 6.3, single))
    return found / np.sqrt(1.5)
