"""The user's cache: each stage's result in a folder named by what determined it.

A key covers the canonical content of the inputs, the options, the seed, the versions of the packages that matter and
the code of edgeship itself, so an entry never has to be doubted: equal key, equal result. Entries appear whole (a
rename) or not at all, so an interrupted build continues with what was finished.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edgeship.errors import OutputError, StorageFullError

#: Packages whose version can change a result.
PACKAGES = (
    "ai-edge-litert",
    "ai-edge-quantizer",
    "edgeship",
    "keras",
    "numpy",
    "onnx",
    "onnxconverter-common",
    "onnxruntime",
    "tensorflow",
    "tf-keras",
    "tf2onnx",
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
    return digest(kind=kind, parts=parts, versions=versions(), code=code_version())


def entry(kind: str, entry_key: str, produce: Callable[[Path], None]) -> Path:
    """The folder of a stage result; `produce(folder)` fills it if it is not there yet."""
    place = root() / kind / entry_key[:40]
    if not place.is_dir():
        with whole_folder(place) as folder:
            produce(folder)
    return place


@contextmanager
def whole_folder(place: Path) -> Iterator[Path]:
    """Fill a folder that appears at `place` complete or not at all; an existing one is replaced.

    Raises StorageFullError when the disk is full and OutputError when it cannot be written.
    """
    temporary: Path | None = None
    try:
        with storage_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
            temporary.chmod(0o755)
            yield temporary
            _replace(temporary, place)
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


def _replace(temporary: Path, place: Path) -> None:
    """Move a finished folder into place; another process that finished the same first is no error."""
    if place.is_dir():
        old = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        place.rename(old / "old")
        temporary.rename(place)
        shutil.rmtree(old, ignore_errors=True)
        return
    try:
        temporary.rename(place)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


@contextmanager
def storage_errors(place: Path) -> Iterator[None]:
    """Turn the system's errors of writing at `place` into ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFullError(
                f"the disk is full: {place}",
                remedy="Free some space or choose another folder with --out; finished parts are kept and reused.",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise OutputError(
                f"cannot write {place}: {error.strerror}", remedy="Choose a folder of yours with --out."
            ) from error
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file that appears complete or not at all."""
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
