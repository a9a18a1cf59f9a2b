"""Puts the light runtime on a board, into a folder of its own in the user's cache there, and finds it again."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import suppress

from edgeship.errors import ConnectionLost, StorageFullError, TargetUnavailable, UnavailableError
from edgeship.types import Progress, ProgressCallback
from edgeship_benchmarks.boards import wheels
from edgeship_benchmarks.boards.pins import Pin
from edgeship_benchmarks.transports.lease import Board
from edgeship_benchmarks.transports.ssh import Connection

_SECONDS = 900
#: Architecture of 32-bit ARM systems, which LiteRT leaves to its predecessor.
NARROW = "armv7l"

_IS_THERE = '[ -d "$1" ] && echo yes || echo no'
# A mark for each wheel that is whole: what a broken connection left half-way is unpacked again.
_UNPACK = """mkdir -p "$1" && "$2" -c "
import sys, tarfile
tarfile.open(fileobj=sys.stdin.buffer, mode='r|gz').extractall(sys.argv[1])
" "$1" && : > "$1/.whole-$3" """
_UNPACKED = '[ -e "$1/.whole-$2" ] && echo yes || echo no'
_VERIFY = """PYTHONPATH="$1" "$2" -c "
import numpy
try:
    import ai_edge_litert as runtime
    from ai_edge_litert.interpreter import Interpreter
except ImportError:
    import tflite_runtime as runtime
    from tflite_runtime.interpreter import Interpreter
print('NumPy ' + numpy.__version__, runtime.__name__)
" """
_KEEP = '[ -d "$2" ] || mv "$1" "$2"'
_REMOVE = 'rm -rf "$1"'


def system_of(board: Board, name: str) -> wheels.System:
    """What decides which wheels fit. Raises TargetUnavailable where there is no Python."""
    if not board.python:
        raise TargetUnavailable(
            f"{name} has no Python 3 on the PATH of ssh commands", remedy="Get it there: sudo apt install python3"
        )
    if not board.version or not board.bits:
        raise TargetUnavailable(
            f"{name}: {board.python} does not run", remedy="Repair it there: sudo apt install --reinstall python3"
        )
    # A 64-bit kernel under a 32-bit system, as Raspberry Pi OS has it: what counts is the interpreter.
    narrow = {"aarch64": NARROW, "armv8l": NARROW, "x86_64": "i686"}
    machine = board.machine if board.bits == "64" else narrow.get(board.machine, board.machine)
    return wheels.System(board.version, machine, board.libc)


def runtime_folder(board: Board, name: str) -> str:
    """Where the runtime for a board is, or will be. Raises TargetUnavailable where there is none for it."""
    return f"{board.cache}/runtime/{wheels.key(wheels.pins_for(system_of(board, name)))}"


def is_prepared(connection: Connection, name: str) -> bool:
    """Whether the runtime is on the board. Raises as `runtime_folder`."""
    return connection.run(_IS_THERE, runtime_folder(connection.board, name)).strip() == b"yes"


def prepare(connection: Connection, name: str, progress: ProgressCallback) -> Sequence[str]:
    """Install the runtime; what was done, in sentences. A part that is there already is not sent again.

    Raises:
        TargetUnavailable: there is no runtime for the board, or it cannot be imported there.
        StorageFullError: the board's disk is full; what was sent is removed again.
        UnavailableError, MissingPackageError: pip here cannot download the wheels.
    """
    board = connection.board
    system = system_of(board, name)
    pins = wheels.pins_for(system)
    place = runtime_folder(board, name)
    if is_prepared(connection, name):
        return (f"ready already: {place}",)
    partial = f"{place}.partial"
    sent = 0
    try:
        for number, pin in enumerate(pins):
            progress(Progress(f"prepare {name}", number, len(pins) + 1, pin.requirement))
            if connection.run(_UNPACKED, partial, pin.sha256).strip() != b"yes":
                sent += _send(connection, pin, system, partial, progress)
        progress(Progress(f"prepare {name}", len(pins), len(pins) + 1, "import"))
        found = _verify(connection, partial, system, name)
    except StorageFullError:
        with suppress(UnavailableError):
            connection.run(_REMOVE, partial)
        raise
    connection.run(_KEEP, partial, place)
    progress(Progress(f"prepare {name}", len(pins) + 1, len(pins) + 1))
    warnings = _warnings(system)
    return (f"installed {found} for Python {system.python} on {system.machine}: {place} ({sent >> 20} MiB)", *warnings)


def _send(connection: Connection, pin: Pin, system: wheels.System, place: str, progress: ProgressCallback) -> int:
    """Unpack a wheel on the board; returns the bytes that it takes there."""
    wheel = wheels.download(pin, system, progress)
    with tempfile.TemporaryFile() as packed:
        size = wheels.write_tar(wheel, packed)
        packed.seek(0)
        connection.run(_UNPACK, place, connection.board.python, pin.sha256, stdin=packed, seconds=_SECONDS)
    return size


def _verify(connection: Connection, place: str, system: wheels.System, name: str) -> str:
    """What was imported; a runtime that cannot be is removed, so that the next try begins anew."""
    try:
        said = connection.run(_VERIFY, place, connection.board.python, seconds=_SECONDS)
    except (ConnectionLost, StorageFullError):
        raise
    except UnavailableError as error:
        connection.run(_REMOVE, place)
        remedy = "On a 64-bit system that is a defect: please report it, with the board's model."
        if system.machine == NARROW:
            remedy = "On a 32-bit system NumPy is the board's own: sudo apt install python3-numpy"
        raise TargetUnavailable(f"the runtime does not run on {name}: {error.message}", remedy=remedy) from error
    return said.decode(errors="replace").strip().splitlines()[-1][:100]


def _warnings(system: wheels.System) -> tuple[str, ...]:
    if system.machine != NARROW:
        return ()
    text = (
        "warning: this is a 32-bit system, for which no LiteRT is made. The old tflite-runtime takes its place: int8 "
    )
    return (text + "can be many times slower, and newer operations are missing. A 64-bit system gives real numbers.",)
