"""Google's `edgetpu_compiler`, a program for Linux on x86-64 that users install themselves: called, bounded, checked.

Its command line and messages are those of its documentation (coral.ai, docs/edgetpu/compiler) and of the logs of
version 16.0. Its exit status is not documented, so only the file that it leaves behind counts as success.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgeship.child import Limits, Worker
from edgeship.edgetpu.placement import Placement, Report
from edgeship.edgetpu.predict import SUFFIX, predict
from edgeship.errors import (
    ArtifactError,
    ChildCrashed,
    ChildTimeout,
    EdgeshipError,
    OutputError,
    TargetUnavailable,
    UnsupportedModelError,
)
from edgeship.files import storage_errors, write_text

PROGRAM = "edgetpu_compiler"
REMEDY = "It runs on Linux with an x86-64 processor: https://coral.ai/docs/edgetpu/compiler/ says how to install it."

#: Most of its output that is read, and most that it may write.
_OUTPUT_BYTES = 1 << 20
_FILE_BYTES = 1 << 30

#: A row of its table: operator, how many, status.
_ROW = re.compile(r"^([A-Z][A-Z0-9_]*)\s+(\d+)\s{2,}(\S.*?)\s*$", re.MULTILINE)
_MAPPED = "Mapped to Edge TPU"
_ON_CPU = re.compile(r"^Number of operations that will run on CPU: (\d+)", re.MULTILINE)
_VERSION = re.compile(r"Edge TPU Compiler version (\S+)")
_MEMORY = re.compile(r"^(O(?:n|ff)-chip memory .+?): ([\d.]+)(B|KiB|MiB|GiB)\s*$", re.MULTILINE)
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
#: What it says where it gives up.
_COMPLAINTS = re.compile(
    r"^(ERROR: .+|Compilation failed: .+|Invalid model: .+|Model .+|Internal compiler error.*)$", re.M
)


@dataclass(frozen=True)
class Status:
    """A row of the compiler's log: so many operators of a kind, and what became of them in its words."""

    kind: str
    count: int
    status: str


@dataclass(frozen=True)
class Compiled:
    """What the compiler made.

    Attributes:
        file: the compiled model.
        version: of the compiler.
        report: where each operator went, read from the file.
        statuses: the compiler's own words for it.
        memory_bytes: what it says of the memory on the chip and beside it, rounded as it prints it.
        hits: operators whose place was predicted for certain, and right.
        misses: operators that were predicted for certain, and wrong.
    """

    file: Path
    version: str
    report: Report
    statuses: tuple[Status, ...]
    memory_bytes: dict[str, int]
    hits: int
    misses: int


def find() -> str | None:
    """The path of the compiler, if the user has it."""
    return shutil.which(PROGRAM)


def compile_file(path: Path, out_dir: Path, limits: Limits) -> Compiled:
    """Compile a quantized .tflite file into `out_dir/NAME_edgetpu.tflite`, with the compiler's log beside it.

    Raises:
        TargetUnavailable: the compiler is not installed.
        UnsupportedModelError: it refuses the model; the message has its words.
        ArtifactError: `path` is no .tflite file, or compiled already.
        OutputError: the file is there already, or cannot be written.
        ChildTimeout, ChildCrashed: it took too long, or died.
    """
    program = find()
    if program is None:
        raise TargetUnavailable(f"{PROGRAM} is not on the PATH", remedy=REMEDY)
    target = out_dir / f"{path.stem}{SUFFIX}.tflite"
    # The file may come from anywhere, and what is made of it too: a child with limits reads both.
    with tempfile.TemporaryDirectory(prefix="edgeship-edgetpu-") as folder, Worker(limits) as worker:
        predicted = worker.call(predict, path=path)
        if predicted.basis != "predicted":
            raise ArtifactError(f"{path} has been compiled already", remedy="Give the file that it was made from.")
        for wanted in (target, target.with_suffix(".log")):
            if wanted.exists():
                raise OutputError(f"{wanted} exists", remedy="Give another folder, or remove the file.")
        place = Path(folder)
        # A name of our own: the user's may begin with a dash.
        given = place / "model.tflite"
        shutil.copyfile(path, given)
        output = _run([program, "--show_operations", "--out_dir", str(place), str(given)], limits)
        made = place / f"model{SUFFIX}.tflite"
        report = _checked(worker, path, made, output)
        _keep(made, target, output)
    return _described(target, report, output, predicted, path)


def _keep(made: Path, target: Path, output: str) -> None:
    """The compiled file, whole or not at all, and the compiler's log."""
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".edgeship-", dir=target.parent) as folder:
            part = Path(folder) / target.name
            shutil.copyfile(made, part)
            part.replace(target)
    write_text(target.with_suffix(".log"), output)


def _described(target: Path, report: Report, output: str, predicted: Report, original: Path) -> Compiled:
    pairs = [(p.place, a.place) for p, a in zip(predicted.operators, report.operators, strict=True)]
    version = _VERSION.search(output)
    return Compiled(
        file=target,
        version=version[1] if version else "unknown",
        report=replace(report, file=target, original=original, operators=_reasons(report, output)),
        statuses=statuses(output),
        memory_bytes={name: round(float(size) * _UNITS[unit]) for name, size, unit in _MEMORY.findall(output)},
        hits=sum(expected == actual for expected, actual in pairs),
        misses=sum(expected not in ("uncertain", actual) for expected, actual in pairs),
    )


def _reasons(report: Report, output: str) -> tuple[Placement, ...]:
    """The placements with the compiler's words, where it has one for all operators of a kind that it left out."""
    words: dict[str, set[str]] = {}
    for row in statuses(output):
        if row.status != _MAPPED:
            words.setdefault(row.kind, set()).add(row.status)
    return tuple(
        replace(operator, reason=f"the compiler says: {next(iter(words[operator.kind]))}")
        if operator.place == "cpu" and len(words.get(operator.kind, ())) == 1
        else operator
        for operator in report.operators
    )


def statuses(output: str) -> tuple[Status, ...]:
    """The table of operators in the compiler's output or log."""
    return tuple(Status(kind, int(count), status) for kind, count, status in _ROW.findall(output))


def _checked(worker: Worker, path: Path, made: Path, output: str) -> Report:
    """Where each operator went, if the compiler left a file that is what it says. Raises UnsupportedModelError."""
    if not made.is_file():
        words = "; ".join(dict.fromkeys(_COMPLAINTS.findall(output))) or "it does not say why"
        raise UnsupportedModelError(
            f"{PROGRAM} refuses {path.name}: {words}", remedy="edgeship inspect FILE --edgetpu says what to change."
        )
    try:
        report = worker.call(predict, path=made)
    except ArtifactError as error:
        raise ChildCrashed(f"{PROGRAM} left a file that cannot be read: {error.message}") from error
    if report.basis == "predicted":
        words = "; ".join(f"{s.count} {s.kind}: {s.status}" for s in statuses(output)) or "it does not say why"
        raise UnsupportedModelError(
            f"{PROGRAM} maps no operator of {path.name}: {words}",
            remedy="edgeship inspect FILE --edgetpu says what to change.",
        )
    if report.basis != "compared":
        raise ChildCrashed(f"{PROGRAM} left a file that is not made from {path.name}: {'; '.join(report.notes)}")
    said = _ON_CPU.search(output)
    if said is not None and int(said[1]) != report.cpu:
        raise EdgeshipError(f"{PROGRAM} says that {said[1]} operators stay on the CPU; its file holds {report.cpu}")
    return report


def _run(command: Sequence[str], limits: Limits) -> str:
    """Run the compiler in a process group of its own; what it printed. Raises ChildTimeout, ChildCrashed."""
    with tempfile.TemporaryFile() as stream:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True
            )
        except OSError as error:
            raise TargetUnavailable(f"cannot start {command[0]}: {error}", remedy=REMEDY) from error
        try:
            _bound(process.pid, limits)
            status = process.wait(timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            raise ChildTimeout(
                f"{PROGRAM} took longer than {limits.seconds:g} s and was stopped",
                remedy="Raise the limit with --time-limit SECONDS.",
            ) from None
        finally:
            _end(process)
        output = os.pread(stream.fileno(), _OUTPUT_BYTES, 0).decode(errors="replace")
    if status < 0:
        tail = "\n".join(output.splitlines()[-8:])
        raise ChildCrashed(f"{PROGRAM} died of {signal.Signals(-status).name}", remedy=f"Its last lines:\n{tail}")
    return output


def _bound(pid: int, limits: Limits) -> None:
    if sys.platform != "linux":
        return
    import resource

    bounds = [(resource.RLIMIT_FSIZE, _FILE_BYTES)]
    if limits.memory_mib is not None:
        bounds.append((resource.RLIMIT_DATA, limits.memory_mib << 20))
    for kind, bound in bounds:
        try:
            resource.prlimit(pid, kind, (bound, bound))
        except ProcessLookupError:
            return  # it has ended already


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it started: from version 16 on it compiles in a child of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # all gone
    process.wait()
