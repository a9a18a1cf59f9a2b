"""TFLite (LiteRT) files."""

from edgeship_converters.tflite.converter import TFLiteConverter

__all__ = ["TFLiteConverter"]
