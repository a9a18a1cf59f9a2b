"""What a power cut may take: nothing that the state refers to. Seen in the system calls of a real update."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from tests.device_repository import LINE, Published, served

from .conftest import EDGESHIP, Script

_CALLS = "write,fsync,rename,link,linkat,mkdir,copy_file_range,sendfile"
_HANDLE = re.compile(r"(write|fsync)\(\d+<([^>]+)>")
_COPY = re.compile(r"(?:copy_file_range|sendfile)\((\d+)<[^>]+>, (?:NULL, )?(?:(\d+)<([^>]+)>)?")
_PATH = r'(?:AT_FDCWD(?:<[^>]*>)?, )?"([^"]+)"'
_NAMES = re.compile(rf"(rename|link|linkat|mkdir)\({_PATH}(?:, {_PATH})?.*\) = 0")
#: May be lost at any time, and may be half written.
_MAY_BE_LOST = ("tuf", "starts", "metrics.json")


@dataclass
class Disk:
    """What is not yet on the disk: contents of files, and names in folders."""

    folder: str
    contents: set[str] = field(default_factory=set)
    names: dict[str, set[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    commits: int = 0

    def counts(self, path: str) -> bool:
        inside = PurePosixPath(path).is_relative_to(self.folder)
        return inside and PurePosixPath(path).relative_to(self.folder).parts[:1] not in [(n,) for n in _MAY_BE_LOST]

    def see(self, line: str) -> None:
        if (found := _HANDLE.search(line)) is not None:
            call, path = found.groups()
            if call == "write" and self.counts(path):
                self.contents.add(path)
            elif call == "fsync":
                self.contents.discard(path)
                self.names.pop(path, None)
        elif (found := _NAMES.search(line)) is not None:
            call, first, second = found.groups()
            self.name(call, first, second or first)

    def name(self, call: str, source: str, target: str) -> None:
        if not self.counts(target):
            return
        late = {path for path in self.contents if path == source or path.startswith(f"{source}/")}
        late |= {path for path in self.names if path == source or path.startswith(f"{source}/")}
        if call in ("rename", "link", "linkat") and late:
            self.wrong.append(f"{call} to {target} before {sorted(late)} are on the disk")
        if PurePosixPath(target).name == "state.json":
            self.commits += 1
            if self.contents or self.names:
                self.wrong.append(f"the state is written before {sorted(self.contents)} {self.names}")
        self.names.setdefault(str(PurePosixPath(target).parent), set()).add(target)


def test_everything_is_on_the_disk_before_the_state_refers_to_it(edgeship: Script, tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    published = Published(tmp_path / "publisher")
    published.now = datetime.now(UTC)
    published.release("1.0.0", 1)
    (tmp_path / "root.json").write_bytes(published.root)
    script = replace(edgeship, env={**edgeship.env, "EDGESHIP_DEVICE_DIR": str(tmp_path / "devices")})
    with served(tmp_path / "publisher/repo") as server:
        script("device", "init", "--repo", server.url, "--root", tmp_path / "root.json", "--line", str(LINE))
        assert script("device", "update").code == 0
        published.release("1.1.0", 2, padding=10_000)
        published.rollout("1.1.0")
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-y", "-o", str(trace), "-e", f"trace={_CALLS}", str(EDGESHIP), "device", "update"]
        subprocess.run(command, env=script.env, check=True, capture_output=True, timeout=300)
    disk = Disk(str(tmp_path / "devices" / LINE.model))
    lines = trace.read_text().splitlines()
    for line in lines:
        disk.see(line)
    assert disk.wrong == []
    assert disk.commits >= 2, "the state was written for the release and for the check"
    assert disk.contents == set()
    left = {name for names in disk.names.values() for name in names}
    assert not [name for name in left if PurePosixPath(name).name in ("state.json", "release.json", "b")]
    assert not [line for line in lines if _COPY.search(line) and str(disk.folder) in line], "copies are looked at, too"
