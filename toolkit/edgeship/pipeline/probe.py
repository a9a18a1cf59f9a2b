"""Inputs for parity where no data was given: seeded noise, in the range to which the model is most sensitive."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from edgeship import cache
from edgeship.data import load
from edgeship.data.arrays import update_hash
from edgeship.errors import EdgeshipError, SourceError
from edgeship.files import whole_folder
from edgeship.pipeline import originals
from edgeship.source import predict
from edgeship.types import Array, Dataset, Progress, Source, Tensors, TensorSpec

SAMPLES = 64
#: What a dynamic axis gets in a probe.
_DYNAMIC = 16
#: Ranges that trained models commonly expect: 0..1, raw pixels, standardized features.
_FLOATS = ("unit", "pixels", "normal")
#: Upper ends for integer inputs; a vocabulary may be small, and an index beyond it is an error.
_INTEGERS = (100, 10, 2)


def probe_dataset(source: Source, seed: int, cache_dir: Path) -> Dataset:
    """A dataset with only `test` inputs, without labels, to which the model's outputs are sensitive.

    Needs the model's framework: runs in a worker. Raises SourceError where the model runs on none of the candidates.
    """
    best: tuple[float, Dataset] | None = None
    reason = ""
    for arrays in _candidates(source.inputs, seed):
        dataset = _materialize(source, arrays, cache_dir)
        try:
            found = _variation(source, dataset)
        except (EdgeshipError, ValueError, RuntimeError) as error:  # an index beyond a vocabulary, for instance
            reason = str(error)
            continue
        if best is None or found > best[0]:
            best = (found, dataset)
    if best is None:
        raise SourceError(
            f"the model cannot run on generated inputs: {reason[:300]}", remedy="Give real inputs with --data."
        )
    return best[1]


def _candidates(inputs: tuple[TensorSpec, ...], seed: int) -> Iterator[dict[str, Array]]:
    for floats, highest in zip(_FLOATS, _INTEGERS, strict=True):
        rng = np.random.default_rng(seed)
        yield {spec.name: _noise(spec, floats, highest, rng) for spec in inputs}


def _noise(spec: TensorSpec, floats: str, highest: int, rng: np.random.Generator) -> Array:
    shape = (SAMPLES, *(_DYNAMIC if d is None else d for d in spec.shape[1:]))
    dtype = np.dtype(spec.dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(0, highest, shape).astype(dtype)
    values = rng.normal(size=shape) if floats == "normal" else rng.random(shape)
    # Samples differ in contrast and offset too, not only in the noise: networks average noise away.
    contrast = rng.uniform(0.2, 1.0, (SAMPLES, *(1 for _ in shape[1:])))
    values = values * contrast * (255.0 if floats == "pixels" else 1.0)
    return values.astype(dtype)


def _materialize(source: Source, arrays: Mapping[str, Array], cache_dir: Path) -> Dataset:
    specs = [(s.name, s.shape, s.dtype) for s in source.inputs]
    content = hashlib.sha256(cache.digest(kind="probe/2", inputs=specs).encode())
    for name, array in arrays.items():
        update_hash(content, name, array)
    sha256 = content.hexdigest()
    place = cache_dir / cache.key("dataset", sha256=sha256)[:40]
    if not place.is_dir():
        with whole_folder(place, keep=True) as folder:
            (folder / "test" / "x").mkdir(parents=True)
            for name, array in arrays.items():
                np.save(folder / "test" / "x" / f"{name}.npy", array)
    return Dataset(place, "probe inputs", sha256, "unlabelled", source.inputs, {"test": SAMPLES})


def _variation(source: Source, dataset: Dataset) -> float:
    """How much the outputs differ between samples, relative to their size; the least over the outputs."""
    found = []
    for name, values in _outputs(source, dataset).items():
        output = values.astype(np.float64)
        if not np.isfinite(output).all():
            raise ValueError(f"output {name} is not finite")
        found.append(float(output.std(axis=0).mean() / (np.abs(output).max() + 1e-30)))
    return min(found)


def _outputs(source: Source, dataset: Dataset) -> Tensors:
    if originals.is_file(source):
        return originals.run(source, load(dataset, "test").inputs)

    def ignore(_: Progress) -> None:
        """No progress for a fraction of a second."""

    with tempfile.TemporaryDirectory() as folder:
        names = predict(source, dataset, "test", Path(folder), ignore)
        return {name: np.load(Path(folder) / f"{name}.npy") for name in names}
