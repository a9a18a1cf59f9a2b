"""The agent with marks around each inference in LiteRT, which the plugin `instructions.c` counts between.

Started as `python counted_agent.py AGENT`, inside the emulator, where there is no edgeship; speaks as `agent.py` does.
"""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from typing import Any

#: As in `instructions.c`.
_MARK, _BEGIN, _END = 0x7777, 0, 1

_spec = importlib.util.spec_from_file_location("agent", sys.argv[1])
assert _spec is not None
assert _spec.loader is not None
agent: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(agent)
_mark = ctypes.CDLL(None).getpriority


class CountedLiteRT(agent.LiteRT):  # type: ignore[misc] # loaded from a path that is known only while running
    """A .tflite file whose inferences, without setting inputs and reading outputs, are between marks."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        invoke = self._lite.invoke

        def between_marks() -> None:
            _mark(_MARK, _BEGIN)
            invoke()
            _mark(_MARK, _END)

        self._lite.invoke = between_marks


if __name__ == "__main__":
    agent.RUNTIMES["litert"] = CountedLiteRT
    agent.main()
