"""The child process in which everything runs that may crash: loading models, training, converting.

Started as `python -m edgeship_converters.worker` by `edgeship.child.Worker`; reads one JSON request a line from
standard input, answers on standard output (see `edgeship.child`). Requests come from the parent process only.
"""

from __future__ import annotations

import faulthandler
import importlib
import inspect
import json
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TextIO, get_type_hints

from edgeship.codec import from_data, to_data
from edgeship.errors import to_wire
from edgeship.types import Progress


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


def main() -> None:
    """Answer requests until standard input ends."""
    faulthandler.enable()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
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
