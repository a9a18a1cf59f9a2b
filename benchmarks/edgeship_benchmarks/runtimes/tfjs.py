"""TF.js graph models in Node, with the real @tensorflow/tfjs: WebAssembly, and plain JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgeship_benchmarks import node
from edgeship_benchmarks.runtimes.base import AgentRuntime

if TYPE_CHECKING:
    from edgeship_benchmarks.node_session import NodeSession


class TFJSWasmRuntime(AgentRuntime):
    """The WebAssembly backend (SIMD, one thread: TF.js has no more in Node)."""

    name = "tfjs-wasm"
    formats = ("tfjs",)
    remedy = node.REMEDY

    def missing(self) -> Sequence[str]:
        """Node itself, or the npm packages."""
        return node.missing()

    def versions(self) -> Mapping[str, str]:
        """Node, and the hash of the lock that its packages are installed from."""
        return {"node": node.version(), "npm packages": node.packages_folder().name}

    def command(self) -> Sequence[str]:
        """The agent for Node, with the folder that its packages are in."""
        return (node.executable() or "node", str(node.AGENT), str(node.packages_folder()))

    def _start(self, name: str) -> NodeSession:
        from edgeship_benchmarks.node_session import NodeSession

        return NodeSession(self.command(), name=name, limits=self.limits)


class TFJSCpuRuntime(TFJSWasmRuntime):
    """The JavaScript backend: what a browser without WebAssembly or GPU would do, some 50 times slower."""

    name = "tfjs-cpu"
    sample_limit = 200
