"""Filling a slot with a release, and whether what lies in one is still what was put there."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edgeship import manifest as manifests
from edgeship.device import durable, state
from edgeship.device.config import Place
from edgeship.device.state import Release, State
from edgeship.errors import ArtifactError, UnavailableError
from edgeship.files import sync_folder
from edgeship.types import Manifest

_CHUNK = 1 << 20


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest()


def is_file(path: Path, sha256: str, size_bytes: int) -> bool:
    """Whether a file is there, with that content."""
    try:
        return path.stat().st_size == size_bytes and digest(path) == sha256
    except OSError:
        return False


def read_manifest(place: Place, slot: str) -> Manifest:
    """The manifest of the release in a slot. Raises ArtifactError where it is not the one that was accepted."""
    held = state.release(place, slot)
    if held is None:
        raise ArtifactError(f"slot {slot} of {place.folder} holds no release", remedy="Get one: edgeship device update")
    found, content = manifests.read_file(place.slot(slot) / manifests.NAME)
    if hashlib.sha256(content).hexdigest() != held.manifest_sha256:
        raise damaged(place.slot(slot) / manifests.NAME)
    return found


def damaged(path: Path) -> ArtifactError:
    """The error for a file of a slot that is not what was put there."""
    return ArtifactError(f"{path} is damaged", remedy="It is fetched again by: edgeship device update")


def file(place: Place, slot: str, name: str) -> Path:
    """Where a slot keeps a file of its release; the name is one of its manifest."""
    return place.slot(slot) / "files" / name


def check(place: Place, slot: str) -> Manifest:
    """Read everything in a slot. Raises ArtifactError naming what is not as it was accepted."""
    found = read_manifest(place, slot)
    for entry in found.files:
        if not is_file(file(place, slot, entry.name), entry.sha256, entry.size_bytes):
            raise damaged(file(place, slot, entry.name))
    return found


def is_whole(place: Place, slot: str) -> bool:
    """Whether a slot holds a release, all of it as it was accepted."""
    try:
        check(place, slot)
    except ArtifactError:
        return False
    return True


def damaged_fallback(place: Place) -> tuple[str, Release] | None:
    """The slot that does not run and its release, where that is not as it was accepted; None: nothing is wrong."""
    found = state.read(place)
    slot = state.other(state.serving(place, found))
    held = state.release(place, slot)
    if held is None or found.has_failed(held.manifest_sha256) or is_whole(place, slot):
        return None
    return slot, held


def held_files(place: Place) -> Iterator[tuple[str, int, Path]]:
    """SHA-256, size and place of every file in both slots, what runs first; none was looked into."""
    active = state.serving(place, state.read(place))
    for slot in (active or "a", state.other(active or "a")):
        try:
            found = read_manifest(place, slot)
        except ArtifactError:
            continue
        for entry in found.files:
            yield entry.sha256, entry.size_bytes, file(place, slot, entry.name)


def fill(place: Place, slot: str, content: bytes, files: Mapping[str, Path], serving: str | None) -> None:
    """Put a release into a slot, in which it may not run yet; afterwards all of it is on the disk.

    Args:
        place: of the enrolment.
        slot: to be emptied first.
        content: of the manifest.
        files: name -> a file with the content that the manifest names, which is linked or copied.
        serving: the slot that ran when `slot` was chosen.

    Raises UnavailableError where another one runs since then: it may be `slot`.
    """
    new = place.folder / f".{slot}.new"
    with durable.storage(new):
        shutil.rmtree(new, ignore_errors=True)
        (new / "files").mkdir(parents=True)
        for name, source in files.items():
            target = new / "files" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(source, target)
        (new / manifests.NAME).write_bytes(content)
        _sync_all(new)
        with state.held(place) as found:
            if state.serving(place, found) != serving:
                raise rolled_back(place)
            state.clear(place, slot)
            new.rename(place.slot(slot))
            sync_folder(place.folder)


def drop(place: Place, slot: str, remember: Callable[[State], State]) -> None:
    """Empty a slot whose release failed its self-test, and remember that. Raises UnavailableError where it runs."""

    def step(found: State) -> State:
        if state.serving(place, found) == slot:
            raise rolled_back(place)
        return remember(found)

    state.change(place, step, lambda: state.clear(place, slot))


def rolled_back(place: Place) -> UnavailableError:
    """The error of an update whose ground has changed under it."""
    return UnavailableError(
        f"{place.folder.name} was rolled back during the update",
        remedy="The model goes on, and so does the next check.",
    )


def mend(place: Place, slot: str, content: bytes, files: Mapping[str, Path]) -> None:
    """Put back what is damaged in a slot, one rename for each file; what says that its release may run stays.

    Args:
        place: of the enrolment.
        slot: with a release that passed its self-test.
        content: of its manifest.
        files: as for `fill`.
    """
    with durable.storage(place.slot(slot)):
        for name, source in files.items():
            target = file(place, slot, name)
            if target.exists() and target.samefile(source):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            new = target.with_name(f".{target.name}.new")
            new.unlink(missing_ok=True)
            _link(source, new)
            durable.sync(new)
            new.replace(target)
            sync_folder(target.parent)
    durable.write(place.slot(slot) / manifests.NAME, content)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or a limit of theirs
        shutil.copyfile(source, target)


def _sync_all(folder: Path) -> None:
    for where, _, names in os.walk(folder):
        for name in names:
            durable.sync(Path(where, name))
        sync_folder(Path(where))
