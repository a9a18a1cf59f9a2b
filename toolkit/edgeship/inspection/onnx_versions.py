"""The first ONNX Runtime that loads a file of an operator set and an IR version."""

from __future__ import annotations

#: Release, newest operator set of ai.onnx, newest IR version. From 1.15 on as releases were found to load files of one
#: node (1.15 to 1.28, Python on x86-64); before that from the notes of the releases.
_RELEASES = (
    ("1.7.0", 13, 7),
    ("1.8.0", 14, 7),
    ("1.10.0", 15, 8),
    ("1.11.0", 16, 8),
    ("1.12.0", 17, 8),
    ("1.14.0", 18, 8),
    ("1.15.0", 19, 9),
    ("1.17.0", 20, 9),
    ("1.18.0", 21, 10),
    ("1.21.0", 22, 10),
    ("1.23.0", 23, 11),
    ("1.24.0", 25, 13),
    ("1.25.0", 26, 13),
)


def least_runtime(opset: int, ir_version: int) -> str:
    """The first release that loads both; the newest that is known where none is known to."""
    found = (name for name, newest_set, newest_ir in _RELEASES if newest_set >= opset and newest_ir >= ir_version)
    return next(found, _RELEASES[-1][0])
