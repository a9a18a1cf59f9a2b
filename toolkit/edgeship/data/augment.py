"""Random variations of training samples: built-in ones for images, or a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeship.errors import DataError
from edgeship.references import is_reference, resolve

if TYPE_CHECKING:
    from edgeship.types import Array

#: (inputs of a batch by name, labels (N, ...), generator) -> the same, varied. Returns new arrays.
Augment = Callable[[Mapping[str, "Array"], "Array", np.random.Generator], tuple[Mapping[str, "Array"], "Array"]]

#: `crop` moves an image by at most this share of its side.
_CROP_SHARE = 1 / 8


def flip(inputs: Mapping[str, Array], labels: Array, random: np.random.Generator) -> tuple[Mapping[str, Array], Array]:
    """Mirror half of the images (N, height, width, channels) left to right; other inputs stay."""
    mirrored = random.random(len(labels)) < 0.5
    found = dict(inputs)
    for name, images in _images(inputs).items():
        found[name] = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    return found, labels


def crop(inputs: Mapping[str, Array], labels: Array, random: np.random.Generator) -> tuple[Mapping[str, Array], Array]:
    """Move images by up to 1/8 of their sides, the border mirrored (He et al., arXiv 1512.03385, section 4.2)."""
    found = dict(inputs)
    for name, images in _images(inputs).items():
        height, width = images.shape[1:3]
        tall, wide = max(1, round(height * _CROP_SHARE)), max(1, round(width * _CROP_SHARE))
        padded = np.pad(images, ((0, 0), (tall, tall), (wide, wide), (0, 0)), mode="symmetric")
        tops, lefts = random.integers(0, 2 * tall + 1, len(images)), random.integers(0, 2 * wide + 1, len(images))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
        found[name] = np.moveaxis(windows[np.arange(len(images)), tops, lefts], 1, -1)
    return found, labels


BUILT_IN: Mapping[str, Augment] = {"flip": flip, "crop": crop}


def augmentation(names: Sequence[str]) -> Augment | None:
    """All of them, one after the other; None without any. Raises DataError for an unknown name."""
    chosen = [_named(name) for name in names]

    def every(
        inputs: Mapping[str, Array], labels: Array, random: np.random.Generator
    ) -> tuple[Mapping[str, Array], Array]:
        for one in chosen:
            inputs, labels = one(inputs, labels, random)
        return inputs, labels

    return every if chosen else None


def check_names(names: Sequence[str]) -> None:
    """Raise DataError for what is neither built in nor `module:function`."""
    for name in names:
        if name not in BUILT_IN and not is_reference(name):
            raise DataError(
                f"there is no augmentation {name!r}", remedy=f"Allowed: {', '.join(BUILT_IN)}, module:function."
            )


def _named(name: str) -> Augment:
    check_names([name])
    if name in BUILT_IN:
        return BUILT_IN[name]
    function: Augment = resolve(name, DataError)
    return function


def _images(inputs: Mapping[str, Array]) -> dict[str, Array]:
    found = {name: array for name, array in inputs.items() if array.ndim == 4}
    if not found:
        shapes = ", ".join(f"{name} {array.shape[1:]}" for name, array in inputs.items())
        raise DataError(
            f"no input is an image (height, width, channels): {shapes}",
            remedy="Augmentations flip and crop are for images; write a module:function for other data.",
        )
    return found
