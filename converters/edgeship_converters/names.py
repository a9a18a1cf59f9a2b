"""Names of tensors and nodes that are each their own."""

from __future__ import annotations

from edgeship.names import unique

__all__ = ["unique"]
