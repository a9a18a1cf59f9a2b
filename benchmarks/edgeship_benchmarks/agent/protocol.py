"""Requests and answers of an agent.

It reads one JSON request a line from standard input and answers on standard output, `{"result": ...}` or
`{"error": {"type", "message", "remedy"}}`, after any number of `{"progress": ...}` lines; what libraries print goes to
standard error. Operations: the methods of `Agent`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from edgeship_benchmarks.agent.faults import Fault
from edgeship_benchmarks.agent.operations import Agent


def end_with_parent() -> None:
    """Let no measurement outlive the process that asked for it (Linux; elsewhere it ends with standard input)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    """Answer requests until standard input ends."""
    end_with_parent()
    faulthandler.enable()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def send(message: dict[str, Any]) -> None:
        channel.write(json.dumps(message, allow_nan=False) + "\n")
        channel.flush()

    agent = Agent(send)
    operations: dict[str, Callable[..., dict[str, Any]]] = {
        "load": agent.load,
        "run": agent.run,
        "warm_up": agent.warm_up,
        "measure": agent.measure,
        "processing": agent.processing,
        "throughput": agent.throughput,
        "prefixes": agent.prefixes,
        "trace": agent.trace,
        "delegate": agent.delegate,
        "memory": agent.memory,
        "describe": agent.describe,
    }
    for line in sys.stdin:
        try:
            request = json.loads(line)
            operation = operations[request.pop("op")]
            send({"result": operation(**request)})
        except Fault as fault:
            send({"error": {"type": fault.kind, "message": fault.message, "remedy": fault.remedy}})
        except MemoryError:
            send({"error": {"type": "ChildOutOfMemory", "message": "the agent ran out of memory", "remedy": ""}})
        except Exception as error:  # noqa: BLE001 - the boundary: every failure becomes an answer
            traceback.print_exc()
            message = f"{type(error).__name__}: {error}"
            send({"error": {"type": "EdgeshipError", "message": message, "remedy": ""}})
