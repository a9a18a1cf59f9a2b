"""What a Coral changes about measuring a file, on this machine or on a board: its delegate, and what it may run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgeship.edgetpu import Report, predict
from edgeship.errors import InputError, TargetUnavailable
from edgeship.types import Artifact, Measurement, NotMeasured
from edgeship_benchmarks.ways import Way

#: Which device of several: as libedgetpu names them.
_DEVICE = re.compile(r"(?:usb|pci)?(?::\d{1,2})?")
#: How rows name what ran the file.
RUNTIME = "litert-edgetpu"
#: One process at a time has the device, so files take turns with it (`edgeship_benchmarks.session.Turns`).
_TURNS = "the Edge TPU takes one process at a time: each round began with opening the device and the file again"


@dataclass(frozen=True)
class Coral:
    """An Edge TPU. Raises InputError for a device that libedgetpu does not name so.

    Attributes:
        device: `usb`, `usb:0`, `pci:1`; empty: the first that is found.
    """

    device: str = ""

    def __post_init__(self) -> None:
        if not _DEVICE.fullmatch(self.device):
            raise InputError(
                f"{self.device!r} names no Edge TPU", remedy="Devices are called usb, usb:0, pci or pci:0."
            )

    @property
    def delegate(self) -> str:
        """As the agent takes it."""
        return f"edgetpu:{self.device}" if self.device else "edgetpu"

    def load_options(self, way: Way) -> dict[str, str]:
        """For the agent's `load`. Raises InputError for a way without XNNPACK, whose rows would look like others."""
        if not way.xnnpack:
            raise InputError(
                "XNNPACK cannot be off on an Edge TPU", remedy="Leave --xnnpack out, or measure --target local by it."
            )
        return {"delegate": self.delegate}

    @property
    def suffix(self) -> str:
        """As it ends the address of a target."""
        return f"coral:{self.device}" if self.device else "coral"


def placement(artifact: Artifact) -> Report:
    """Where the operators of a file run, counted. Raises TargetUnavailable for one that no Edge TPU was meant for."""
    if artifact.format != "tflite":
        raise TargetUnavailable(
            f"{artifact.id}: an Edge TPU runs .tflite files, not {artifact.format}",
            remedy="Leave it out, or: --to tflite.",
        )
    report = predict(artifact.entry)
    if not report.programs:
        raise TargetUnavailable(
            f"{artifact.id} is not compiled for the Edge TPU: all of it would run on the CPU",
            remedy=f"Compile it, if it is int8, on x86-64: edgeship inspect {artifact.entry} --edgetpu --compile DIR",
        )
    return report


def placement_note(report: Report) -> str:
    """How many operators were left to the CPU, and which."""
    kinds = Counter(op.kind for op in report.operators if op.place == "cpu")
    names = ", ".join(f"{kind} x{count}" if count > 1 else kind for kind, count in kinds.items())
    left = f"{report.cpu} operators run on the CPU: {names}" if report.cpu else "no operator is left to the CPU"
    total = "" if report.tpu is None else f" ({report.tpu} of {len(report.operators)} run on the Edge TPU)"
    return f"{left}{total}"


def rows_with_placement(
    rows: Sequence[Measurement | NotMeasured], artifacts: Sequence[Artifact]
) -> list[Measurement | NotMeasured]:
    """Measurements say where the operators of their file ran; `rows` are of `artifacts`."""
    turns = (_TURNS,) if len(rows) > 1 else ()
    by_id = {artifact.id: artifact for artifact in artifacts}
    return [
        replace(row, notes=(placement_note(placement(by_id[row.artifact])), *turns, *row.notes))
        if isinstance(row, Measurement)
        else row
        for row in rows
    ]
