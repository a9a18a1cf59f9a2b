"""Programs of this machine that emulation needs, run to their end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgeship.errors import TargetUnavailable


def run(command: Sequence[str], seconds: float, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """What a program said, and its status.

    Args:
        command: the program and its arguments.
        seconds: longest time that it may take.
        text: for its standard input.

    Raises:
        TargetUnavailable: it cannot be started, or does not end in time.
    """
    name = Path(command[0]).name
    try:
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise TargetUnavailable(f"{name} did not finish within {seconds:g} s", remedy="Try again.") from error
    except OSError as error:
        raise TargetUnavailable(f"{name} cannot be started: {error}") from error
