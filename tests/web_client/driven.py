"""The web client in Node, driven from here: built from its source, from which guards may be taken away."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from edgeship.device.config import Config, Limits, Place
from tests.attacks.world import SEEDS, VARIANT, Origin, World, copied, plain
from tests.device_repository import LINE, NOW, served
from tests.web_project import bundled

from .guards import GUARDS

#: Little patience, so that tests of slow servers are quick.
LIMITS = Limits(seconds=5.0, bytes_per_second=1000)


def built(web: Path, folder: Path, without: tuple[str, ...] = ()) -> Path:
    """The driver in one file, from a copied project, without these guards."""
    own = folder / "web"
    for part in ("src/updates", "tests/updates"):
        shutil.copytree(web / part, own / part)
    for name in without:
        for file, find, replacement in GUARDS[name]:
            path = own / "src/updates" / file
            source = path.read_text(encoding="utf-8")
            assert source.count(find) == 1, f"{name}: {file} has {source.count(find)} times {find}"
            path.write_text(source.replace(find, replacement), encoding="utf-8")
    return bundled(own, "tests/updates/driver.ts", folder / "driver.mjs", "--platform=node")


class Driver:
    """A Node process that updates clients."""

    def __init__(self, script: Path) -> None:
        self._process = subprocess.Popen(
            ["node", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def ask(self, **request: Any) -> dict[str, Any]:
        """One answer. Fails where the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the driver ended"
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()


@contextmanager
def driver(script: Path) -> Iterator[Driver]:
    """A driver, until the block ends."""
    found = Driver(script)
    try:
        yield found
    finally:
        found.close()


@dataclass
class Page:
    """A client with its stores on the disk, in place of a device: attacks set its clock and its patience.

    Attributes:
        place: `tuf` of it is the client's store of state and metadata.
    """

    driver: Driver
    repository: str
    root: bytes
    folder: Path
    now: datetime = NOW
    config: Config = field(default_factory=lambda: Config("http://unused", str(LINE), (VARIANT,), limits=LIMITS))

    @property
    def place(self) -> Place:
        return _Stores(self.folder)

    def set(self, limits: Limits) -> None:
        self.config = Config("http://unused", str(LINE), (VARIANT,), limits=limits)

    def ask(self, op: str) -> dict[str, Any]:
        limits = self.config.limits
        return self.driver.ask(
            op=op,
            folder=str(self.folder),
            repository=self.repository,
            root=base64.b64encode(self.root).decode(),
            line=str(LINE),
            variants=[VARIANT],
            now=int(self.now.timestamp() * 1000),
            limits={"seconds": limits.seconds, "bytesPerSecond": limits.bytes_per_second},
        )


@dataclass(frozen=True)
class _Stores(Place):
    """Where attacks on local metadata find them."""

    @property
    def tuf(self) -> Path:
        return self.folder / "state"


class WebWorld(World):
    """A repository, its server, and a web client that was given a release before the attack."""

    page: Page

    def attempt(self, *, check_only: bool = False) -> str:
        found = self.page.ask("check" if check_only else "update")
        if "error" in found:
            return f"{found['error']}{'' if self.is_honest() else '; hostile'}"
        outcome: Mapping[str, Any] = found["outcome"]
        said = f"{outcome['result']} {outcome['version']}: refused: {'; '.join(outcome['refused'])}"
        return said if self.is_honest() else f"{said}; hostile"

    def is_honest(self) -> bool:
        found = self.page.ask("active")
        model = hashlib.sha256(plain(found["version"])).hexdigest() if found.get("version") in SEEDS else None
        return model is not None and found["model"] == model

    def check_serving(self, version: str) -> None:
        assert self.is_honest()
        assert self.page.ask("active")["version"] == version


@contextmanager
def web_world(origin: Origin, folder: Path, runs: str, client: Driver) -> Iterator[WebWorld]:
    """A copy of everything, for one attack."""
    published = copied(origin, folder)
    with served(published.folder / "repo") as server:
        page = Page(client, server.url, published.root, folder / "device")
        here = WebWorld(origin, published, server, page, None, runs)  # type: ignore[arg-type]
        here.page = page
        if runs == "1.0.0":
            newest = folder / "newest"
            here.repo.rename(newest)
            shutil.copytree(origin.folder / "repo-1.0.0", here.repo)
        assert here.attempt().startswith(f"updated {runs}: ")
        if runs == "1.0.0":
            shutil.rmtree(here.repo)
            newest.rename(here.repo)
        yield here
