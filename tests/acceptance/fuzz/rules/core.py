"""Dense layers, activations, normalization, regularization, shapes, merging, embeddings and encodings."""

from __future__ import annotations

from math import prod

from tests.acceptance.fuzz.draw import Draw
from tests.acceptance.fuzz.rules.base import ACTIVATIONS, CHANNELS, COMMON, Rule, Settings, Shape, inner, plain, some

#: The fewest numbers that a normalization takes together. The spread of fewer comes near zero now and then, and its
#: reciprocal is far above what any calibration sample gave: no range holds it.
NORMALIZED = 8
#: No id of an input reaches this: the smallest vocabulary.
VOCABULARY = 12


def _dense(draw: Draw, shape: Shape) -> Settings:
    return {"units": draw.one((*CHANNELS, 24, 33)), "activation": draw.one(COMMON), **some(draw, 0.2, use_bias=False)}


def _einsum(draw: Draw, shape: Shape) -> Settings:
    units, bias = draw.one(CHANNELS[2:]), draw.chance(0.6)
    if len(shape) == 1:
        return {"equation": "ab,bc->ac", "output_shape": units, **({"bias_axes": "c"} if bias else {})}
    kind = draw.number(0, 2)
    if kind == 0:
        return {"equation": "abc,cd->abd", "output_shape": [shape[0], units], **({"bias_axes": "d"} if bias else {})}
    if kind == 1:
        heads = draw.number(1, 3)
        found: Settings = {"equation": "abc,cde->abde", "output_shape": [shape[0], heads, units]}
        return {**found, **({"bias_axes": "de"} if bias else {})}
    return {"equation": "abc,bd->acd", "output_shape": [shape[1], units], **({"bias_axes": "d"} if bias else {})}


def _activation(draw: Draw, shape: Shape) -> Settings | None:
    name = draw.one(ACTIVATIONS)
    return None if name == "glu" and shape[-1] % 2 else {"activation": name}


def _softmax(draw: Draw, shape: Shape) -> Settings:
    return some(draw, 0.4, axis=draw.number(1, len(shape))) if shape[-1] > 1 else {"axis": draw.number(1, len(shape))}


def _relu(draw: Draw, shape: Shape) -> Settings:
    return some(
        draw, 0.4, max_value=draw.real(1, 6), negative_slope=draw.real(0.05, 0.4), threshold=draw.real(0.1, 0.5)
    )


def _prelu(draw: Draw, shape: Shape) -> Settings:
    axes = [axis for axis in range(1, len(shape)) if draw.chance(0.6)]
    return {"shared_axes": axes} if axes else {}


def _batch_norm(draw: Draw, shape: Shape) -> Settings:
    found = some(draw, 0.25, center=False, scale=False, epsilon=draw.real(1e-5, 1e-2))
    return {**found, "axis": draw.number(1, len(shape))} if draw.chance(0.15) else found


def _layer_norm(draw: Draw, shape: Shape) -> Settings | None:
    found = some(draw, 0.25, center=False, scale=False, epsilon=draw.real(1e-5, 1e-2))
    axes = list(range(draw.number(1, len(shape)), len(shape) + 1))
    if prod(shape[axes[0] - 1 :]) < NORMALIZED:
        axes = list(range(1, len(shape) + 1))
    if prod(shape) < NORMALIZED:
        return None
    return {**found, "axis": axes} if draw.chance(0.3) or shape[-1] < NORMALIZED else found


def _rms_norm(draw: Draw, shape: Shape) -> Settings | None:
    return some(draw, 0.3, epsilon=draw.real(1e-5, 1e-2)) if shape[-1] >= NORMALIZED else None


def _group_norm(draw: Draw, shape: Shape) -> Settings | None:
    fitting = [g for g in range(1, shape[-1] + 1) if shape[-1] % g == 0 and prod(shape) // g >= NORMALIZED]
    return {"groups": draw.one(fitting), **some(draw, 0.25, center=False, scale=False)} if fitting else None


def _unit_norm(draw: Draw, shape: Shape) -> Settings | None:
    return {} if shape[-1] >= NORMALIZED else None


def _normalization(draw: Draw, shape: Shape) -> Settings:
    return {"axis": draw.one((-1, None))} if draw.chance(0.8) else {"axis": -1, "invert": True}


def _rate(draw: Draw, shape: Shape) -> Settings:
    return {"rate": draw.real(0.1, 0.6)}


def _noise(draw: Draw, shape: Shape) -> Settings:
    return {"stddev": draw.real(0.1, 0.6)}


def _permute(draw: Draw, shape: Shape) -> Settings:
    return {"dims": draw.shuffled(range(1, len(shape) + 1))}


def _reshape(draw: Draw, shape: Shape) -> Settings:
    size, found = prod(shape), []
    for _ in range(draw.number(0, 3)):
        divisors = [d for d in range(1, size + 1) if size % d == 0 and d <= 32]
        found.append(draw.one(divisors))
        size //= found[-1]
    found.append(size)
    if draw.chance(0.3):
        found[draw.number(0, len(found) - 1)] = -1
    return {"target_shape": found}


def _repeat(draw: Draw, shape: Shape) -> Settings:
    return {"n": draw.number(1, 7)}


def _concatenate(draw: Draw, shape: Shape) -> Settings:
    return some(draw, 0.6, axis=draw.number(1, len(shape)))


def _dot(draw: Draw, shape: Shape) -> Settings:
    axes = draw.number(1, len(shape))
    return {"axes": axes, **some(draw, 0.4, normalize=True)}


def _rescaling(draw: Draw, shape: Shape) -> Settings:
    return {"scale": draw.one((0.00392156862745098, 0.00784313725490196, 0.5, 2.0)), **some(draw, 0.5, offset=-1.0)}


def _embedding(draw: Draw, shape: Shape) -> Settings:
    found = {"input_dim": draw.number(VOCABULARY, 40), "output_dim": draw.one(CHANNELS[2:])}
    return {**found, **some(draw, 0.3, mask_zero=True)}


def _reversible(draw: Draw, shape: Shape) -> Settings:
    return {"input_dim": draw.number(VOCABULARY, 40), "output_dim": draw.one(CHANNELS[2:])}


def _category(draw: Draw, shape: Shape) -> Settings | None:
    mode = draw.one(("one_hot", "multi_hot", "count") if len(shape) < 2 else ("one_hot",))
    if mode == "one_hot" and len(shape) == 1 and shape[0] != 1:
        mode = "multi_hot"
    return {"num_tokens": draw.number(VOCABULARY, 20), "output_mode": mode}


def _discretization(draw: Draw, shape: Shape) -> Settings:
    edges = sorted({draw.real(-1.5, 1.5) for _ in range(draw.number(2, 8))})
    return {"bin_boundaries": edges, "output_mode": "int"}


def _spectral(draw: Draw, shape: Shape) -> Settings:
    wrapped = (
        inner("Conv2D", filters=draw.one(CHANNELS), kernel_size=1, activation="relu")
        if len(shape) == 3
        else inner("Dense", units=draw.one(CHANNELS))
    )
    return {"layer": wrapped}


_ANY = (1, 2, 3, 4)
RULES = {
    "Dense": Rule(_ANY, _dense),
    "EinsumDense": Rule((1, 2), _einsum),
    "Activation": Rule(_ANY, _activation),
    "Softmax": Rule(_ANY, _softmax),
    "ReLU": Rule(_ANY, _relu),
    "LeakyReLU": Rule(_ANY, lambda draw, shape: some(draw, 0.6, negative_slope=draw.real(0.05, 0.5))),
    "PReLU": Rule(_ANY, _prelu),
    "ELU": Rule(_ANY, lambda draw, shape: some(draw, 0.6, alpha=draw.real(0.3, 2))),
    "BatchNormalization": Rule(_ANY, _batch_norm),
    "LayerNormalization": Rule(_ANY, _layer_norm),
    "RMSNormalization": Rule(_ANY, _rms_norm),
    "GroupNormalization": Rule((2, 3, 4), _group_norm),
    "UnitNormalization": Rule(_ANY, _unit_norm),
    "SpectralNormalization": Rule((1, 3), _spectral),
    "Normalization": Rule((1, 2, 3), _normalization),
    "Rescaling": Rule((1, 2, 3), _rescaling, takes="pixels"),
    "Dropout": Rule(_ANY, _rate),
    "AlphaDropout": Rule(_ANY, _rate),
    "GaussianDropout": Rule(_ANY, _rate),
    "GaussianNoise": Rule(_ANY, _noise),
    "SpatialDropout1D": Rule((2,), _rate),
    "SpatialDropout2D": Rule((3,), _rate),
    "SpatialDropout3D": Rule((4,), _rate),
    "ActivityRegularization": Rule(_ANY, lambda draw, shape: {"l2": 0.01}),
    "Identity": Rule(_ANY, plain),
    "Flatten": Rule((2, 3, 4), plain),
    "Reshape": Rule(_ANY, _reshape),
    "Permute": Rule((2, 3, 4), _permute),
    "RepeatVector": Rule((1,), _repeat),
    "Add": Rule(_ANY, plain, alike=(2, 4), as_list=True),
    "Subtract": Rule(_ANY, plain, alike=(2, 2), as_list=True),
    "Multiply": Rule(_ANY, plain, alike=(2, 3), as_list=True),
    "Average": Rule(_ANY, plain, alike=(2, 3), as_list=True),
    "Maximum": Rule(_ANY, plain, alike=(2, 3), as_list=True),
    "Minimum": Rule(_ANY, plain, alike=(2, 3), as_list=True),
    "Concatenate": Rule(_ANY, _concatenate, alike=(2, 4), as_list=True),
    "Dot": Rule((1, 2), _dot, alike=(2, 2), as_list=True),
    "Embedding": Rule((1,), _embedding, takes="ids"),
    "ReversibleEmbedding": Rule((1,), _reversible, takes="ids"),
    "CategoryEncoding": Rule((1,), _category, takes="ids"),
    "Discretization": Rule((1,), _discretization, gives_ids=True),
}
