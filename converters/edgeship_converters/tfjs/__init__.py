"""TF.js graph models."""

from edgeship_converters.tfjs.converter import TFJSConverter

__all__ = ["TFJSConverter"]
