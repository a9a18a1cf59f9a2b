"""edgeship: takes a trained Keras model to where it runs.

The public API. Everything is imported when it is first used: `import edgeship` loads no ML framework.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeship import slices as slices
    from edgeship.api import build as build
    from edgeship.api import convert as convert
    from edgeship.api import layer_sensitivity as layer_sensitivity
    from edgeship.api import search as search
    from edgeship.compress import Features as Features
    from edgeship.compress import callbacks as callbacks
    from edgeship.compress import cluster as cluster
    from edgeship.compress import distiller as distiller
    from edgeship.compress import equalize as equalize
    from edgeship.compress import factorize as factorize
    from edgeship.compress import finalize as finalize
    from edgeship.compress import narrow as narrow
    from edgeship.compress import prune as prune
    from edgeship.compress import prune_blocks as prune_blocks
    from edgeship.compress import prune_channels as prune_channels
    from edgeship.compress import quantize_aware as quantize_aware
    from edgeship.compress import strip as strip
    from edgeship.compress import taylor as taylor
    from edgeship.compress.graph.macs import macs as macs
    from edgeship.errors import EdgeshipError as EdgeshipError
    from edgeship.errors import GateFailed as GateFailed
    from edgeship.errors import InputError as InputError
    from edgeship.inspection.diff import difference as difference
    from edgeship.inspection.opening import inspect as inspect
    from edgeship.recipe.parse import Recipe as Recipe
    from edgeship.sideloading import sideload as sideload
    from edgeship.types.artifacts import Artifact as Artifact
    from edgeship.types.reports import Report as Report

_HOMES = {
    "Artifact": "edgeship.types.artifacts",
    "EdgeshipError": "edgeship.errors",
    "Features": "edgeship.compress",
    "GateFailed": "edgeship.errors",
    "InputError": "edgeship.errors",
    "Recipe": "edgeship.recipe.parse",
    "Report": "edgeship.types.reports",
    "build": "edgeship.api",
    "callbacks": "edgeship.compress",
    "cluster": "edgeship.compress",
    "convert": "edgeship.api",
    "difference": "edgeship.inspection.diff",
    "distiller": "edgeship.compress",
    "equalize": "edgeship.compress",
    "factorize": "edgeship.compress",
    "finalize": "edgeship.compress",
    "inspect": "edgeship.inspection.opening",
    "layer_sensitivity": "edgeship.api",
    "macs": "edgeship.compress.graph.macs",
    "narrow": "edgeship.compress",
    "prune": "edgeship.compress",
    "prune_blocks": "edgeship.compress",
    "prune_channels": "edgeship.compress",
    "quantize_aware": "edgeship.compress",
    "search": "edgeship.api",
    "sideload": "edgeship.sideloading",
    "slices": "edgeship",
    "strip": "edgeship.compress",
    "taylor": "edgeship.compress",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list of names, tested against the type-checking imports


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeship' has no attribute {name!r}")
    if _HOMES[name] == __name__:  # a module of ours
        return importlib.import_module(f"{__name__}.{name}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
