"""ONNX files."""

from edgeship_converters.onnx.converter import ONNXConverter

__all__ = ["ONNXConverter"]
