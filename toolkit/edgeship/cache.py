"""The user's cache: each stage's result in a folder named by what determined it.

A key covers the canonical content of the inputs, the options, the seed, the interpreter, the versions of the packages
that matter and the code of edgeship itself, so an entry never has to be doubted: equal key, equal result. What depends
on code that cannot be found gets a key of its own and is made again each time. Entries appear whole (a rename) or not
at all, so an interrupted build continues with what was finished, and they never change: others may be reading them.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgeship.files import whole_folder

#: Packages whose version can change a result.
PACKAGES = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "edgeship",
    "flatbuffers",
    "h5py",
    "keras",
    "ml-dtypes",
    "numpy",
    "onnx",
    "onnxruntime",
    "pillow",
    "protobuf",
    "scikit-learn",
    "scipy",
    "sympy",
    "tensorflow",
    "tf-keras",
    "tf2onnx",
    "tflite-micro",
)
#: How the key begins of what must not be found again.
_ONCE = "once-"
#: What nothing has used for so long goes; so does, beyond so many bytes, what was used longest ago, but not today.
KEPT_DAYS = 30
MOST_BYTES = 20 << 30
_DAY = 24 * 3600.0
#: The folders of results; what lies beside them, such as npm packages, is not made again by itself.
_RESULTS = (
    *("compress", "convert", "datasets", "demo", "fix"),
    *("reference", "run", "sensitivity", "source", "stripped"),
)


def root() -> Path:
    """The cache folder: `$EDGESHIP_CACHE`, else the user's cache folder of this system."""
    given = os.environ.get("EDGESHIP_CACHE")
    if given:
        return Path(given)
    import platformdirs

    return platformdirs.user_cache_path("edgeship")


@functools.cache
def versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result; absent ones are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def code_version() -> str:
    """Hash of the source of our three packages, so that changing edgeship never serves old results."""
    import edgeship
    import edgeship_benchmarks
    import edgeship_converters

    digest = hashlib.sha256()
    for package in (edgeship, edgeship_converters, edgeship_benchmarks):
        folder = Path(str(package.__file__)).parent
        for file in sorted(
            p for p in folder.rglob("*") if p.suffix in (".py", ".mjs") and "node_modules" not in p.parts
        ):
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def digest(**parts: Any) -> str:
    """SHA-256 of plain data, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def key(kind: str, **parts: Any) -> str:
    """Key of a stage result; `parts` is plain data that determines it."""
    machine = [platform.python_implementation(), platform.python_version(), platform.machine()]
    return digest(kind=kind, parts=parts, versions=versions(), machine=machine, code=code_version())


def key_with_code(kind: str, *code: str | None, **parts: Any) -> str:
    """Key of a stage result that code from outside edgeship determines too.

    `code` are its hashes (`edgeship.usercode`); with None, code that cannot be found, no other run gets the same key.
    """
    if None in code:
        return _ONCE + uuid.uuid4().hex
    return key(kind, code=code, **parts)


def entry(kind: str, entry_key: str, produce: Callable[[Path], None]) -> Path:
    """The folder of a stage result; `produce(folder)` fills it if it is not there yet.

    What another process finished meanwhile is taken instead. Entries that cannot be found again go when Python exits.
    """
    place = root() / kind / entry_key[:40]
    if place.is_dir():
        used(place)
    else:
        with whole_folder(place, keep=True) as folder:
            produce(folder)
    if entry_key.startswith(_ONCE):
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def found(kind: str, entry_key: str) -> Path | None:
    """The folder of a stage result that is there; None where it would have to be made."""
    place = root() / kind / entry_key[:40]
    if not place.is_dir():
        return None
    used(place)
    return place


def used(place: Path) -> None:
    """Note that an entry serves somebody now."""
    with contextlib.suppress(OSError):  # the cache may be read-only, and the entry gone
        os.utime(place)


def tidy(days: float = KEPT_DAYS, most_bytes: int = MOST_BYTES) -> int:
    """Remove entries that nothing has used for `days`, then the oldest while there are more than `most_bytes`.

    What was used within a day stays, because another process may be at it. Returns the bytes that were freed.
    """
    now, freed = time.time(), 0
    aged = sorted((now - when, place) for place, when in _entries())
    sizes = {place: _bytes_in(place) for _, place in aged}
    total = sum(sizes.values())
    for age, place in reversed(aged):
        if age < _DAY or (age < days * _DAY and total - freed <= most_bytes):
            continue
        with contextlib.suppress(OSError):
            # Out of the way first: an entry is there as a whole, or not at all.
            leaving = place.with_name(f".leaving-{uuid.uuid4().hex}")
            place.rename(leaving)
            shutil.rmtree(leaving, ignore_errors=True)
            freed += sizes[place]
    return freed


def _entries() -> Iterator[tuple[Path, float]]:
    """All entries, and what interrupted runs left half made; when each was used last, in seconds since 1970."""
    with contextlib.suppress(OSError):
        for place in [place for kind in _RESULTS for place in (root() / kind).glob("*")]:
            yield place, place.stat().st_mtime


def _bytes_in(place: Path) -> int:
    found = 0
    for file in place.rglob("*"):
        with contextlib.suppress(OSError):
            found += file.lstat().st_size
    return found
