"""Files by their SHA-256: begun again where they stopped, believed only once they are whole."""

from __future__ import annotations

import time
from pathlib import Path

from edgeship.device import durable, slots
from edgeship.device.network import Answer, Http
from edgeship.errors import RepositoryUnavailable, UpdateRefused
from edgeship.files import sync_folder

#: Of one file in one check, as long as each of them gets further.
_MOST_ATTEMPTS = 5


def download(http: Http, url: str, sha256: str, length: int, folder: Path) -> Path:
    """Fetch a file into `folder`, under its SHA-256.

    A part of it that is there is gone on with; one that turns out to be of something else is dropped.

    Raises:
        RepositoryUnavailable: it cannot be had now; what came is kept.
        UpdateRefused: what is served is another file.
        StorageFullError, OutputError: it cannot be written.
    """
    whole, part = folder / sha256, folder / f"{sha256}.part"
    if slots.is_file(whole, sha256, length):
        return whole
    began = time.monotonic()
    for attempt in range(1, _MOST_ATTEMPTS + 1):
        start = _size(part, length)
        try:
            if start < length or length == 0:
                _append(http, url, part, start, length)
        except RepositoryUnavailable:
            # A connection that was cut is taken up again; one that was too slow is left for another day.
            further = _size(part, length) > start and time.monotonic() - began < http.patience
            if not further or attempt == _MOST_ATTEMPTS:
                raise
            continue
        if slots.is_file(part, sha256, length):
            return _finish(part, whole)
        if start == 0 and _size(part, length) == length:
            part.unlink(missing_ok=True)
            break
        if _size(part, length) == length:
            part.unlink(missing_ok=True)
    raise UpdateRefused(f"{url} is not the file that was signed", remedy="Nothing was changed; the model goes on.")


def _size(part: Path, length: int) -> int:
    """Bytes of a partial file; one that is too long is dropped."""
    try:
        found = part.stat().st_size
    except OSError:
        return 0
    if found > length:
        part.unlink(missing_ok=True)
        return 0
    return found


def _append(http: Http, url: str, part: Path, start: int, length: int) -> None:
    with http.get(url, start=start, length=length) as answer:
        if answer.status == 416 or (answer.status == 206 and answer.start != start):
            # What is here and what is there do not go together: the next attempt begins anew.
            part.unlink(missing_ok=True)
            return
        if answer.status not in (200, 206):
            raise RepositoryUnavailable(f"{url} answers {answer.status}")
        _store(answer, url, part, length)


def _store(answer: Answer, url: str, part: Path, length: int) -> None:
    """Write what comes, and no byte more than belongs to the file."""
    with durable.storage(part), part.open("ab" if answer.status == 206 else "wb") as file:
        total = answer.start or 0
        for chunk in answer.chunks:
            total += len(chunk)
            if total > length:
                file.close()
                part.unlink(missing_ok=True)
                raise UpdateRefused(f"{url} has more than the {length:,} bytes that were signed")
            file.write(chunk)
    if total < length:
        raise RepositoryUnavailable(f"{url} ended after {total:,} of {length:,} bytes", remedy="It goes on next time.")


def _finish(part: Path, whole: Path) -> Path:
    with durable.storage(whole):
        durable.sync(part)
        part.replace(whole)
        sync_folder(whole.parent)
    return whole
