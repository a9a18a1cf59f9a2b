"""What a process changes on the disk, call by call, as strace sees it; and how to kill it at one of the calls."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

#: Calls that may change what is on a disk, or bring it there.
CALLS = (
    "open,openat,creat,write,writev,pwrite64,pwritev,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,"
    "link,linkat,symlink,symlinkat,fsync,fdatasync,sync_file_range,ftruncate,truncate,fallocate,chmod,fchmod,fchmodat,"
    "copy_file_range,sendfile"
)
_LINE = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+|\?)(.*)", re.DOTALL)
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_HANDLE = re.compile(r"(?:\d+|AT_FDCWD)<((?:[^>\\]|\\.)*)>")
_TEMPORARY = re.compile(r"/tmp[a-z0-9_]{8}(?=/|$)")


@dataclass(frozen=True)
class Call:
    """A call that changes something in the traced folder.

    Attributes:
        name: of the system call.
        number: how many calls of that name the main thread had made, this one included.
        paths: absolute; what it is about, and where that goes.
        flags: what else it was given, as text.
        content: what was written.
    """

    name: str
    number: int
    paths: tuple[Path, ...]
    flags: str
    content: bytes = b""

    @property
    def creates(self) -> bool:
        return "O_CREAT" in self.flags or self.name == "creat"

    @property
    def truncates(self) -> bool:
        return "O_TRUNC" in self.flags or self.name == "creat"

    def __str__(self) -> str:
        names = " ".join(_TEMPORARY.sub("/tmp", str(path)) for path in self.paths)
        return f"{self.name} {names}"


def needed() -> str:
    """The path of strace; without it, and where it may not trace, the test is skipped."""
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs strace, and that it may trace processes")
    return found


def command(folder: Path) -> list[str]:
    """An update of the device in that folder."""
    start = "from edgeship.cli import main; main()"
    return [sys.executable, "-P", "-c", start, "device", "update", "--dir", str(folder)]


def environment() -> dict[str, str]:
    """One in which a process makes the same calls each time."""
    return {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC"}


def traced(run: Sequence[str], folder: Path, logs: Path) -> list[Call]:
    """Run a command, and list what it changes in a folder; all of that is done by its main thread."""
    logs.mkdir()
    options = ["-ff", "-qq", "-y", "-s", "100000000", "-e", f"trace={CALLS}", "-o", str(logs / "log")]
    with subprocess.Popen([needed(), *options, *run], stdout=subprocess.PIPE, env=environment()) as process:
        output, _ = process.communicate()
    assert process.returncode == 0, output
    threads = {path: list(_calls(path, folder)) for path in sorted(logs.iterdir(), key=_thread)}
    main, *others = threads.values()
    assert not any(others), "another thread or process changes the device's folder"
    return main


def _thread(path: Path) -> int:
    return int(path.name.rpartition(".")[2])


def _calls(log: Path, folder: Path) -> Iterator[Call]:
    counts: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        name, given, answer, _ = found.groups()
        counts[name] += 1
        if answer.startswith("-") or answer == "?":
            continue
        call = Call(name, counts[name], tuple(_paths(name, given)), _STRING.sub("", given), _content(name, given))
        reads = name in ("open", "openat") and not ("O_CREAT" in given or "O_TRUNC" in given)
        if not reads and any(path.is_relative_to(folder) for path in call.paths):
            yield call


def _text(found: str) -> str:
    return found.encode("latin-1", "backslashreplace").decode("unicode_escape")


def _paths(name: str, given: str) -> Iterator[Path]:
    """Those of a call; relative ones from the folder whose handle comes before them."""
    if name in ("write", "writev", "pwrite64", "pwritev", "sendfile", "copy_file_range") or _is_by_handle(name):
        given = given.partition('"')[0]
        yield from (Path(_text(found[1])) for found in list(_HANDLE.finditer(given))[:1])
        return
    at = Path("/")
    for found in re.finditer(f"{_HANDLE.pattern}|{_STRING.pattern}", given):
        if found[1] is not None:
            at = Path(_text(found[1]))
        else:
            yield at / _text(found[2])


def _is_by_handle(name: str) -> bool:
    return name in ("fsync", "fdatasync", "sync_file_range", "ftruncate", "fallocate", "fchmod")


def _content(name: str, given: str) -> bytes:
    if name != "write":
        return b""
    found = _STRING.search(given)
    assert found is not None
    return _text(found[1]).encode("latin-1")


def killed(run: Sequence[str], call: Call, log: Path) -> str:
    """Run a command until it makes that call, which it does not survive; what it was about to do, as in a trace."""
    inject = f"inject={call.name}:signal=KILL:when={call.number}"
    options = ["-qq", "-y", "-s", "0", "-e", f"trace={call.name}", "-e", inject, "-o", str(log)]
    with subprocess.Popen([needed(), *options, *run], stdout=subprocess.PIPE, env=environment()) as process:
        output, _ = process.communicate()
    assert process.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), output
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.startswith(call.name)]
    given = lines[-1].partition("(")[2]
    return str(Call(call.name, call.number, tuple(_paths(call.name, given)), ""))


def counted(calls: Sequence[Call]) -> Mapping[str, int]:
    """How many there are of each."""
    return Counter(call.name for call in calls)
