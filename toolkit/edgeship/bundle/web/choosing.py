"""Which files of a build a web package delivers, and for which runtimes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edgeship.bundle.choosing import require_passed, wire_bytes
from edgeship.errors import InputError
from edgeship.report.store import check_files
from edgeship.types import Artifact, Report, TensorSpec

#: Runtime of browsers -> the format that it runs; in the order in which `runtime: 'auto'` tries them.
RUNTIMES: Mapping[str, str] = {
    "tfjs-wasm": "tfjs",
    "litert-wasm": "tflite",
    "litert-webgpu": "tflite",
    "tfjs-webgpu": "tfjs",
    "tfjs-webgl": "tfjs",
}
#: What LiteRT.js has tensors of.
_LITERT_DTYPES = ("float32", "int32", "uint8")


def choose(report: Report, wanted: str | None, runtimes: Sequence[str]) -> dict[str, Artifact]:
    """Runtime -> the file of a build that it runs, in the order of `RUNTIMES`; sidecars and hashes confirm the files.

    Args:
        report: of the build.
        wanted: `format/variant`, for the runtimes of its format; None: the file that passed with the fewest bytes to
            deliver, for LiteRT.js int8-floatio where it passed.
        runtimes: of `RUNTIMES`; empty: tfjs-wasm, or litert-wasm where `wanted` or the build leave only that.

    Raises:
        GateFailed: what is wanted, or every file of a format, is not verified or failed a gate.
        InputError: no runtime of browsers takes the file, or the files do not have the same inputs and outputs.
        ArtifactError: a file is not what the report says.
    """
    unknown = [name for name in runtimes if name not in RUNTIMES]
    if unknown:
        raise InputError(f"no such runtime: {', '.join(unknown)}", remedy=f"Allowed: {', '.join(RUNTIMES)}.")
    named = None if wanted is None else _named(report, wanted)
    chosen = sorted(set(runtimes) or {_default(report, named)}, key=list(RUNTIMES).index)
    if named is not None and named.format not in {RUNTIMES[name] for name in chosen}:
        raise InputError(f"none of {', '.join(chosen)} runs {named.id}", remedy=f"Allowed: {_runtimes_of(named)}.")
    formats = {RUNTIMES[name] for name in chosen}
    artifacts = {name: named if named and named.format == name else _best(report, name) for name in sorted(formats)}
    check_files(tuple(artifacts.values()))
    _check_alike(tuple(artifacts.values()))
    return {name: artifacts[RUNTIMES[name]] for name in chosen}


def _runtimes_of(artifact: Artifact) -> str:
    return ", ".join(name for name, format_name in RUNTIMES.items() if format_name == artifact.format)


def _named(report: Report, wanted: str) -> Artifact:
    found = next((a for a in report.artifacts if a.id == wanted), None)
    reason = "it is not in the build" if found is None else refusal(found)
    if found is None or reason:
        offered = ", ".join(a.id for a in report.artifacts if not refusal(a))
        remedy = f"For browsers it has: {offered or 'none'}. Others: edgeship build MODEL --to tfjs."
        raise InputError(f"{wanted} of {report.name} is not for browsers: {reason}", remedy=remedy)
    require_passed(report, [found])
    return found


def _default(report: Report, named: Artifact | None) -> str:
    format_name = named.format if named else "tfjs" if any(a.format == "tfjs" for a in report.artifacts) else "tflite"
    return next(name for name, taken in RUNTIMES.items() if taken == format_name)


def _best(report: Report, format_name: str) -> Artifact:
    """The file of a format with the fewest bytes to deliver; int8-floatio, which is the fastest, of .tflite files."""
    offered = [a for a in report.artifacts if a.format == format_name and not refusal(a)]
    if not offered:
        reasons = "; ".join(f"{a.id}: {refusal(a)}" for a in report.artifacts if a.format == format_name)
        quantized = " --quantize int8-floatio" if format_name == "tflite" else ""
        raise InputError(
            f"the build {report.name} has no {format_name} file that browsers run{f' ({reasons})' if reasons else ''}",
            remedy=f"Build it: edgeship build MODEL --to {format_name}{quantized}",
        )
    passed = require_passed(report, offered)
    fast = [a for a in passed if a.variant == "int8-floatio"]
    return min(fast or passed, key=lambda a: (wire_bytes(report, a), a.id))


def refusal(artifact: Artifact) -> str:
    """Why no runtime of browsers here takes a file; empty where one does."""
    specs = (*artifact.inputs, *artifact.outputs)
    if artifact.format not in RUNTIMES.values():
        return f"no runtime here takes {artifact.format}"
    if artifact.format == "tfjs":
        return ""
    foreign = [s for s in specs if s.quantization is not None or s.dtype not in _LITERT_DTYPES]
    if foreign:
        return f"LiteRT.js has no {foreign[0].dtype} for {foreign[0].name!r}; take int8-floatio"
    free = [s for s in artifact.inputs if None in s.shape[1:]]
    return f"LiteRT.js takes inputs of one size only, and {free[0].name!r} is {list(free[0].shape)}" if free else ""


def _check_alike(artifacts: tuple[Artifact, ...]) -> None:
    def shapes(specs: tuple[TensorSpec, ...]) -> list[tuple[str, tuple[int | None, ...]]]:
        return [(spec.name, spec.shape[1:]) for spec in specs]

    first = artifacts[0]
    for other in artifacts[1:]:
        if shapes(other.inputs) != shapes(first.inputs) or shapes(other.outputs) != shapes(first.outputs):
            raise InputError(
                f"{first.id} and {other.id} differ in their inputs or outputs, so one package cannot hold both",
                remedy="Make a package of each: --runtime tfjs-wasm, --runtime litert-wasm.",
            )
        if other.labels != first.labels or other.preprocessing != first.preprocessing:
            raise InputError(
                f"{first.id} and {other.id} differ in labels or preprocessing", remedy="Make a package of each."
            )
