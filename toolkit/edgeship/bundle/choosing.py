"""Which file of a build a bundle delivers."""

from __future__ import annotations

from edgeship.errors import GateFailed, InputError
from edgeship.manifest import RUNTIMES
from edgeship.report.store import check_files
from edgeship.types import Artifact, Report

_KIND = "device"


def choose(report: Report, wanted: str | None) -> Artifact:
    """The file of a build to deliver to devices; its sidecar and hashes confirm it.

    Args:
        report: of the build.
        wanted: `format/variant`; None: of the TFLite files that passed, the one with the fewest bytes to deliver.

    Raises:
        GateFailed: what is wanted, or every TFLite file, is not verified or failed a gate.
        InputError: there is no such file, or devices do not take its format.
        ArtifactError: the file is not what the report says.
    """
    chosen = _smallest(report) if wanted is None else _named(report, wanted)
    check_files((chosen,))
    return chosen


def _named(report: Report, wanted: str) -> Artifact:
    found = next((a for a in report.artifacts if a.id == wanted), None)
    formats = [format_name for kind, format_name in RUNTIMES if kind == _KIND]
    if found is None or found.format not in formats:
        offered = ", ".join(a.id for a in report.artifacts if a.format in formats)
        what = f"{wanted} is not for devices" if found else f"the build {report.name} has no file {wanted!r}"
        raise InputError(what, remedy=f"For devices it has: {offered or 'none'}.")
    require_passed(report, [found])
    return found


def _smallest(report: Report) -> Artifact:
    offered = [a for a in report.artifacts if a.format == "tflite"]
    if not offered:
        raise InputError(
            f"the build {report.name} has no TFLite file, which devices need",
            remedy="Build it: edgeship build MODEL --to tflite, or name another file with --artifact.",
        )
    passed = require_passed(report, offered)
    return passed[0] if len(passed) == 1 else min(passed, key=lambda a: (wire_bytes(report, a), a.id))


def require_passed(report: Report, offered: list[Artifact]) -> list[Artifact]:
    """Those of some files of a build that passed their gates. Raises GateFailed where none did."""
    passed = [a for a in offered if a.verification == "passed"]
    if not passed:
        states = ", ".join(f"{a.id} {a.verification}" for a in offered)
        raise GateFailed(
            f"no file of {report.name} that is asked for may be delivered: {states}",
            remedy="report.html of the build says why; a larger variant or another recipe may pass.",
        )
    return passed


def wire_bytes(report: Report, artifact: Artifact) -> int:
    """Of a file of a build, as it is delivered; measured now where no target measured it."""
    from edgeship_benchmarks.sizes import sizes

    measured = report.wire_bytes(artifact)
    return sizes(artifact).wire_bytes if measured is None else measured
