"""C sources for TensorFlow Lite Micro."""

from edgeship_converters.micro.converter import MicroConverter

__all__ = ["MicroConverter"]
