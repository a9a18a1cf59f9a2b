"""Preprocessing and augmentation of images: part of many models, most of it idle outside of training."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance.fuzz.draw import Draw
from tests.acceptance.fuzz.rules.base import Rule, Settings, Shape, inner

_RANGE = [0, 255]


def _resizing(draw: Draw, shape: Shape) -> Settings:
    kind = draw.one(("nearest", "bilinear", "bilinear", "bicubic", "lanczos3", "area"))
    found: Settings = {"height": draw.number(3, 14), "width": draw.number(3, 14), "interpolation": kind}
    if draw.chance(0.2):
        found[draw.one(("crop_to_aspect_ratio", "pad_to_aspect_ratio"))] = True
    elif draw.chance(0.2):
        found["antialias"] = True
    return found


def _crop(draw: Draw, shape: Shape) -> Settings:
    return {"height": draw.number(1, shape[0]), "width": draw.number(1, shape[1])}


def _pipeline(draw: Draw, shape: Shape) -> Settings:
    return {"layers": [inner("RandomFlip", mode="horizontal"), inner("Rescaling", scale=1 / 255)]}


def _with(**fixed: object) -> Callable[[Draw, Shape], Settings]:
    return lambda draw, shape: dict(fixed)


def _factor(low: float, high: float, **fixed: object) -> Callable[[Draw, Shape], Settings]:
    return lambda draw, shape: {"factor": draw.real(low, high), **fixed}


RULES = {
    name: Rule((3,), settings, takes="pixels")
    for name, settings in {
        "Resizing": _resizing,
        "CenterCrop": _crop,
        "RandomCrop": _crop,
        "Pipeline": _pipeline,
        "AugMix": _with(value_range=_RANGE),
        "AutoContrast": _with(value_range=_RANGE),
        "ContrastLimitedAdaptiveHistogramEqualization": _with(value_range=_RANGE, tile_grid_size=[2, 2]),
        "CutMix": _with(),
        "Equalization": _with(value_range=_RANGE),
        "MixUp": _with(),
        "RandAugment": _with(value_range=_RANGE),
        "RandomBrightness": _factor(0.1, 0.5),
        "RandomColorDegeneration": _factor(0.1, 0.5, value_range=_RANGE),
        "RandomColorJitter": _with(value_range=_RANGE, brightness_factor=0.2),
        "RandomContrast": _factor(0.1, 0.5),
        "RandomElasticTransform": _factor(0.1, 0.5, value_range=_RANGE),
        "RandomErasing": _factor(0.1, 0.5, value_range=_RANGE),
        "RandomFlip": lambda draw, shape: {"mode": draw.one(("horizontal", "vertical", "horizontal_and_vertical"))},
        "RandomGaussianBlur": _factor(0.1, 0.5, value_range=_RANGE),
        "RandomGrayscale": _factor(0.1, 0.5),
        "RandomHue": _factor(0.1, 0.5, value_range=_RANGE),
        "RandomInvert": _factor(0.1, 0.5, value_range=_RANGE),
        "RandomPerspective": _factor(0.1, 0.5),
        "RandomPosterization": lambda draw, shape: {"factor": draw.number(3, 8), "value_range": _RANGE},
        "RandomRotation": _factor(0.05, 0.3),
        "RandomSaturation": _factor(0.1, 0.5, value_range=_RANGE),
        "RandomSharpness": _factor(0.1, 0.5, value_range=_RANGE),
        "RandomTranslation": _with(height_factor=0.2, width_factor=0.2),
        "RandomZoom": _with(height_factor=0.2),
        "Solarization": _with(threshold_factor=0.4, value_range=_RANGE),
    }.items()
}
