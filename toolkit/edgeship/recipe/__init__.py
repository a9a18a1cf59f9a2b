"""Recipes: what to do with a model, as frozen, versioned, validated data.

A recipe is a YAML file with `schema: edgeship.recipe/1`. Shipped ones lie in `recipes/`; a path to a file of your own
works wherever a name does. Stages run in the order written; variants are made afterwards from their result.

    schema: edgeship.recipe/1
    name: int8-qat
    purpose: int8 with the accuracy of float, for models that lose points when quantized after training
    stages:
      - quantize-aware: {epochs: 3}
    variants: [int8]
"""

from __future__ import annotations

from edgeship.recipe.parse import SCHEMA, Recipe, check_variants, conversion, load, parse, shipped
from edgeship.recipe.stages import (
    STAGES,
    Cluster,
    Distil,
    Equalize,
    Factorize,
    Prune,
    PruneChannels,
    QuantizeAware,
    StageSpec,
    Training,
)

__all__ = [
    "SCHEMA",
    "STAGES",
    "Cluster",
    "Distil",
    "Equalize",
    "Factorize",
    "Prune",
    "PruneChannels",
    "QuantizeAware",
    "Recipe",
    "StageSpec",
    "Training",
    "check_variants",
    "conversion",
    "load",
    "parse",
    "shipped",
]
