"""Calibration samples as every quantizer reads them, and what files give for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from edgeship.errors import DataError
from edgeship.types import Dataset, TensorSpec
from edgeship_converters.flatfile import SIGNATURE

if TYPE_CHECKING:
    from edgeship.types import Array

#: What stands for a variance of nothing.
_TINY = 1e-30

Samples = Callable[[], Iterator[dict[str, "Array"]]]


def batches(calibration: Dataset, inputs: tuple[TensorSpec, ...], default: int) -> Samples:
    """All calibration samples in order, by input name; each call starts again.

    They come in batches of the model's own batch size (what is left over then is not used), or of `default` where the
    model takes any.

    Raises:
        DataError: there are fewer than one batch of the model's own size.
    """
    from edgeship.data import load

    arrays = load(calibration, "calibration").inputs
    fixed = inputs[0].shape[0]
    batch = fixed or default
    count = len(arrays[inputs[0].name])
    if fixed and count < batch:
        raise DataError(
            f"the model takes batches of {batch}, and there are {count} samples to calibrate with",
            remedy=f"Give at least {batch} calibration samples, or a model whose batch size is not fixed.",
        )

    def generate() -> Iterator[dict[str, Array]]:
        for start in range(0, count - batch + 1 if fixed else count, batch):
            yield {i.name: arrays[i.name][start : start + batch].astype(i.dtype) for i in inputs}

    return generate


def outputs(content: bytes, samples: Iterable[Mapping[str, Array]]) -> list[Array]:
    """What a .tflite file gives for samples, by LiteRT: float64, the float outputs in the order of their names."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner(SIGNATURE)
    rows = [runner(**sample) for sample in samples]
    names = [name for name, value in rows[0].items() if value.dtype.kind == "f"]
    return [np.concatenate([row[name] for row in rows]).astype(np.float64) for name in sorted(names)]


def powers(found: Iterable[Array], exact: Iterable[Array]) -> list[float]:
    """Power of the error of each output (N, ...) as a share of its variance over the samples."""
    import numpy as np

    return [
        float(np.square(one - other).sum(axis=tuple(range(1, one.ndim))).mean())
        / max(float(other.var(axis=0).sum()), _TINY)
        for one, other in zip(found, exact, strict=True)
    ]
