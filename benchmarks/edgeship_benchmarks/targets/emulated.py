"""Emulated boards: what a file computes on an ARM processor, and in how many instructions; never how long it takes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship.errors import ChildError, EdgeshipError, InputError, TargetUnavailable, UnavailableError
from edgeship.types import Artifact, DeviceInfo, Emulation, NotMeasured, Plan, Progress, ProgressCallback

if TYPE_CHECKING:
    from edgeship.types import Instructions, Tensors
    from edgeship_benchmarks.session import AgentSession

#: Samples that are compared: emulation is some hundred times slower than this machine.
SAMPLES = 8
#: How often one inference is counted in each of two processes.
REPEATS = 3
_SECONDS = 1800
_RUNTIME = "litert"


class EmulatedTarget:
    """A Raspberry Pi's processor in QEMU: outputs bit by bit, and instructions by class."""

    examples = ("emulated:cortex-a72", "emulated:cortex-a76", "emulated:cortex-a53")

    def __init__(self, rest: str = "") -> None:
        from edgeship_benchmarks.emulation import boards

        if not rest:
            raise InputError("which processor is to be emulated?", remedy=f"Allowed: {', '.join(self.examples)}.")
        self._board = boards.board(rest)
        self.name = f"emulated:{rest}"

    def probe(self) -> DeviceInfo:
        """Which board is emulated and by what, and whether instructions are counted."""
        from edgeship_benchmarks.emulation import counting, root

        _need_packages()
        if not root.is_made():
            raise TargetUnavailable(
                "the arm64 system is not made yet; a measurement makes it",
                remedy=f"edgeship targets prepare {self.name}",
            )
        try:
            counting.plugin()
            counts = "counted"
        except TargetUnavailable as error:
            counts = f"not counted: {error.message}; {error.remedy}"
        return DeviceInfo(self.name, "emulated", {**self._facts(), "instructions": counts})

    def prepare(self, progress: ProgressCallback | None = None) -> Sequence[str]:
        """Make the arm64 system and get LiteRT for it (200 MB, from Debian's packages and a wheel)."""
        from edgeship_benchmarks.emulation import counting, root

        told = progress or (lambda _: None)
        done = [f"the system is in {root.make(told)}", f"LiteRT for it is in {root.site_packages(told)}"]
        try:
            return [*done, f"instructions are counted by {counting.plugin()}"]
        except TargetUnavailable as error:
            return [*done, f"instructions are not counted: {error.message}; {error.remedy}"]

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Outputs of the artifact on the emulated processor."""
        from edgeship_benchmarks.runtimes.base import in_order

        _need_tflite(artifact)
        _need_packages()
        with self._session(artifact) as session:
            return in_order(artifact, session.run(inputs))

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Emulation | NotMeasured]:
        """Compare each artifact with LiteRT on this machine, and count its instructions; of `plan` nothing applies."""
        from edgeship_benchmarks.emulation import root
        from edgeship_benchmarks.measuring import not_measured

        del plan  # there are no times
        _need_packages()
        told = progress or (lambda _: None)
        root.make(told)
        root.site_packages(told)
        rows: list[Emulation | NotMeasured] = []
        for done, artifact in enumerate(artifacts):
            told(Progress(f"emulate {self._board.cpu}", done, len(artifacts), artifact.id))
            try:
                rows.append(self._row(artifact, inputs))
            except EdgeshipError as error:
                rows.append(not_measured(artifact, self.name, error, _RUNTIME))
        told(Progress(f"emulate {self._board.cpu}", len(artifacts), len(artifacts)))
        return rows

    def _row(self, artifact: Artifact, inputs: Tensors) -> Emulation:
        from edgeship import plugins
        from edgeship_benchmarks.parity import parity
        from edgeship_benchmarks.runtimes.base import in_order
        from edgeship_benchmarks.sizes import sizes

        _need_tflite(artifact)
        some = {name: array[:SAMPLES] for name, array in inputs.items()}
        expected = plugins.runtime(_RUNTIME).run(artifact, some)
        with self._session(artifact) as session:
            found, versions = in_order(artifact, session.run(some)), session.loaded.versions
        counted, notes = self._counted(artifact, some)
        size = sizes(artifact)
        return Emulation(
            artifact=artifact.id,
            artifact_sha256=artifact.sha256,
            target=self.name,
            runtime=_RUNTIME,
            device=DeviceInfo(self.name, "emulated", {**self._facts(), **versions}),
            parity=parity(found, expected, "LiteRT on this machine"),
            instructions=counted,
            arena_bytes=None,
            size_bytes=size.raw_bytes,
            gzip_bytes=size.gzip_bytes,
            brotli_bytes=size.brotli_bytes,
            zstd_bytes=size.zstd_bytes,
            notes=notes,
        )

    def _counted(self, artifact: Artifact, inputs: Tensors) -> tuple[Instructions | None, tuple[str, ...]]:
        """Instructions of one inference of the first sample, counted in two processes; and what to know about them."""
        import numpy as np

        from edgeship_benchmarks.emulation import counting

        counts: list[tuple[int, ...]] = []
        with tempfile.TemporaryDirectory(prefix="edgeship-") as folder:
            out = Path(folder) / "counts"
            try:
                for _ in range(2):
                    with self._session(artifact, counting.options(out)) as session:
                        size = (REPEATS + 1) * (session.loaded.batch or 1)
                        session.run({name: np.repeat(array[:1], size, axis=0) for name, array in inputs.items()})
                    counts += counting.read(out)[1:]  # the first one also prepares
                counted = counting.instructions(counts)
            except (UnavailableError, ChildError) as error:  # the outputs are compared all the same
                why = "; ".join(filter(None, (error.message, error.remedy)))
                return None, (f"instructions are not counted: {why}",)
        batch = session.loaded.batch or 1
        notes = (f"the file fixes a batch of {batch}: instructions are of that many samples",) if batch > 1 else ()
        return counted, notes

    def _session(self, artifact: Artifact, options: Sequence[str] = ()) -> AgentSession:
        """A session with the artifact loaded, with options for the emulator that counts; the caller closes it."""
        from edgeship.child import Limits
        from edgeship_benchmarks.emulation import boards, counting, qemu, root
        from edgeship_benchmarks.packing import packed_agent
        from edgeship_benchmarks.session import AgentSession

        quiet = lambda _: None  # noqa: E731 - nobody waits: it is there already, or made in `check`
        site = root.site_packages(quiet)
        layer = boards.layer(root.make(quiet), self._board)
        agent = packed_agent()
        script = Path(counting.__file__).with_name("counted_agent.py") if options else agent
        emulator = counting.EMULATOR if options else qemu.STATIC
        # Python's own seeds would change the few instructions with which it calls LiteRT.
        env = {"PYTHONPATH": f"{agent}:{site}", "PYTHONHASHSEED": "0"}
        command = qemu.command(layer, self._board.cpu, [root.PYTHON, "-P", str(script)], env, options, emulator)
        session = AgentSession(command, name=f"{artifact.id} on {self.name}", limits=Limits(seconds=_SECONDS))
        try:
            session.load(_RUNTIME, artifact.entry)
        except BaseException:
            session.close()
            raise
        return session

    def _facts(self) -> Mapping[str, str]:
        from edgeship_benchmarks.emulation import qemu, root

        emulator = f"QEMU {qemu.VERSION}"
        return {
            "system": root.DESCRIPTION,
            "machine": "aarch64",
            "board": self._board.name,
            "cpu": self._board.cpu,
            "cores": str(self._board.cores),
            "emulator": emulator,
        }


def _need_packages() -> None:
    from edgeship_benchmarks.emulation import qemu, root

    missing = root.missing()
    if missing:
        raise TargetUnavailable(f"emulation needs {', '.join(missing)}", remedy=qemu.REMEDY)


def _need_tflite(artifact: Artifact) -> None:
    if artifact.format != "tflite":
        raise TargetUnavailable(
            f"{artifact.id}: an emulated board runs tflite files, not {artifact.format}",
            remedy="Convert the model to tflite as well.",
        )
