"""TensorFlow itself on the CPU, for the SavedModels that servers run."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from edgeship_benchmarks.runtimes.base import AgentRuntime


class TensorFlowRuntime(AgentRuntime):
    """Runs SavedModels by their signature, in batches where they have a dynamic batch axis."""

    name = "tensorflow"
    formats = ("savedmodel",)
    packages = (("tensorflow", "tensorflow"),)
    remedy = "pip install 'edgeship[tensorflow]'"

    def command(self) -> Sequence[str]:
        """The agent that has this engine too."""
        return (sys.executable, "-P", "-m", "edgeship_benchmarks.tensorflow_agent")
