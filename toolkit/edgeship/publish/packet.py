"""A line of a repository in one zip file, for devices that are reached by hand: the same files under the same names.

A client reads it as it reads a server, and believes no more of it.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship import manifest as manifests
from edgeship.errors import InputError, RepositoryError
from edgeship.files import storage_errors
from edgeship.publish import trust
from edgeship.publish.stores import Store
from edgeship.releases import documents
from edgeship.releases.names import Line, line, policy_path, release_folder, rollout_path, version

if TYPE_CHECKING:
    from tuf.api.metadata import TargetFile

    from edgeship.publish.trust import State

#: Zip files have a date for each entry; the first one that they can have makes equal content equal files.
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Packet:
    """What was packed.

    Attributes:
        line: of the releases in it, `digits/v1`.
        versions: in it: all that some device may get.
        expires: from when on no device believes it.
    """

    path: Path
    line: str
    versions: tuple[str, ...]
    size_bytes: int
    expires: datetime


def pack(store: Store, out: Path, wanted: str | None = None, *, now: datetime | None = None) -> Packet:
    """Write the releases of a line that its rollout names, with all metadata, to a zip file.

    Args:
        store: of the repository.
        out: the file to write.
        wanted: the line; None: the only one.
        now: None: what the clock says.

    Raises:
        RepositoryError: it is none, damaged, has no such line, or has expired.
        OutputError, StorageFullError: the file cannot be written.
    """
    state, metadata = _verified(store)
    expires = min(
        found.signed.expires for found in (state.root, state.timestamp, state.snapshot, state.targets, state.rollout)
    )
    if expires <= (now or datetime.now(UTC)):
        raise RepositoryError(
            f"no device believes {store.address}: it expired at {expires:%Y-%m-%d %H:%M} UTC",
            remedy=f"Sign it anew: edgeship publish --refresh --repo {store.address} --keys KEYS",
        )
    of = _line(store, state, wanted)
    rollout = documents.rollout(_target(store, state.rollout.signed.targets[rollout_path(of)])[1], of)
    versions = rollout.versions()
    with storage_errors(out), zipfile.ZipFile(out, "w") as packet:
        for name, content in metadata:
            packet.writestr(zipfile.ZipInfo(name, _DATE), content)
        for name, content in _targets(store, state, of, versions):
            packet.writestr(zipfile.ZipInfo(name, _DATE), content)
    return Packet(out, str(of), versions, out.stat().st_size, expires)


def pack_bundle(bundle: Path, out: Path) -> Path:
    """Write a device bundle that nobody signed to a zip file: its manifest and what that names.

    Raises:
        InputError: it is no bundle for devices, or lacks a file.
        OutputError, StorageFullError: the file cannot be written.
    """
    manifest, content = manifests.read_file(bundle / manifests.NAME)
    if manifest.kind != "device":
        raise InputError(
            f"{bundle} is a bundle for {manifest.kind}", remedy="Make one: edgeship bundle BUILD --for device"
        )
    with storage_errors(out), zipfile.ZipFile(out, "w") as packet:
        packet.writestr(zipfile.ZipInfo(manifests.NAME, _DATE), content)
        for file in manifest.files:
            name = file.name if file.stored is None else file.stored.name
            try:
                packet.writestr(zipfile.ZipInfo(name, _DATE), (bundle / name).read_bytes())
            except FileNotFoundError as error:
                raise InputError(f"{bundle} lacks {name}", remedy="Make the bundle again.") from error
    return out


def _verified(store: Store) -> tuple[State, list[tuple[str, bytes]]]:
    """The newest metadata, signed by the repository's own keys, and their files."""
    first = store.read("metadata/1.root.json", trust.LIMITS["root"])
    if first is None:
        raise RepositoryError(
            f"{store.address} is no update repository",
            remedy="Make one: edgeship publish BUNDLE --repo FOLDER --keys KEYS",
        )
    roots = trust.walk_roots(store, first.content)
    state = trust.read(store, roots)
    if state is None:
        raise RepositoryError(f"nothing was published to {store.address} yet", remedy="edgeship publish --help")
    names = [f"{root.signed.version}.root" for root in roots]
    names += ["timestamp", f"{state.snapshot.signed.version}.snapshot"]
    names += [f"{state.targets.signed.version}.targets", f"{state.rollout.signed.version}.rollout"]
    found = []
    for name in names:
        stored = store.read(f"metadata/{name}.json", trust.LIMITS[name.rpartition(".")[2]])
        if stored is None:
            raise RepositoryError(f"{store.address} changes while it is read", remedy="Try again.")
        found.append((f"metadata/{name}.json", stored.content))
    return state, found


def _line(store: Store, state: State, wanted: str | None) -> Line:
    there = [path.removeprefix("rollout/").removesuffix(".json") for path in sorted(state.rollout.signed.targets)]
    if wanted is None and len(there) == 1:
        return line(there[0])
    if wanted in there:
        return line(wanted)
    lacks = f"has no releases of {wanted}" if wanted else f"has {len(there)} lines of releases"
    raise RepositoryError(f"{store.address} {lacks}", remedy=f"There are: {', '.join(there) or 'none'}.")


def _targets(store: Store, state: State, of: Line, versions: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all that a client of the line may ask for."""
    yield _target(store, state.rollout.signed.targets[rollout_path(of)])
    folders = tuple(f"{release_folder(of.model, version(text), '')}" for text in versions)
    for path, target in sorted(state.targets.signed.targets.items()):
        if path == policy_path(of) or path.startswith((f"models/{of}/patches/", *folders)):
            yield _target(store, target)


def _target(store: Store, target: TargetFile) -> tuple[str, bytes]:
    content = trust.read_target(store, target, target.length)
    return f"targets/{target.get_prefixed_paths()[0]}", content
