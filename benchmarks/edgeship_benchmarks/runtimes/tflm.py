"""TensorFlow Lite Micro on this machine, with its reference kernels."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edgeship_benchmarks.runtimes.base import AgentRuntime


class TFLMRuntime(AgentRuntime):
    """Runs the .tflite file of a micro folder in the smallest arena that it fits in, sample by sample."""

    name = "tflm"
    formats = ("micro",)
    packages = (("tflite_micro", "tflite-micro"),)
    remedy = "pip install 'edgeship[micro]' (wheels exist for Linux on x86-64)"

    def command(self) -> Sequence[str]:
        """The agent that has this engine too."""
        return (sys.executable, "-P", "-m", "edgeship_benchmarks.tflm_agent")
