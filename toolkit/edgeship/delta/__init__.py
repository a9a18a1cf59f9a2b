"""Patches between two versions of a model file, a fraction of its size (docs/updates/delta-format.md).

- `encode`, `decode`: make a patch, apply it.
- `snap`: change a new model a little, so that its patch is much smaller.

`decode` imports NumPy and the standard library only; a file that is sent whole takes brotli.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeship.delta.decoder import decode as decode
    from edgeship.delta.encoder import encode as encode
    from edgeship.delta.snapping import snap as snap

_HOMES = {"decode": "decoder", "encode": "encoder", "snap": "snapping"}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list of names


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562): devices never load the encoder."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeship.delta' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edgeship.delta.{_HOMES[name]}"), name)
