"""Inputs and outputs of a model: names, shapes, and how stored values stand for real ones (arXiv 1712.05877, eq. 1)."""

# ruff: noqa: B905 - zip(strict=) needs Python 3.10
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgeship_benchmarks.agent.arrays import np
from edgeship_benchmarks.agent.faults import Fault


class Tensor:
    """One input or output: public name, shape (None = dynamic, batch first), NumPy dtype, affine quantization."""

    def __init__(self, name: str, shape: Sequence[int | None], dtype: str) -> None:
        self.name, self.shape, self.dtype = name, list(shape), dtype
        self.alias = name
        self.index = -1
        self.scale, self.zero_point = 0.0, 0

    def spec(self) -> dict[str, Any]:
        """As the caller's TensorSpec."""
        quantization = {"scale": self.scale, "zero_point": self.zero_point} if self.scale else None
        return {"name": self.name, "shape": self.shape, "dtype": self.dtype, "quantization": quantization}

    def accepts(self, shape: Sequence[int]) -> bool:
        """Whether samples of this shape (batch axis first) fit."""
        pairs = list(zip(self.shape[1:], shape[1:]))
        return len(self.shape) == len(shape) and all(have is None or have == given for have, given in pairs)

    def store(self, real: Any) -> Any:
        """Real values as the tensor stores them; refuses what would change silently."""
        if self.scale:
            if not np.isfinite(real).all():
                raise Fault("DataError", f"input {self.name!r} has NaN or infinite values, which have no int8 code")
            limits = np.iinfo(self.dtype)
            # float32 like the kernels that devices use; np.round takes halves to even
            code = np.round(real.astype(np.float32) / np.float32(self.scale)) + self.zero_point
            return np.clip(code, limits.min, limits.max).astype(self.dtype)
        if real.dtype == np.dtype(self.dtype):
            return np.ascontiguousarray(real)
        with np.errstate(over="ignore", invalid="ignore"):
            stored = real.astype(self.dtype)
        both_float = real.dtype.kind == "f" and stored.dtype.kind == "f"
        # Rounding to a narrower float is what the model's own input does; overflow is not.
        if both_float:
            same = np.isfinite(stored) == np.isfinite(real)
        else:
            # Both ways: -1 as uint8 comes back as -1, and 2**60 + 1 equals its own float.
            same = (stored == real) & (stored.astype(real.dtype) == real)
        if not same.all():
            raise Fault("DataError", f"input {self.name!r}: {real.dtype} values do not fit {self.dtype}")
        return stored

    def real(self, stored: Any) -> Any:
        """Stored values as real ones (float32 where the tensor is quantized)."""
        if not self.scale:
            return stored
        return (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


def lite_tensor(details: dict[str, Any]) -> Tensor:
    """A tensor from the details that an interpreter of TensorFlow Lite gives."""
    signature = details.get("shape_signature")
    shape = details["shape"] if signature is None or not len(signature) else signature
    tensor = Tensor(details["name"], [None if d < 0 else int(d) for d in shape], np.dtype(details["dtype"]).name)
    tensor.index = int(details["index"])
    scales = details["quantization_parameters"]["scales"]
    if len(scales) > 1:
        raise Fault("ArtifactError", f"tensor {tensor.name!r} is quantized per channel at the model's edge")
    if len(scales) == 1 and np.dtype(tensor.dtype).kind in "iu":
        tensor.scale = float(scales[0])
        tensor.zero_point = int(details["quantization_parameters"]["zero_points"][0])
    return tensor
