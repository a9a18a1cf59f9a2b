"""The child process in which everything runs that may crash: loading models, training, converting.

Started as `python -P -m edgeship_converters.worker` by `edgeship.child.Worker`; reads one JSON request a line from
standard input, answers on standard output (see `edgeship.child`). Requests come from the parent process only.
"""

from __future__ import annotations

import ctypes
import faulthandler
import hashlib
import importlib
import inspect
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, get_type_hints

from edgeship.cache import root
from edgeship.codec import from_data, to_data
from edgeship.errors import to_wire
from edgeship.types import Progress

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _resolve(reference: str) -> Callable[..., Any]:
    module, _, name = reference.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise TypeError(f"{reference} is not callable")
    return found  # type: ignore[no-any-return] # checked to be callable one line above


def _bind(function: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Rebuild the values from the plain data of a request, by the function's annotations."""
    hints = get_type_hints(function)
    return {name: from_data(hints[name], value) for name, value in arguments.items()}


def _answer(request: Mapping[str, Any], send: Callable[[Mapping[str, Any]], None]) -> None:
    function = _resolve(request["call"])
    arguments = _bind(function, request["arguments"])
    if "progress" in inspect.signature(function).parameters:

        def progress(event: Progress) -> None:
            send({"progress": to_data(event)})

        arguments["progress"] = progress
    send({"result": to_data(function(**arguments))})


def _private_output() -> TextIO:
    """Keep standard output for answers; what libraries print goes to standard error."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return channel


def _end_with_parent() -> None:
    """Let no work outlive the process that asked for it, however that ended.

    An idle child ends with its standard input anyway. On Linux the kernel kills it when the parent's thread that
    started it is gone; elsewhere a thread looks after the parent.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int, seconds: float = 1.0) -> None:
    while os.getppid() == parent:
        time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def _standard_keras() -> None:
    """Keep what the user has set for Keras (backend, float type, image layout) from changing results.

    Keras gets a home of ours with default settings; what the user's has downloaded stays in use.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    theirs = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").absolute()
    home = root() / "keras" / hashlib.sha256(str(theirs).encode()).hexdigest()[:16]
    try:
        home.mkdir(parents=True, exist_ok=True)
        for name in ("datasets", "models"):
            (theirs / name).mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                (home / name).symlink_to(theirs / name)
    except OSError:
        home = Path(os.devnull) / "keras"  # cannot exist; Keras then takes its defaults
    os.environ["KERAS_HOME"] = str(home)


def main() -> None:
    """Answer requests until standard input ends."""
    _end_with_parent()
    faulthandler.enable()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    _standard_keras()
    channel = _private_output()

    def send(message: Mapping[str, Any]) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    for line in sys.stdin:
        try:
            _answer(json.loads(line), send)
        except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes an answer
            traceback.print_exc()
            send({"error": to_wire(error)})


if __name__ == "__main__":
    main()
