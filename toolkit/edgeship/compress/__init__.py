"""Training-time compression of Keras 3 models; each method is a package.

The training-script API: everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeship.compress.channels.blocks import prune_blocks as prune_blocks
    from edgeship.compress.channels.importance import taylor as taylor
    from edgeship.compress.channels.pruning import prune_channels as prune_channels
    from edgeship.compress.distill.distiller import distiller as distiller
    from edgeship.compress.distill.features import Features as Features
    from edgeship.compress.distill.students import narrow as narrow
    from edgeship.compress.finish import finalize as finalize
    from edgeship.compress.helpers import callbacks as callbacks
    from edgeship.compress.lowrank.factorize import factorize as factorize
    from edgeship.compress.quantize.aware import quantize_aware as quantize_aware
    from edgeship.compress.quantize.aware import strip as strip
    from edgeship.compress.quantize.equalize import equalize as equalize
    from edgeship.compress.weights.clustering import cluster as cluster
    from edgeship.compress.weights.pruning import prune as prune

_HOMES = {
    "Features": "edgeship.compress.distill.features",
    "callbacks": "edgeship.compress.helpers",
    "cluster": "edgeship.compress.weights.clustering",
    "distiller": "edgeship.compress.distill.distiller",
    "equalize": "edgeship.compress.quantize.equalize",
    "factorize": "edgeship.compress.lowrank.factorize",
    "finalize": "edgeship.compress.finish",
    "narrow": "edgeship.compress.distill.students",
    "prune": "edgeship.compress.weights.pruning",
    "prune_blocks": "edgeship.compress.channels.blocks",
    "prune_channels": "edgeship.compress.channels.pruning",
    "quantize_aware": "edgeship.compress.quantize.aware",
    "strip": "edgeship.compress.quantize.aware",
    "taylor": "edgeship.compress.channels.importance",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list of names


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeship.compress' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
