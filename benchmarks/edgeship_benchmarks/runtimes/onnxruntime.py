"""ONNX Runtime on the CPU."""

from __future__ import annotations

from edgeship_benchmarks.runtimes.base import AgentRuntime


class ONNXRuntime(AgentRuntime):
    """Runs .onnx files, in batches where the file has a dynamic batch axis."""

    name = "onnxruntime"
    formats = ("onnx",)
    packages = (("onnxruntime", "onnxruntime"),)
    remedy = "pip install 'edgeship[onnx]'"
