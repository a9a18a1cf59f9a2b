"""Training-time compression of Keras 3 models; each method is one file.

The training-script API: everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeship.compress.blocks import prune_blocks as prune_blocks
    from edgeship.compress.clustering import cluster as cluster
    from edgeship.compress.distill import distiller as distiller
    from edgeship.compress.equalize import equalize as equalize
    from edgeship.compress.features import Features as Features
    from edgeship.compress.finish import finalize as finalize
    from edgeship.compress.helpers import callbacks as callbacks
    from edgeship.compress.importance import taylor as taylor
    from edgeship.compress.lowrank import factorize as factorize
    from edgeship.compress.pruning import prune as prune
    from edgeship.compress.quantize import quantize_aware as quantize_aware
    from edgeship.compress.quantize import strip as strip
    from edgeship.compress.structured import prune_channels as prune_channels
    from edgeship.compress.students import narrow as narrow

_HOMES = {
    "Features": "edgeship.compress.features",
    "callbacks": "edgeship.compress.helpers",
    "cluster": "edgeship.compress.clustering",
    "distiller": "edgeship.compress.distill",
    "equalize": "edgeship.compress.equalize",
    "factorize": "edgeship.compress.lowrank",
    "finalize": "edgeship.compress.finish",
    "narrow": "edgeship.compress.students",
    "prune": "edgeship.compress.pruning",
    "prune_blocks": "edgeship.compress.blocks",
    "prune_channels": "edgeship.compress.structured",
    "quantize_aware": "edgeship.compress.quantize",
    "strip": "edgeship.compress.quantize",
    "taylor": "edgeship.compress.importance",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list of names


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeship.compress' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
