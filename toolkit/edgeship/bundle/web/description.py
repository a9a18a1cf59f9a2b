"""What a package says about its model: inputs, outputs, labels, and how an image becomes an input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgeship.errors import InputError
from edgeship.golden import Golden
from edgeship.types import Artifact, Preprocessing, TensorSpec

_DTYPES = {"float32": "float32", "int32": "int32", "uint8": "uint8", "bool": "bool", "int64": "int32"}
_CHANNELS = {1: "grey", 3: "RGB", 4: "RGBA"}
#: How far beyond 0 to 1 rounding takes a probability of a quantized model.
_SLACK = 0.02


def describe(name: str, version: str, artifact: Artifact, golden: Golden, *, one_by_one: bool) -> dict[str, Any]:
    """The value that `runtime/description.ts` declares, without `runtimes`; `one_by_one`: only batches of 1.

    Raises InputError for a dtype that browsers have no arrays of.
    """
    alone = len(artifact.inputs) == 1
    labels, scoring = _classes(artifact, golden)
    return {
        "name": name,
        "version": version,
        "inputs": [
            {**_spec(spec, one_by_one), "image": _image(spec, artifact.preprocessing) if alone else None}
            for spec in artifact.inputs
        ],
        "outputs": [_spec(spec, one_by_one) for spec in artifact.outputs],
        "labels": labels,
        "scoring": scoring,
    }


def _spec(spec: TensorSpec, one_by_one: bool) -> dict[str, Any]:
    dtype = _DTYPES.get(spec.dtype)
    if dtype is None:
        raise InputError(
            f"{spec.name!r} is of dtype {spec.dtype}, which no runtime of browsers takes",
            remedy=f"Allowed: {', '.join(_DTYPES)}.",
        )
    shape = [1 if one_by_one and axis == 0 and size is None else size for axis, size in enumerate(spec.shape)]
    return {"name": spec.name, "shape": shape, "dtype": dtype}


def _image(spec: TensorSpec, done: Preprocessing) -> Mapping[str, Any] | None:
    """How an image becomes this input, as `edgeship predict` does it; None where that is not known."""
    shape = spec.shape[1:]
    channels = _CHANNELS.get(shape[2] or 0) if len(shape) == 3 and None not in shape else None
    real = spec.dtype == "float32"
    if channels is None or spec.dtype == "bool" or (real and done.scale is None):
        return None
    order = "BGR" if real and done.channels == "BGR" else channels
    return {
        "height": shape[0],
        "width": shape[1],
        "channels": order,
        "scale": done.scale if real else 1.0,
        "mean": list(done.mean) if real else [],
        "std": list(done.std) if real else [],
    }


def _classes(artifact: Artifact, golden: Golden) -> tuple[list[str], str]:
    """Labels and how the first output scores them; none where it does not."""
    output = artifact.outputs[0]
    if not artifact.labels or len(output.shape) != 2:
        return [], "values"
    seen = golden.outputs[output.name]
    low, high = golden.output_ranges.get(output.name, (0.0, 1.0))
    low, high = min(low, float(seen.min())), max(high, float(seen.max()))
    probable = low >= -_SLACK and high <= 1 + _SLACK
    if output.shape[1] == len(artifact.labels):
        return list(artifact.labels), "values" if probable else "softmax"
    if output.shape[1] == 1 and len(artifact.labels) == 2 and probable:
        return list(artifact.labels), "value"
    return [], "values"
