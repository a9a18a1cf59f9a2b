"""A small network, and running a model that was read."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeship import source
from edgeship.types import Source

RNG = np.random.default_rng(5)


def small(framework: Any, **head: Any) -> Any:
    layers = framework.layers
    image = framework.Input((6, 6, 1), name="image")
    x = layers.Conv2D(3, 3, activation="relu", name="conv")(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return framework.Model(image, layers.Dense(4, name="scores", **head)(x), name="small")


def run(found: Source, *inputs: Any) -> list[Any]:
    return [np.asarray(value) for value in source.forward(source.load(found), found)(*inputs)]
