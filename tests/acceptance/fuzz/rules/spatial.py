"""Convolutions, pooling, padding, cropping and resampling, in one, two and three dimensions."""

from __future__ import annotations

from typing import Any

from tests.acceptance.fuzz.draw import Draw
from tests.acceptance.fuzz.rules.base import CHANNELS, COMMON, Rule, Settings, Shape, some


def _window(draw: Draw, shape: Shape, most: int = 5) -> list[int]:
    """A window for each spatial axis, never larger than the axis, seldom square."""
    sizes = [min(size, draw.number(1, most)) for size in shape[:-1]]
    return [min(sizes)] * len(sizes) if draw.chance(0.5) else sizes


def _steps(draw: Draw, dimensions: int, *, equal: bool) -> Settings:
    """Strides or dilation, not both: Keras refuses that."""
    kind = draw.one(("none", "strides", "dilation_rate"))
    if kind == "none":
        return {}
    found = [draw.number(1, 3)] * dimensions if equal or draw.chance(0.6) else draw.numbers(dimensions, 1, 3)
    return {kind: found}


def _common(draw: Draw) -> Settings:
    return {"activation": draw.one(COMMON), **some(draw, 0.3, use_bias=False)}


def _fits(shape: Shape, window: list[int], steps: Settings, padding: str) -> bool:
    rate = steps.get("dilation_rate", [1] * len(window))
    spans = [(w - 1) * r + 1 for w, r in zip(window, rate, strict=True)]
    return padding != "valid" or all(span <= size for span, size in zip(spans, shape, strict=False))


def _conv(draw: Draw, shape: Shape) -> Settings | None:
    window = _window(draw, shape)
    steps = _steps(draw, len(window), equal=False)
    padding = draw.one(("valid", "same", "causal") if len(shape) == 2 else ("valid", "same"))
    if not _fits(shape, window, steps, padding):
        return None
    divisors = [g for g in range(2, shape[-1] + 1) if shape[-1] % g == 0]
    groups = draw.one(divisors) if divisors and draw.chance(0.3) else 1
    filters = groups * draw.number(1, 3) if groups > 1 else draw.one(CHANNELS)
    found = {"filters": filters, "kernel_size": window, "padding": padding, **steps, **_common(draw)}
    return {**found, "groups": groups} if groups > 1 else found


def _transpose(draw: Draw, shape: Shape) -> Settings:
    window = _window(draw, tuple(5 for _ in shape))
    found: Settings = {"filters": draw.one(CHANNELS), "kernel_size": window, "padding": draw.one(("valid", "same"))}
    steps = [draw.number(1, 3)] * len(window) if draw.chance(0.6) else draw.numbers(len(window), 1, 3)
    if draw.chance(0.75):
        found["strides"] = steps
        if draw.chance(0.3) and all(s < w or s == 1 for s, w in zip(steps, window, strict=True)):
            found["output_padding"] = [draw.number(0, step - 1) for step in steps]
    else:
        found["dilation_rate"] = [draw.number(1, 2)] * len(window)
    return {**found, **_common(draw)}


def _depthwise(draw: Draw, shape: Shape) -> Settings | None:
    window = _window(draw, shape)
    steps = _steps(draw, len(window), equal=True)
    padding = draw.one(("valid", "same"))
    if not _fits(shape, window, steps, padding):
        return None
    found = {"kernel_size": window, "padding": padding, **steps, **_common(draw)}
    return {**found, **some(draw, 0.4, depth_multiplier=draw.number(2, 3))}


def _separable(draw: Draw, shape: Shape) -> Settings | None:
    found = _depthwise(draw, shape)
    return None if found is None else {"filters": draw.one(CHANNELS), **found}


def _pool(draw: Draw, shape: Shape) -> Settings:
    window = _window(draw, shape, 4)
    found: Settings = {"pool_size": window, "padding": draw.one(("valid", "same"))}
    return {**found, **some(draw, 0.5, strides=draw.numbers(len(window), 1, 3))}


def _adaptive(draw: Draw, shape: Shape) -> Settings:
    sizes = [draw.number(1, size) for size in shape[:-1]]
    return {"output_size": sizes if len(sizes) > 1 else sizes[0]}


def _adaptive_maximum(draw: Draw, shape: Shape) -> Settings:
    """Of at least 2: for 1, Keras 3.15 divides by zero in TensorFlow, which ends the process."""
    sizes = [draw.number(2, max(2, size)) for size in shape[:-1]]
    return {"output_size": sizes if len(sizes) > 1 else sizes[0]}


def _global(draw: Draw, shape: Shape) -> Settings:
    return some(draw, 0.4, keepdims=True)


def _pairs(draw: Draw, dimensions: int, most: int) -> Any:
    """Amounts for both ends of each axis, in one of the three forms that Keras takes."""
    if dimensions == 1:
        return draw.one((draw.number(0, most), draw.numbers(2, 0, most)))
    kind = draw.number(0, 2)
    if kind == 0:
        return draw.number(0, most)
    if kind == 1:
        return draw.numbers(dimensions, 0, most)
    return [draw.numbers(2, 0, most) for _ in range(dimensions)]


def _padding(draw: Draw, shape: Shape) -> Settings:
    return {"padding": _pairs(draw, len(shape) - 1, 3)}


def _cropping(draw: Draw, shape: Shape) -> Settings | None:
    most = (min(shape[:-1]) - 1) // 2
    return {"cropping": _pairs(draw, len(shape) - 1, min(2, most))} if most else None


def _upsampling(draw: Draw, shape: Shape) -> Settings:
    if len(shape) == 2:
        return {"size": draw.number(1, 3)}
    found: Settings = {"size": draw.numbers(len(shape) - 1, 1, 3)}
    if len(shape) == 3 and draw.chance(0.5):
        found["interpolation"] = draw.one(("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"))
    return found


def _rules() -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    for dimensions in (1, 2, 3):
        rank = (dimensions + 1,)
        for name, settings in (
            ("Conv{}D", _conv),
            ("Conv{}DTranspose", _transpose),
            ("MaxPooling{}D", _pool),
            ("AveragePooling{}D", _pool),
            ("GlobalMaxPooling{}D", _global),
            ("GlobalAveragePooling{}D", _global),
            ("AdaptiveAveragePooling{}D", _adaptive),
            ("AdaptiveMaxPooling{}D", _adaptive_maximum),
            ("ZeroPadding{}D", _padding),
            ("Cropping{}D", _cropping),
            ("UpSampling{}D", _upsampling),
        ):
            found[name.format(dimensions)] = Rule(rank, settings)
        if dimensions < 3:
            found[f"DepthwiseConv{dimensions}D"] = Rule(rank, _depthwise)
            found[f"SeparableConv{dimensions}D"] = Rule(rank, _separable)
    return found


RULES = _rules()
