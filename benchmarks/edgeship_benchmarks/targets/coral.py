"""A Coral at this machine: compiled files in LiteRT with the delegate of libedgetpu, without pycoral."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeship.types import Artifact, DeviceInfo, Measurement, NotMeasured, Plan, ProgressCallback
from edgeship_benchmarks.ways import Way

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.session import AgentSession, Turns

_WAY = Way()


class CoralTarget:
    """Measures with an Edge TPU at this machine; the address may name which of several."""

    examples = ("coral",)

    def __init__(self, rest: str = "") -> None:
        from edgeship_benchmarks.coral import Coral

        self._coral = Coral(rest)
        self.name = self._coral.suffix

    def probe(self) -> DeviceInfo:
        """This machine, with the version of libedgetpu; the device was found and opened."""
        from edgeship_benchmarks.session import AgentSession

        with AgentSession(name=f"probe of {self.name}") as session:
            versions = session.delegate(self._coral.delegate)
            return DeviceInfo(self.name, "measured", {**session.describe(), **versions})

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Outputs of the artifact with the Edge TPU."""
        from edgeship_benchmarks.runtimes.base import in_order

        with self._open(artifact) as session:
            return in_order(artifact, session.run(inputs))

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Measurement | NotMeasured]:
        """Measure the artifacts interleaved (see `edgeship_benchmarks.measuring.measure`); they take turns."""
        from edgeship_benchmarks import coral, measuring
        from edgeship_benchmarks.session import Turns

        turns = Turns()

        def opener(artifact: Artifact, way: Way) -> AgentSession:
            return self._open(artifact, way, turns)

        rows = measuring.measure(self.name, artifacts, opener, inputs, plan, progress)
        return coral.rows_with_placement(rows, artifacts)

    def _open(self, artifact: Artifact, way: Way = _WAY, turns: Turns | None = None) -> AgentSession:
        from edgeship_benchmarks import coral
        from edgeship_benchmarks.session import AgentSession

        coral.placement(artifact)
        session = AgentSession(name=f"{artifact.id} on {self.name}", turns=turns)
        try:
            session.load("litert", artifact.entry, way.threads, **self._coral.load_options(way))
        except BaseException:
            session.close()
            raise
        session.runtime = coral.RUNTIME
        return session
