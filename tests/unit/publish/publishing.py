"""What the tests of publishing share."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests import device_repository
from tuf.ngclient import Updater

from edgeship import manifest as manifests
from edgeship.publish import keymaking, keys, release
from edgeship.publish.keys import KeySet
from edgeship.publish.release import Published
from edgeship.publish.repository import Repository
from edgeship.publish.stores import FolderStore, Stored
from edgeship.releases.names import line, rollout_path, version
from edgeship.types import Manifest

LINE = line("points/v1")
#: Without running golden samples, which `test_cautions.py` is about.
publish = functools.partial(release.publish, examine=device_repository.unexamined)


class Site:
    """A publisher: bundles, keys, a repository, and a clock that the test sets."""

    def __init__(self, folder: Path, **making: Any) -> None:
        self.folder, self.later = folder, timedelta()
        self.keys = keymaking.create(folder / "keys", keymaking.Making(**making), dev=True)
        self.store = FolderStore(folder / "repo")
        self.repository = self.with_keys(self.keys)
        self._bundles = 0

    def with_keys(self, keys: KeySet, store: Any = None) -> Repository:
        return Repository(store or self.store, keys, lambda: datetime.now(UTC) + self.later)

    def bundle(self, seed: int, edit: Callable[[Manifest], Manifest] = lambda found: found, **made: Any) -> Path:
        """A bundle; the seed is of its weights and names the model it was made from."""
        self._bundles += 1
        place = device_repository.bundle(self.folder / f"bundle-{self._bundles}", seed, **made)
        found, _ = manifests.read_file(place / manifests.NAME)
        (place / manifests.NAME).write_bytes(manifests.written(edit(found)))
        return place

    def publish(self, seed: int, text: str | None = None, **made: Any) -> Published:
        wanted = None if text is None else version(text)
        place = self.bundle(seed, **made)
        return publish(self.repository, [place], version=wanted)

    def json(self, path: str) -> Any:
        return json.loads((self.folder / "repo" / path).read_bytes())

    def copy(self) -> Path:
        """Repository and keys as they are, for `restore`."""
        place = self.folder / f"copy-{len(list(self.folder.glob('copy-*')))}"
        for name in ("repo", "keys"):
            shutil.copytree(self.folder / name, place / name)
        return place

    def restore(self, place: Path) -> None:
        for name in ("repo", "keys"):
            shutil.rmtree(self.folder / name)
            shutil.copytree(place / name, self.folder / name)
        self.keys = keys.load([self.folder / "keys"])
        self.repository = self.with_keys(self.keys)

    def files(self) -> dict[str, bytes]:
        folder = self.folder / "repo"
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Client:
    """A client of python-tuf with its own trusted metadata."""

    def __init__(self, folder: Path, url: str, root: bytes) -> None:
        folder.mkdir()
        self.folder, self.url, self._bootstrap = folder, url, root

    def updater(self) -> Updater:
        """Refreshed. Raises what python-tuf does for a repository that is not to be trusted."""
        where = {"target_base_url": f"{self.url}/targets/", "target_dir": str(self.folder)}
        made = Updater(str(self.folder), f"{self.url}/metadata/", bootstrap=self._bootstrap, **where)
        self._bootstrap = None
        made.refresh()
        return made

    def read(self, path: str) -> bytes | None:
        """A target, verified; None: there is none."""
        updater = self.updater()
        found = updater.get_targetinfo(path)
        return None if found is None else Path(updater.download_target(found)).read_bytes()

    def rollout(self) -> Any:
        content = self.read(rollout_path(LINE))
        assert content is not None
        return json.loads(content)


class Killed(Exception):
    """Stands for the end of the publisher's process."""


class Dying(FolderStore):
    """Dies before its n-th write; what was written stays."""

    def __init__(self, folder: Path, writes: int) -> None:
        super().__init__(folder)
        self.left = writes

    def create(self, path: str, content: bytes) -> bool:
        if not (self.folder / path).exists():
            self._count()
        return super().create(path, content)

    def replace(self, path: str, content: bytes, tag: str) -> bool:
        found = self.read(path, 1 << 20)
        if found is not None and found.tag == tag:
            self._count()
        return super().replace(path, content, tag)

    def _count(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1


class Raced(FolderStore):
    """Lets somebody else publish after a file was read for the first time."""

    def __init__(self, folder: Path, path: str, others: list[Callable[[], object]]) -> None:
        super().__init__(folder)
        self._path, self._others = path, others

    def read(self, path: str, limit_bytes: int) -> Stored | None:
        found = super().read(path, limit_bytes)
        if path == self._path and self._others:
            self._others.pop(0)()
        return found


def same_source(seed: int) -> Callable[[Manifest], Manifest]:
    """A change of a manifest: made from the model with this seed."""
    import hashlib

    digest = hashlib.sha256(str(seed).encode()).hexdigest()

    def edit(found: Manifest) -> Manifest:
        return replace(found, lineage=replace(found.lineage, source=replace(found.lineage.source, sha256=digest)))

    return edit


def other_labels(found: Manifest) -> Manifest:
    return replace(found, labels=("a", "b", "c"))


def as_variant(name: str) -> Callable[[Manifest], Manifest]:
    return lambda found: replace(found, variant=name, artifact=f"tflite/{name}")
