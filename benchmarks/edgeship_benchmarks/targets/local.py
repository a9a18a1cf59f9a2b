"""This machine: agents run as its own processes, one per artifact, measured interleaved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeship import plugins
from edgeship.errors import InputError, TargetUnavailable
from edgeship.types import Artifact, DeviceInfo, Measurement, NotMeasured, Plan, ProgressCallback
from edgeship_benchmarks.runtimes.base import AgentRuntime

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.session import AgentSession
    from edgeship_benchmarks.ways import Way


class LocalTarget:
    """Measures on the machine that edgeship runs on. Knows no format: `plugins.runtimes_for` does."""

    name = "local"
    examples = ("local",)

    def __init__(self, rest: str = "") -> None:
        if rest:
            raise InputError(f"no target is called 'local:{rest}'", remedy="This machine is called local.")

    def probe(self) -> DeviceInfo:
        """System, processor, memory, load and frequency settings of this machine."""
        from edgeship_benchmarks.session import AgentSession

        with AgentSession(name="probe of this machine") as session:
            return DeviceInfo(self.name, "measured", session.describe())

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Outputs of the artifact in its runtime here."""
        return timed_runtime(artifact).run(artifact, inputs)

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Measurement | NotMeasured]:
        """Measure the artifacts interleaved (see `edgeship_benchmarks.measuring.measure`)."""
        from edgeship_benchmarks import measuring

        def opener(artifact: Artifact, way: Way) -> AgentSession:
            return timed_runtime(artifact).open_session(artifact, way.threads, **way.load_options)

        return measuring.measure(self.name, artifacts, opener, inputs, plan, progress)


def timed_runtime(artifact: Artifact) -> AgentRuntime:
    """The fastest runtime for the artifact that has an agent, which timing needs."""
    runtimes = plugins.runtimes_for(artifact.format)
    if not runtimes:
        raise InputError(f"{artifact.id}: no runtime opens {artifact.format}", remedy="See: edgeship plugins")
    for runtime in runtimes:
        if isinstance(runtime, AgentRuntime):
            return runtime
    raise TargetUnavailable(
        f"{artifact.id}: {runtimes[0].name} cannot be timed here",
        remedy="A runtime that is measured derives from edgeship_benchmarks.runtimes.base.AgentRuntime.",
    )
