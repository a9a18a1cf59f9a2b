"""What `edgeship inspect --edgetpu` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import options, ui

if TYPE_CHECKING:
    from edgeship.edgetpu import Report
    from edgeship.edgetpu.compiler import Compiled

#: The options of `inspect` for the Edge TPU.
settings = options.together(
    click.option(
        "--edgetpu",
        is_flag=True,
        help="Say which ops of a .tflite file run on a Coral Edge TPU; of a compiled one, what is left on the CPU.",
    ),
    click.option(
        "--compile",
        "compile_to",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="With --edgetpu: call your edgetpu_compiler, and write NAME_edgetpu.tflite into DIR.",
    ),
)

#: Options of other questions -> what click calls them.
_OTHERS = {"--sensitivity": "sensitivity", "--diff": "other", "--ops": "all_ops", "--html": "html", "--data": "data"}

#: Most operators that are named before a change.
_NAMED = 4

_WORDS = {"tpu": "Edge TPU", "cpu": "CPU", "uncertain": "uncertain"}


def check(given: Mapping[str, Any]) -> None:
    """Raise click.UsageError for options that do not go together."""
    if given["compile_to"] is not None and not given["edgetpu"]:
        raise click.UsageError("--compile goes with --edgetpu")
    others = [name for name, key in _OTHERS.items() if given.get(key)]
    if given["edgetpu"] and others:
        raise click.UsageError(f"{others[0]} does not go with --edgetpu: ask one question at a time")


def run(file: Path, given: Mapping[str, Any]) -> int:
    """Predict or count, compile where that is asked for, and show it."""
    from edgeship.child import Worker
    from edgeship.edgetpu import predict

    if file.is_dir():
        from edgeship.artifact import read_artifact

        file = read_artifact(file).entry
    limits = options.running_values(given)["limits"]
    if given["compile_to"] is None:
        # The file may come from anywhere: a child with limits reads it.
        with Worker(limits) as worker:
            report = worker.call(predict, path=file)
        ui.emit(report, given["as_json"], lambda: show(report))
        return 0
    from edgeship.edgetpu.compiler import compile_file

    found = compile_file(file, given["compile_to"], limits)
    ui.emit(found, given["as_json"], lambda: show_compiled(found))
    return 0


def show(report: Report) -> None:
    """For a person: the sum, what the compiler would refuse, and each operator that is not on the Edge TPU."""
    ui.say(f"{'file:':<15}{report.file}")
    ui.say(f"{'known by:':<15}{_basis(report)}")
    ui.say(f"{'operators:':<15}{_sum(report)}")
    for program in report.programs:
        ui.say(f"{'program:':<15}{program.size_bytes:,} bytes with its parameters")
    mapped = Counter(operator.kind for operator in report.operators if operator.place == "tpu")
    if mapped:
        ui.say(f"{'on Edge TPU:':<15}{', '.join(f'{kind} {count}' for kind, count in mapped.most_common())}")
    for refusal in report.refusals:
        word = "REFUSED" if refusal.certain else "perhaps refused"
        ui.say(f"{word}: {refusal.reason}. {refusal.change}")
    _others(report)
    for note in report.notes:
        ui.say(f"note: {note}")


def _others(report: Report) -> None:
    """The operators that are not on the Edge TPU, and what to change where one of them is the cause."""
    others = [operator for operator in report.operators if operator.place != "tpu"]
    if not others:
        return
    made = ui.table(">#", "operator", "output", "place", "why")
    for operator in others:
        ui.row(made, str(operator.index), operator.kind, operator.name, _WORDS[operator.place], operator.reason)
    ui.print_table(made)
    changes: dict[str, list[str]] = {}
    for operator in others:
        if operator.change and operator.rule != "one-part":
            changes.setdefault(operator.change, []).append(f"{operator.index} {operator.kind}")
    for change, operators in changes.items():
        more = f" and {len(operators) - _NAMED} more" if len(operators) > _NAMED else ""
        ui.say(f"change {', '.join(operators[:_NAMED])}{more}: {change}")


def show_compiled(found: Compiled) -> None:
    """For a person: where each operator went, the compiler's memory, and how good the prediction was."""
    show(found.report)
    ui.say(f"{'compiler:':<15}edgetpu_compiler {found.version}")
    for name, size in found.memory_bytes.items():
        ui.say(f"{name}: {size / 2**20:.2f} MiB")
    open_ones = len(found.report.operators) - found.hits - found.misses
    ui.say(f"{'prediction:':<15}{found.hits} right, {found.misses} wrong, {open_ones} had been left open")
    ui.say(f"compiled: {found.file}")


def _basis(report: Report) -> str:
    if report.basis == "predicted":
        return "published rules: a prediction, not the compiler's word"
    if report.basis == "compiled":
        return "counting what the compiler left in the file"
    return f"comparing the compiled file with {report.original}"


def _sum(report: Report) -> str:
    if report.tpu is None:
        return f"{report.cpu} on the CPU; those on the Edge TPU are inside {len(report.programs)} program(s)"
    places = (f"{report.tpu} of {len(report.operators)} on the Edge TPU", f"{report.cpu} on the CPU")
    return ", ".join((*places, *((f"{report.uncertain} uncertain",) if report.uncertain else ())))
