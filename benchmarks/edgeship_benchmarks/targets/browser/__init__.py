"""Browsers: the system's Chromium and Firefox, and any browser anywhere that a person opens a page in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeship.errors import InputError, MissingPackageError, TargetUnavailable
from edgeship.types import Artifact, DeviceInfo, Measurement, NotMeasured, Plan, ProgressCallback

if TYPE_CHECKING:
    from edgeship.types import Tensors

_KINDS = ("chromium", "firefox", "any")


class BrowserTarget:
    """Measures in a page of a browser: TF.js, LiteRT.js and ONNX Runtime Web, each in WebAssembly and on the GPU."""

    examples = tuple(f"browser:{kind}" for kind in _KINDS)

    def __init__(self, rest: str = "") -> None:
        if rest not in _KINDS:
            raise InputError(f"no target is called 'browser:{rest}'", remedy=f"Allowed: {', '.join(self.examples)}.")
        self.name = f"browser:{rest}"
        self._kind = rest

    def probe(self) -> DeviceInfo:
        """What the browser says about itself in a page that is opened for that."""
        from edgeship_benchmarks.targets.browser import processes
        from edgeship_benchmarks.targets.browser.pages import Pages

        if self._kind == "any":
            raise TargetUnavailable(
                "a person opens its page, on a phone or another machine, when something is measured",
                remedy="edgeship benchmark FILE --target browser:any prints the address to open",
            )
        found = processes.version(self._kind)
        with Pages(self._kind) as pages:
            facts = pages.fresh()
        return DeviceInfo(self.name, "measured", {**facts, "browser": found})

    def prepare(self, progress: ProgressCallback | None = None) -> Sequence[str]:
        """Install the npm packages of the runtimes. Raises TargetUnavailable where the browser is missing."""
        from edgeship_benchmarks import node
        from edgeship_benchmarks.targets.browser import processes

        if self._kind != "any":
            processes.executable(self._kind)
        return [f"the runtimes for web pages are in {node.install(progress or (lambda _: None))}"]

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Outputs of the artifact in the first runtime for its format, in WebAssembly."""
        from edgeship_benchmarks.targets.browser.course import check

        self._ready()
        return check(self._kind, artifact, inputs)

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Measurement | NotMeasured]:
        """A row for each artifact in each runtime; the artifacts of one runtime are interleaved in one page."""
        from edgeship_benchmarks.targets.browser.course import Course

        self._ready()
        return Course(self.name, self._kind, inputs, plan, progress).rows(artifacts)

    def _ready(self) -> None:
        from edgeship_benchmarks import node
        from edgeship_benchmarks.targets.browser import processes

        if self._kind != "any":
            processes.executable(self._kind)
        missing = node.missing()
        if missing:
            raise MissingPackageError(f"{self.name} needs {', '.join(missing)}", remedy=f"Get it: {node.REMEDY}")
