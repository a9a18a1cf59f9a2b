"""The whole flow: source -> compress -> converters -> verify -> benchmarks -> report (`build.py`)."""

from __future__ import annotations

from edgeship.pipeline.build import Request, build, compress_only

__all__ = ["Request", "build", "compress_only"]
