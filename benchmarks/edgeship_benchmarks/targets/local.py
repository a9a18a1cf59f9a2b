"""This machine: agents run as its own processes, one per artifact, measured interleaved."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from edgeship import plugins
from edgeship.errors import InputError, TargetUnavailable
from edgeship.types import CHANGING_FACTS, Artifact, DeviceInfo, Measurement, Plan, ProgressCallback
from edgeship_benchmarks.runtimes.base import AgentRuntime

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.plan import Timing
    from edgeship_benchmarks.session import AgentSession


class LocalTarget:
    """Measures on the machine that edgeship runs on. Knows no format: `plugins.runtimes_for` does."""

    name = "local"

    def probe(self) -> DeviceInfo:
        """System, processor, memory, load and frequency settings of this machine."""
        from edgeship_benchmarks.session import AgentSession

        with AgentSession(name="probe of this machine") as session:
            return DeviceInfo(self.name, "measured", session.describe())

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Outputs of the artifact in its runtime here."""
        return _runtime(artifact).run(artifact, inputs)

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Measurement]:
        """Measure the artifacts interleaved (see `edgeship_benchmarks.plan.execute`).

        Raises what opening or running a file raises; the message names the artifact.
        """
        from edgeship_benchmarks.plan import execute

        if not artifacts:
            return []
        runtimes = [_runtime(artifact) for artifact in artifacts]
        with contextlib.ExitStack() as stack:
            sessions = [
                stack.enter_context(runtime.open_session(artifact, plan.threads))
                for runtime, artifact in zip(runtimes, artifacts, strict=True)
            ]
            before = [session.describe() for session in sessions]
            timings = execute(sessions, inputs, plan, progress)
            after = [session.describe() for session in sessions]
            return [
                self._measurement(artifact, runtime.name, session, timing, plan.threads, _both(*facts))
                for artifact, runtime, session, timing, *facts in zip(
                    artifacts, runtimes, sessions, timings, before, after, strict=True
                )
            ]

    def _measurement(
        self,
        artifact: Artifact,
        runtime: str,
        session: AgentSession,
        timing: Timing,
        threads: int,
        facts: Mapping[str, str],
    ) -> Measurement:
        from edgeship_benchmarks import stats
        from edgeship_benchmarks.sizes import sizes

        loaded, size = session.loaded, sizes(artifact)
        found = stats.notes(timing.latency_ms, timing.round_lengths, facts, warm=timing.warm_up.stable)
        batch = loaded.batch or 1
        if batch > 1:
            found = (*found, f"the file fixes a batch of {batch}: a sample's time is that of an inference / {batch}")
        return Measurement(
            artifact=artifact.id,
            artifact_sha256=artifact.sha256,
            target=self.name,
            runtime=runtime,
            provenance="measured",
            latency_ms=timing.latency_ms,
            round_lengths=timing.round_lengths,
            warmup_runs=timing.warmup_runs,
            import_ms=loaded.import_ms,
            load_ms=loaded.load_ms,
            first_inference_ms=timing.warm_up.first_inference_ms,
            peak_memory_mib=timing.peak_memory_mib,
            size_bytes=size.raw_bytes,
            gzip_bytes=size.gzip_bytes,
            brotli_bytes=size.brotli_bytes,
            zstd_bytes=size.zstd_bytes,
            threads=threads,
            device=DeviceInfo(self.name, "measured", {**facts, **loaded.versions}),
            notes=(*loaded.warnings, *found),
        )


def _runtime(artifact: Artifact) -> AgentRuntime:
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


def _both(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Facts before measuring; those that change also as they were afterwards, as `<fact>_after`."""
    return {**before, **{f"{key}_after": after[key] for key in CHANGING_FACTS if key in after}}
