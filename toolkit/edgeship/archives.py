"""Checks of ZIP files from outside (.keras, .npz) before anything is read from them."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from edgeship.errors import InputError

#: Uncompressed bytes that an archive may hold in all; more does not fit in the memory of the machines we run on.
MAX_BYTES = 16 << 30
#: Highest compression ratio of a member above `_RATIO_FLOOR`; deflate reaches 1032 on zeros, real weights below 20.
MAX_RATIO = 200
_RATIO_FLOOR = 64 << 20


def check_zip(path: Path, error: type[InputError], *, ratio: int | None = MAX_RATIO) -> list[zipfile.ZipInfo]:
    """The members of a ZIP file that is safe to unpack.

    Args:
        path: the file.
        error: the class of InputError to raise.
        ratio: highest compression ratio of one member; None for no limit (arrays of zeros are legitimate data).

    Raises:
        InputError: (or the given subclass) for a file that is no ZIP or damaged, member names that leave the folder,
            links, duplicates, or more uncompressed data than the limits allow.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as cause:
        raise error(
            f"{path.name} is damaged or not a ZIP archive ({cause})", remedy="Copy or save the file again."
        ) from cause
    seen: set[str] = set()
    for member in members:
        _check_name(path, member, seen, error)
        if ratio is not None and implausible(member.file_size, member.compress_size, ratio):
            raise error(f"{path.name}: {member.filename} unpacks to {member.file_size:,} bytes, more than is plausible")
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise error(f"{path.name} unpacks to {total:,} bytes", remedy=f"The limit is {MAX_BYTES:,} bytes.")
    return members


def implausible(size_bytes: int, compressed_bytes: int, ratio: int = MAX_RATIO) -> bool:
    """Whether compressed content announces more than real models and data decode to."""
    return size_bytes > max(_RATIO_FLOOR, ratio * max(1, compressed_bytes))


def _check_name(path: Path, member: zipfile.ZipInfo, seen: set[str], error: type[InputError]) -> None:
    name = PurePosixPath(member.filename)
    unsafe = name.is_absolute() or ".." in name.parts or "\\" in member.filename or ":" in "".join(name.parts[:1])
    if unsafe or stat.S_ISLNK(member.external_attr >> 16):
        raise error(f"{path.name} holds a member that points outside of it: {member.filename!r}")
    if member.filename in seen:
        raise error(f"{path.name} holds {member.filename!r} twice")
    seen.add(member.filename)
