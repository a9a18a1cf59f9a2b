"""TensorFlow Lite Micro on this machine: whether a microcontroller can run a file, in how much memory; no times."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeship.errors import EdgeshipError, InputError, TargetUnavailable
from edgeship.types import Artifact, DeviceInfo, Emulation, NotMeasured, Plan, Progress, ProgressCallback

if TYPE_CHECKING:
    from edgeship.types import Tensors

#: Reference kernels are slow, and these are compared value by value.
SAMPLES = 32
_FORMATS = ("micro", "tflite")


class MicroTarget:
    """Runs .tflite files in TensorFlow Lite Micro's reference kernels, in the smallest arena that they fit in."""

    name = "micro"
    examples = ("micro",)

    def __init__(self, rest: str = "") -> None:
        if rest:
            raise InputError(f"no target is called 'micro:{rest}'", remedy="TensorFlow Lite Micro is called micro.")

    def probe(self) -> DeviceInfo:
        """The version of TensorFlow Lite Micro. Raises TargetUnavailable where it is not installed."""
        from edgeship_benchmarks.runtimes.tflm import TFLMRuntime
        from edgeship_benchmarks.session import AgentSession

        runtime = TFLMRuntime()
        if runtime.missing():
            raise TargetUnavailable(f"micro needs {', '.join(runtime.missing())}", remedy=runtime.remedy)
        with AgentSession(name="probe of this machine") as session:
            machine = {key: value for key, value in session.describe().items() if key in ("system", "cores")}
        return DeviceInfo(self.name, "emulated", {**machine, "machine": platform.machine(), **runtime.versions()})

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Outputs of the artifact in TensorFlow Lite Micro."""
        from edgeship_benchmarks.runtimes.tflm import TFLMRuntime

        _need_tflite(artifact)
        return TFLMRuntime().run(artifact, inputs)

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Emulation | NotMeasured]:
        """The arena of each artifact, and how its outputs compare with LiteRT's; of `plan` nothing applies."""
        from edgeship_benchmarks.measuring import not_measured

        del plan  # there are no times
        told = progress or (lambda _: None)
        device, rows = self.probe(), list[Emulation | NotMeasured]()
        for done, artifact in enumerate(artifacts):
            told(Progress("run in TensorFlow Lite Micro", done, len(artifacts), artifact.id))
            try:
                rows.append(_row(artifact, inputs, device))
            except EdgeshipError as error:
                rows.append(not_measured(artifact, self.name, error, "tflm"))
        told(Progress("run in TensorFlow Lite Micro", len(artifacts), len(artifacts)))
        return rows


def _row(artifact: Artifact, inputs: Tensors, device: DeviceInfo) -> Emulation:
    from edgeship import plugins
    from edgeship_benchmarks.parity import parity
    from edgeship_benchmarks.runtimes.base import in_order
    from edgeship_benchmarks.runtimes.tflm import TFLMRuntime
    from edgeship_benchmarks.sizes import sizes

    _need_tflite(artifact)
    some = {name: array[:SAMPLES] for name, array in inputs.items()}
    with TFLMRuntime().open_session(artifact) as session:
        found, arena = in_order(artifact, session.run(some)), session.loaded.arena_bytes
    expected = plugins.runtime("litert").run(artifact, some)
    size = sizes(artifact)
    return Emulation(
        artifact=artifact.id,
        artifact_sha256=artifact.sha256,
        target=device.name,
        runtime="tflm",
        device=device,
        parity=parity(found, expected, "LiteRT on this machine"),
        instructions=None,
        arena_bytes=arena,
        size_bytes=size.raw_bytes,
        gzip_bytes=size.gzip_bytes,
        brotli_bytes=size.brotli_bytes,
        zstd_bytes=size.zstd_bytes,
        notes=("the arena is that of 64-bit pointers and reference kernels: a microcontroller's differs a little",),
    )


def _need_tflite(artifact: Artifact) -> None:
    if artifact.format not in _FORMATS:
        raise TargetUnavailable(
            f"{artifact.id}: TensorFlow Lite Micro runs tflite files, not {artifact.format}",
            remedy="Convert the model to tflite or micro as well.",
        )
