"""A child that has LiteRT loaded, and forks for each request: a process for each self-test, without its start.

What runs in it is the client's own code. Two requests, one per line, answered as `edgeship.child` wants it:

    {"trial": {...}}                                   edgeship.device.trial.examine, in a process that may crash
    {"update": {"folder", "now", "kill"}}              a whole check for updates, killed at its n-th change of a file:
                                                       what came of it, or "killed"
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from edgeship.child import Child, Limits
from edgeship.device import trial, updating
from edgeship.device.config import Place
from edgeship.errors import ChildCrashed, EdgeshipError, to_wire
from edgeship_benchmarks.agent.protocol import end_with_parent

_LIMITS = Limits(seconds=300.0, memory_mib=1024)
#: What changes files, as Python's audit events name it.
_CHANGES = frozenset({"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "shutil.rmtree"})


class Warm:
    """The child, for the one thread of a worker. `trying` takes the place of the client's `Child` of a self-test."""

    def __init__(self) -> None:
        self._child: Child | None = None

    def request(self, message: Mapping[str, Any]) -> Any:
        """Raises the errors of the client, ChildCrashed among them."""
        if self._child is None or not self._child.alive:
            self.close()
            self._child = Child([sys.executable, "-m", __name__], name="the self-test", limits=_LIMITS)
        return self._child.request(message)

    def close(self) -> None:
        """End it."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def trying(self, *_: object, **__: object) -> _Trying:
        """What `edgeship.device.selftest` opens for one self-test."""
        return _Trying(self)


class _Trying:
    def __init__(self, warm: Warm) -> None:
        self._warm = warm

    def __enter__(self) -> _Trying:
        return self

    def __exit__(self, *_: object) -> None:
        pass  # the process of this self-test has ended with its answer

    def request(self, message: Mapping[str, Any]) -> Any:
        return self._warm.request({"trial": message})


def _update(folder: str, now: str, kill: int) -> str:
    """A check for updates that kills this process at its n-th change of a file; its result, if it came so far."""
    left = kill

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _CHANGES or (event == "open" and _writes(arguments)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    moment = datetime.fromisoformat(now)
    sys.addaudithook(count)
    return updating.update(Place(Path(folder)), now=lambda: moment).result


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR))


def _answer(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"result": work()}
    except EdgeshipError as error:
        return {"error": to_wire(error)}


def _forked(work: Callable[[], Any], *, killed: dict[str, Any] | None = None) -> bytes:
    """The answer of a process of its own, as a line; `killed`: what to answer for one that was killed."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        end_with_parent()
        try:
            os.write(writing, json.dumps(_answer(work)).encode() + b"\n")
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        line = file.read()
    _, status = os.waitpid(pid, 0)
    if line:
        return line
    ended = os.waitstatus_to_exitcode(status)
    if killed is None or ended != -signal.SIGKILL:
        killed = {"error": to_wire(ChildCrashed(f"the process ended with {ended}"))}
    return json.dumps(killed).encode() + b"\n"


def main() -> None:
    """Answer requests until there are no more."""
    end_with_parent()
    channel = os.dup(1)
    os.dup2(2, 1)
    while line := sys.stdin.readline():
        message = json.loads(line)
        if "trial" in message:
            content = _forked(partial(trial.examine, **message["trial"]))
        else:
            content = _forked(partial(_update, **message["update"]), killed={"result": "killed"})
        os.write(channel, content)


if __name__ == "__main__":
    main()
