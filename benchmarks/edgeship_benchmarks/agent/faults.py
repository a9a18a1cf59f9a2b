"""What goes wrong, as the caller is told."""

from __future__ import annotations


class Fault(Exception):
    """An error for the caller: the class name in edgeship's tree, what was given, what to try."""

    def __init__(self, kind: str, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.kind, self.message, self.remedy = kind, message, remedy
