"""Where the operators of a .tflite file run: predicted by the rules, or counted in what the compiler made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgeship.edgetpu.graph import COMPILED, Graph, Operator, read_graph
from edgeship.edgetpu.partition import Part, partition
from edgeship.edgetpu.placement import Placement, Program, Report
from edgeship.edgetpu.refusals import refusals
from edgeship.edgetpu.requirements import Finding
from edgeship.edgetpu.rules import judge
from edgeship.errors import ArtifactError, InputError

#: What the compiler's logs say of the memory that keeps parameters on the chip (8 MiB with the program itself): none
#: reported less than 6.08 MiB used when it was full, none more than 7.98 MiB free.
_CACHE_MIB = (6.0, 8.0)

#: How the compiler names what it makes of X.tflite.
SUFFIX = "_edgetpu"


def predict(path: Path) -> Report:
    """Where the operators of a .tflite file run on a machine with an Edge TPU.

    A file that the compiler made is counted exactly, and held against `X.tflite` if it is called `X_edgetpu.tflite` and
    that file lies beside it and fits. For any other the rules predict what the compiler (version 16) will do.

    Raises:
        ArtifactError: no .tflite file, or a damaged one.
        MissingPackageError: ai-edge-litert is not installed.
    """
    graph = read_graph(path)
    if not any(_is_program(operator) for operator in graph.operators):
        return _predicted(path, graph)
    original = path.with_name(path.name.removesuffix(f"{SUFFIX}.tflite") + ".tflite")
    if original != path and original.is_file():
        try:
            return compare(original, path)
        except InputError as error:
            note = f"{original.name} lies beside it, but is not what it was made from: {error.message}"
            return replace(_counted(path, graph), notes=(note,))
    return _counted(path, graph)


def compare(original: Path, compiled: Path) -> Report:
    """Where each operator of `original` went, by what the compiler made of it: exact, no prediction.

    The compiler keeps the names of tensors, so an operator whose results are still made by an ordinary operator runs on
    the CPU; all others went into the programs for the Edge TPU.

    Raises ArtifactError, MissingPackageError as `predict`, and InputError if the files do not belong together.
    """
    before, after = read_graph(original), read_graph(compiled)
    programs = [operator for operator in after.operators if _is_program(operator)]
    left = Counter(_outputs(operator) for operator in after.operators if not _is_program(operator))
    known = {_outputs(operator) for operator in before.operators}
    if not programs:
        raise InputError(f"{compiled} has no part for the Edge TPU")
    unknown = [names for names in left if names not in known]
    if len(known) < len(before.operators):
        raise InputError(f"the names in {original.name} do not tell its operators apart")
    if unknown or len(before.inputs) != len(after.inputs) or len(before.outputs) != len(after.outputs):
        what = f"{original.name} does not make {unknown[0][0]}" if unknown else "inputs or outputs differ in number"
        raise InputError(f"{compiled} was not made from {original}: {what}", remedy="Give the file that was compiled.")
    operators = tuple(
        _placement(operator, Finding("cpu", "compiled", "the compiler left it on the CPU"))
        if left[_outputs(operator)]
        else _placement(operator, None)
        for operator in before.operators
    )
    return replace(_summed(compiled, operators), basis="compared", original=original, programs=_programs(after))


def _is_program(operator: Operator) -> bool:
    return operator.custom and operator.kind == COMPILED


def _outputs(operator: Operator) -> tuple[str, ...]:
    return tuple(tensor.name for tensor in operator.outputs)


def _counted(path: Path, graph: Graph) -> Report:
    """A compiled file by itself: what is left on the CPU is open, what went into the programs is not."""
    left = [operator for operator in graph.operators if not _is_program(operator)]
    reason = "the compiler left it on the CPU"
    operators = tuple(_placement(operator, Finding("cpu", "compiled", reason)) for operator in left)
    report = replace(_summed(path, operators), basis="compiled", tpu=None, programs=_programs(graph))
    note = (
        "how many operators the programs hold is not in the open part of the file; with the file it was made from "
        f"beside it (NAME.tflite for NAME{SUFFIX}.tflite) the place of each operator is known"
    )
    return replace(report, notes=(note,))


def _programs(graph: Graph) -> tuple[Program, ...]:
    return tuple(
        Program(
            size_bytes=operator.custom_bytes,
            inputs=tuple(tensor.name for tensor in operator.inputs if tensor is not None),
            outputs=_outputs(operator),
        )
        for operator in graph.operators
        if _is_program(operator)
    )


def _judged(path: Path, operator: Operator) -> Finding | None:
    try:
        return judge(operator)
    except IndexError as error:  # rules look at the inputs and outputs that a kind of operator has
        tensors = f"{len(operator.inputs)} inputs and {len(operator.outputs)} outputs"
        raise ArtifactError(
            f"{path} is broken: {operator.kind} has {tensors}", remedy="Copy or convert it again."
        ) from error


def _predicted(path: Path, graph: Graph) -> Report:
    findings = [_judged(path, operator) for operator in graph.operators]
    parts = partition(graph.operators, ["tpu" if found is None else found.place for found in findings])
    operators = tuple(
        _placement(operator, _explained(found, part, graph.operators))
        for operator, found, part in zip(graph.operators, findings, parts, strict=True)
    )
    on_tpu = [op for op, placed in zip(graph.operators, operators, strict=True) if placed.place == "tpu"]
    parameters = _parameter_bytes(on_tpu)
    notes = list(_memory_note(parameters))
    if graph.subgraphs > 1:
        notes.append(f"the file has {graph.subgraphs} graphs; only the main one is looked at")
    report = _summed(path, operators)
    return replace(report, refusals=refusals(graph), parameter_bytes=parameters, notes=tuple(notes))


def _explained(found: Finding | None, part: Part, operators: Sequence[Operator]) -> Finding | None:
    """Why an operator goes where it goes: by itself, or for one before it."""
    if part.cut_by is None or (found is not None and found.place == part.place):
        return found
    cut = operators[part.cut_by]
    if part.place == "cpu":
        why = f"it needs the result of {cut.kind} (operator {cut.index}), where the compiled part ends"
    else:
        why = f"it depends on where {cut.kind} (operator {cut.index}) runs"
    return Finding(part.place, "one-part", why, f"Change operator {cut.index}, or move it to the end of the model.")


def _placement(operator: Operator, found: Finding | None) -> Placement:
    name = operator.outputs[0].name if operator.outputs else ""
    if found is None:
        return Placement(operator.index, operator.kind, name, "tpu")
    return Placement(operator.index, operator.kind, name, found.place, found.rule, found.reason, found.change)


def _summed(path: Path, operators: tuple[Placement, ...]) -> Report:
    counts = Counter(operator.place for operator in operators)
    return Report(
        file=path,
        basis="predicted",
        original=None,
        operators=operators,
        tpu=counts["tpu"],
        cpu=counts["cpu"],
        uncertain=counts["uncertain"],
    )


def _parameter_bytes(operators: Sequence[Operator]) -> int:
    """Constants of some operators, each counted once."""
    found = {t.index: len(t.data) for op in operators for t in op.inputs if t is not None and t.constant}
    return sum(found.values())


def _memory_note(parameter_bytes: int) -> Sequence[str]:
    mib = parameter_bytes / 2**20
    if mib <= _CACHE_MIB[0]:
        return ()
    fits = "do not fit" if mib >= _CACHE_MIB[1] else "may not fit"
    place = "the memory on the chip (about 8 MiB with the program)"
    return (f"{mib:.2f} MiB of parameters {fits} into {place}: what is left over is sent again for each inference",)
