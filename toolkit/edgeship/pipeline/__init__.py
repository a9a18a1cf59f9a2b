"""The whole flow: source -> compress -> converters -> verify -> benchmarks -> report (`build.py`)."""

from __future__ import annotations

from edgeship.pipeline.build import build, compress_only
from edgeship.pipeline.request import Request

__all__ = ["Request", "build", "compress_only"]
