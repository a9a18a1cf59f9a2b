"""The agent with marks around each inference in LiteRT, which the plugin `instructions.c` counts between.

Started with the packed agent in PYTHONPATH, inside the emulator, where there is no edgeship; speaks as the agent does.
"""

from __future__ import annotations

import ctypes
from typing import Any

from edgeship_benchmarks.agent.litert import LiteRT
from edgeship_benchmarks.agent.operations import RUNTIMES
from edgeship_benchmarks.agent.protocol import main

#: As in `instructions.c`.
_MARK, _BEGIN, _END = 0x7777, 0, 1

_mark = ctypes.CDLL(None).getpriority


class CountedLiteRT(LiteRT):
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
    RUNTIMES["litert"] = CountedLiteRT
    main()
