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


def describe(
    out_dir: Path,
    made: tuple[str, str],
    files: Sequence[str],
    specs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]],
    source: Source,
    options: ConvertOptions,
    made_by: Mapping[str, str],
) -> Artifact:
    """Describe the files of a finished conversion.

    Args:
        out_dir: the folder they lie in.
        made: format and variant.
        files: names relative to `out_dir`, the entry file first.
        specs: inputs and outputs as they are in the file (its shapes, dtypes and quantization), in the model's order.
        source: the model that was converted.
        options: as given to the converter; labels and preprocessing are delivered with the file.
        made_by: package -> version of what determined the bytes (`versions`).
    """
    return Artifact(
        path=out_dir,
        format=made[0],
        variant=made[1],
        files=hash_files(out_dir, files),
        inputs=specs[0],
        outputs=specs[1],
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
