"""Which test samples belong to which slice, as a build keeps it: later results are compared by the same slices."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeship.errors import InputError
from edgeship.slices.definitions import MAX_SLICES, Slice
from edgeship.types import Array

#: Beside the per-sample results of the original.
NAME = "slices.npz"
#: 1,000 slices of a million samples, eight in a byte.
_LIMIT_BYTES = 128 << 20


@dataclass(frozen=True)
class Kept:
    """What is known of the test samples of a build.

    Attributes:
        samples: SHA-256 of inputs and labels, whatever their names (see `samples_sha256`); empty where not kept.
    """

    slices: tuple[Slice, ...] = ()
    samples: str = ""


def samples_sha256(inputs: Iterable[Array], labels: Array) -> str:
    """The same for the same samples in the same order: two models may call their inputs otherwise."""
    digest = hashlib.sha256()
    for array in (*inputs, labels):
        digest.update(f"{array.dtype.str} {array.shape}\0".encode())
        step = max(1, (1 << 24) // max(1, array[:1].nbytes))
        for start in range(0, len(array), step):
            digest.update(np.ascontiguousarray(array[start : start + step]).tobytes())
    return digest.hexdigest()


def write(folder: Path, kept: Kept, n: int) -> None:
    """Write `slices.npz`: `names` (S,), `masks` (S, n / 8 rounded up) with eight samples in a byte, `n`, `samples`."""
    masks = np.array([part.mask for part in kept.slices], dtype=bool).reshape(len(kept.slices), n)
    names = np.array([part.name for part in kept.slices], dtype=np.str_)
    packed = np.packbits(masks, axis=1)
    np.savez(folder / NAME, names=names, masks=packed, n=np.int64(n), samples=np.str_(kept.samples))


def read(folder: Path) -> Kept:
    """What `write` kept; nothing where there is no such file. Raises InputError for what is no such file."""
    path = folder / NAME
    if not path.exists():
        return Kept()
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT_BYTES + 1)
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if len(content) > _LIMIT_BYTES or sum(item.file_size for item in packed.infolist()) > _LIMIT_BYTES:
                raise InputError(f"{path} is larger than {_LIMIT_BYTES:,} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names, masks, n = arrays["names"], arrays["masks"], int(arrays["n"])
            samples = str(arrays["samples"])
        if names.dtype.kind != "U" or n < 0 or masks.dtype != np.uint8 or masks.shape != (len(names), -(-n // 8)):
            raise InputError(f"{path} holds no slices")
        if len(names) > MAX_SLICES:
            raise InputError(f"{path} holds {len(names)} slices")
        unpacked = np.unpackbits(masks, axis=1, count=n).astype(bool)
    except (OSError, ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return Kept(tuple(Slice(str(name), mask) for name, mask in zip(names, unpacked, strict=True)), samples)
