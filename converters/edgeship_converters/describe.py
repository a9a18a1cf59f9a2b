"""The end of every conversion: what was written, as an Artifact."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgeship.artifact import hash_files
from edgeship.types import Artifact, ConvertOptions, Source, TensorSpec

#: Package -> others that bring its numbers or bytes about; the serializers, and sympy for the shapes of ONNX models.
_BRINGS: Mapping[str, Sequence[str]] = {
    "ai-edge-litert": ("flatbuffers",),
    "ai-edge-quantizer": ("ai-edge-litert", "flatbuffers", "ml-dtypes", "numpy", "scipy"),
    "onnx": ("ml-dtypes", "numpy", "protobuf"),
    "onnxruntime": ("flatbuffers", "numpy", "protobuf", "sympy"),
    "tensorflow": ("flatbuffers", "h5py", "ml-dtypes", "numpy", "protobuf"),
}


def describe(  # noqa: PLR0913, PLR0917 - one argument per fact about the files
    out_dir: Path,
    format: str,  # noqa: A002 - the field's name
    variant: str,
    files: Sequence[str],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    source: Source,
    options: ConvertOptions,
    made_by: Mapping[str, str],
) -> Artifact:
    """Describe the files of a finished conversion.

    Args:
        out_dir: the folder they lie in.
        format: the converter's format.
        variant: what was made.
        files: names relative to `out_dir`, the entry file first.
        inputs: as they are in the file: its shapes, dtypes and quantization.
        outputs: in the model's order, the same.
        source: the model that was converted.
        options: as given to the converter; labels and preprocessing are delivered with the file.
        made_by: package -> version of what determined the bytes (`versions`).
    """
    return Artifact(
        path=out_dir,
        format=format,
        variant=variant,
        files=hash_files(out_dir, files),
        inputs=inputs,
        outputs=outputs,
        source_sha256=source.sha256,
        labels=options.labels,
        preprocessing=options.preprocessing,
        made_by=dict(made_by),
    )


def versions(*packages: str) -> dict[str, str]:
    """Installed versions of edgeship, of `packages` (distribution names) and of what writes for them, for `made_by`.

    Raises PackageNotFoundError for one of `packages` that is not installed.
    """
    wanted = dict.fromkeys(("edgeship", *packages))
    brought = dict.fromkeys(name for package in packages for name in _BRINGS.get(package, ()) if name not in wanted)
    found = {name: version(name) for name in wanted}
    for name in brought:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found
