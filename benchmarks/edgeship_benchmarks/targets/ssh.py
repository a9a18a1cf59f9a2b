"""Boards that are reached with ssh: a Raspberry Pi or any other Linux machine, with a Coral at it or without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeship.errors import ConnectionLost, TargetUnavailable
from edgeship.types import Artifact, DeviceInfo, Measurement, NotMeasured, Plan, ProgressCallback
from edgeship_benchmarks.transports.address import Address
from edgeship_benchmarks.ways import Way

if TYPE_CHECKING:
    from edgeship.types import Tensors
    from edgeship_benchmarks.boards.session import BoardSession, Link
    from edgeship_benchmarks.session import Turns

#: What the agent runs where Python runs; a board has no Node and no TensorFlow.
_RUNTIMES = {"tflite": "litert", "onnx": "onnxruntime"}
_WAY = Way()
_FREE = 'df -Pk "${TMPDIR:-/tmp}" | tail -n 1'


class SSHTarget:
    """Measures on a board over ssh. `prepare` puts a light runtime there; nothing else stays on it.

    `ssh://pi@board+coral` uses the Edge TPU at the board.
    """

    examples = ("ssh://pi@raspberrypi.local", "ssh://pi@raspberrypi.local+coral")

    def __init__(self, rest: str = "") -> None:
        from edgeship_benchmarks.coral import Coral

        address, _, device = rest.partition("+coral")
        self._address = Address.parse(address)
        self._coral = Coral(device.removeprefix(":")) if "+coral" in rest else None
        self._board = f"ssh://{self._address}"
        self.machine = f"{self._address.host}:{self._address.port or 22}"
        self.name = self._board if self._coral is None else f"{self._board}+{self._coral.suffix}"

    def probe(self) -> DeviceInfo:
        """The board's model, system, memory, disk, governor, temperature and throttling, and its runtime."""
        from edgeship_benchmarks.boards.preparing import runtime_folder, system_of
        from edgeship_benchmarks.boards.session import BoardSession, Link

        with Link(self._address) as link:
            connection = link.connection()
            system_of(connection.board, self._board)
            try:
                folder, runtime = runtime_folder(connection.board, self._board), self._runtime_state(link)
            except TargetUnavailable as error:
                folder, runtime = "", f"none: {error.message}"
            with BoardSession(link, folder, f"probe of {self.name}") as session:
                facts = session.describe()
                if self._coral is not None:
                    facts.update(session.delegate(self._coral.delegate))
            free = connection.run(_FREE).split()
            if len(free) > 3 and free[3].isdigit():
                facts["disk_free_mib"] = str(int(free[3]) >> 10)
            return DeviceInfo(self.name, "measured", {**facts, "runtime": runtime})

    def prepare(self, progress: ProgressCallback | None = None) -> Sequence[str]:
        """Install the light runtime on the board (see `edgeship_benchmarks.boards.preparing.prepare`)."""
        from edgeship_benchmarks.boards import preparing
        from edgeship_benchmarks.transports.ssh import Connection

        with Connection(self._address) as connection:
            return preparing.prepare(connection, self._board, progress or (lambda _: None))

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Outputs of the artifact on the board."""
        from edgeship_benchmarks.boards.session import Link
        from edgeship_benchmarks.runtimes.base import in_order

        with Link(self._address) as link, self._open(link, artifact) as session:
            return in_order(artifact, session.run(inputs))

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Measurement | NotMeasured]:
        """Measure the artifacts interleaved (see `edgeship_benchmarks.measuring.measure`)."""
        from edgeship_benchmarks import coral, measuring
        from edgeship_benchmarks.boards.session import Link
        from edgeship_benchmarks.session import Turns

        turns = None if self._coral is None else Turns()
        with Link(self._address) as link:

            def opener(artifact: Artifact, way: Way) -> BoardSession:
                try:
                    return self._open(link, artifact, way, turns)
                except ConnectionLost:
                    return self._open(link, artifact, way, turns)

            rows = measuring.measure(self.name, artifacts, opener, inputs, plan, self._named(progress))
        return rows if self._coral is None else coral.rows_with_placement(rows, artifacts)

    def _named(self, progress: ProgressCallback | None) -> ProgressCallback:
        """Progress that tells boards apart that are measured at once."""
        told = progress or (lambda _: None)
        return lambda event: told(replace(event, stage=f"{event.stage} {self._board}"))

    def _runtime_state(self, link: Link) -> str:
        from edgeship_benchmarks.boards.preparing import is_prepared

        if is_prepared(link.connection(), self._board):
            return "prepared"
        return f"not prepared: edgeship targets prepare {self._board}"

    def _open(self, link: Link, artifact: Artifact, way: Way = _WAY, turns: Turns | None = None) -> BoardSession:
        """A session with the artifact loaded; the caller closes it."""
        from edgeship_benchmarks import coral
        from edgeship_benchmarks.boards.preparing import is_prepared, runtime_folder
        from edgeship_benchmarks.boards.session import BoardSession

        if artifact.format not in _RUNTIMES:
            raise TargetUnavailable(
                f"{artifact.id}: a board runs {' and '.join(_RUNTIMES)} files, not {artifact.format}",
                remedy="Measure TF.js files in a browser on it: --target browser:any.",
            )
        if self._coral is not None:
            coral.placement(artifact)
        connection = link.connection()
        if not is_prepared(connection, self._board):
            raise TargetUnavailable(
                f"{self._board} has no runtime yet", remedy=f"Get it there: edgeship targets prepare {self._board}"
            )
        folder = runtime_folder(connection.board, self._board)
        runtime = _RUNTIMES[artifact.format]
        session = BoardSession(link, folder, f"{artifact.id} in {runtime} on {self.name}", turns)
        options = self._coral.load_options(way) if self._coral else way.load_options
        try:
            session.load(runtime, artifact.entry, way.threads, **options)
        except BaseException:
            session.close()
            raise
        session.runtime = runtime if self._coral is None else coral.RUNTIME
        return session
