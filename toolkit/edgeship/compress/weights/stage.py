"""The stages `prune` and `cluster`."""

from __future__ import annotations

import keras

from edgeship.compress.context import Context
from edgeship.compress.finish import finalize
from edgeship.compress.tfmot import backend as tfmot
from edgeship.compress.weights.clustering import cluster
from edgeship.compress.weights.pruning import prune
from edgeship.recipe import Cluster, Prune


def run_prune(model: keras.Model, spec: Prune, context: Context) -> keras.Model:
    """Train while the smallest weights go."""
    if spec.backend == "tfmot":
        return tfmot.prune(model, spec, context)
    pruned = prune(
        model,
        spec.sparsity,
        schedule=spec.schedule,
        ramp=spec.ramp,
        pattern=spec.pattern,
        scope=spec.scope,
        per_layer=spec.layers,
    )
    context.fit(pruned, spec)
    return finalize(pruned)


def run_cluster(model: keras.Model, spec: Cluster, context: Context) -> keras.Model:
    """Train while kernels share few values."""
    if spec.backend == "tfmot":
        return tfmot.cluster(model, spec, context)
    clustered = cluster(model, spec.clusters, per_channel=context.int8)
    context.fit(clustered, spec)
    return finalize(clustered)
