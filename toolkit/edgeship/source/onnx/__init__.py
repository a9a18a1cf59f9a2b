"""ONNX files as sources: checked and described by `file`, computed in TensorFlow by `graph`.

The original is always the file itself in ONNX Runtime: what TensorFlow makes of it is held against that, like any
export.
"""

from __future__ import annotations

from edgeship.source.onnx.file import inspect_onnx, load_onnx, read_onnx

__all__ = ["inspect_onnx", "load_onnx", "read_onnx"]
