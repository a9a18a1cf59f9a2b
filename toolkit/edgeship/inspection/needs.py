"""What a runtime must be able to do to run an exported file."""

from __future__ import annotations

from collections.abc import Iterable

from edgeship.inspection.opening import inspect
from edgeship.inspection.tflite_versions import least_runtime, newest
from edgeship.types import Artifact, Operator, RuntimeNeeds

#: The first TensorFlow Lite in the table.
_FIRST_TFLITE = "1.5.0"
#: The first TF.js with graph models in one model.json.
_FIRST_TFJS = "1.0.0"


def runtime_needs(artifact: Artifact, runtime: str) -> RuntimeNeeds:
    """The operators of a file with their versions, and the first release of a runtime that has all that are known.

    The file is read in a child. Raises ArtifactError where it is damaged, ChildError.
    """
    found = inspect(artifact.path, ask=False)
    ops = sorted({(op.type, op.version) for op in found.ops}, key=lambda pair: (pair[0], pair[1] or 0))
    if artifact.format == "tfjs":
        minimum = _FIRST_TFJS
    else:
        minimum = found.requires["ONNX Runtime"] if artifact.format == "onnx" else _least_tflite(ops)
    return RuntimeNeeds(runtime, minimum, tuple(Operator(*op) for op in ops))


def _least_tflite(ops: Iterable[tuple[str, int | None]]) -> str:
    least = (least_runtime(name, number or 1) for name, number in ops)
    return newest(version for version in least if version) or _FIRST_TFLITE
