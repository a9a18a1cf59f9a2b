"""Originals that are exported files themselves (.tflite, .onnx): they are run as they are, in their own runtime."""

from __future__ import annotations

from dataclasses import replace

from edgeship import plugins
from edgeship.artifact import read_artifact
from edgeship.errors import UnavailableError
from edgeship.types import ProgressCallback, Source, Tensors

#: Kinds of sources that are formats too.
_FORMATS = ("onnx", "tflite")


def is_file(source: Source) -> bool:
    """Whether a runtime runs the original itself."""
    return source.kind in _FORMATS


def run(source: Source, inputs: Tensors, progress: ProgressCallback | None = None) -> Tensors:
    """Outputs of the file for N samples, by the names and in the order of the Source.

    Raises what a runtime raises: ArtifactError, UnavailableError, ChildError.
    """
    runtime = plugins.runtimes_for(source.kind)[0]
    missing = runtime.missing()
    if missing:
        raise UnavailableError(f"{runtime.name} needs {', '.join(missing)}", remedy=runtime.remedy)
    # Its own names, which need not be the safe ones of the Source; the order is the same.
    artifact = replace(read_artifact(source.path), inputs=(), outputs=())
    takes, _ = runtime.specs(artifact)
    given = {own.name: inputs[ours.name] for own, ours in zip(takes, source.inputs, strict=True)}
    found = runtime.run(artifact, given, progress)
    return {spec.name: values for spec, values in zip(source.outputs, found.values(), strict=True)}
