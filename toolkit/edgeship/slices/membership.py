"""Which test samples belong to which slice, as a build keeps it: later results are compared by the same slices."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgeship.errors import InputError
from edgeship.slices.definitions import MAX_SLICES, Slice

#: Beside the per-sample results of the original.
NAME = "slices.npz"
#: 1,000 slices of a million samples, eight in a byte.
_LIMIT_BYTES = 128 << 20


def write(folder: Path, slices: Sequence[Slice]) -> None:
    """Write `slices.npz`: `names` (S,), `masks` (S, N / 8 rounded up) with eight samples in a byte, `n`."""
    if not slices:
        return
    masks = np.packbits(np.stack([part.mask for part in slices]), axis=1)
    names = np.array([part.name for part in slices], dtype=np.str_)
    np.savez(folder / NAME, names=names, masks=masks, n=np.int64(len(slices[0].mask)))


def read(folder: Path) -> tuple[Slice, ...]:
    """The slices that `write` kept; none where there is no such file. Raises InputError for what is no such file."""
    path = folder / NAME
    if not path.exists():
        return ()
    try:
        with path.open("rb") as file:
            content = file.read(_LIMIT_BYTES + 1)
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if len(content) > _LIMIT_BYTES or sum(item.file_size for item in packed.infolist()) > _LIMIT_BYTES:
                raise InputError(f"{path} is larger than {_LIMIT_BYTES:,} bytes")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names, masks, n = arrays["names"], arrays["masks"], int(arrays["n"])
        if names.dtype.kind != "U" or masks.dtype != np.uint8 or masks.shape != (len(names), -(-n // 8)):
            raise InputError(f"{path} holds no slices")
        if len(names) > MAX_SLICES:
            raise InputError(f"{path} holds {len(names)} slices")
        unpacked = np.unpackbits(masks, axis=1, count=n).astype(bool)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    return tuple(Slice(str(name), mask) for name, mask in zip(names, unpacked, strict=True))
