"""LiteRT (TensorFlow Lite) on the CPU, with XNNPACK."""

from __future__ import annotations

from edgeship_benchmarks.runtimes.base import AgentRuntime


class LiteRTRuntime(AgentRuntime):
    """Runs .tflite files, sample by sample as devices do."""

    name = "litert"
    formats = ("tflite",)
    packages = (("ai_edge_litert", "ai-edge-litert"),)
    remedy = "pip install ai-edge-litert"
