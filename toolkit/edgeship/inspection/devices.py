"""What is predicted for devices, op by op, in the words of `description`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from edgeship.errors import EdgeshipError
from edgeship.inspection.description import Description, Op, OpNote, Support

_STATES: Mapping[str, Literal["runs", "elsewhere", "uncertain"]] = {
    "tpu": "runs",
    "cpu": "elsewhere",
    "uncertain": "uncertain",
}
#: Reasons that are given for a file as a whole.
_MOST_SAID = 8


def edgetpu(found: Description) -> Support | None:
    """Where the ops of a .tflite file run on a machine with an Edge TPU; None for other files and pure float ones."""
    if found.format != "tflite":
        return None
    from edgeship.edgetpu import predict

    try:
        report = predict(Path(found.file))
    except EdgeshipError as error:
        return Support("edgetpu", "uncertain", "predicted", error.message)
    main = [op for op in found.ops if not op.graph]
    said = report.operators if report.basis != "compared" else ()  # those are operators of another file
    notes = tuple(
        OpNote(main[p.index].name, _STATES[p.place], " ".join(filter(None, (p.reason, p.change))))
        for p in said
        if p.index < len(main)
    )
    if report.refusals:
        reason = "; ".join(f"{refusal.reason}: {refusal.change}" for refusal in report.refusals)
        return Support("edgetpu", "refused" if report.refusals[0].certain else "uncertain", "predicted", reason, notes)
    on = "an unknown number" if report.tpu is None else report.tpu
    reason = f"{on} on the Edge TPU, {report.cpu} on the CPU, {report.uncertain} uncertain ({report.basis})"
    return Support(
        "edgetpu", _state(report.cpu, report.uncertain), "predicted", "; ".join((reason, *report.notes)), notes
    )


def _state(cpu: int, uncertain: int) -> Literal["runs", "partly", "uncertain"]:
    return "uncertain" if uncertain else "partly" if cpu else "runs"


def micro(found: Description) -> Support | None:
    """Whether TensorFlow Lite Micro has the operators of a .tflite file, for devices without an operating system."""
    if found.format != "tflite":
        return None
    types = {tensor.name: tensor.dtype for tensor in found.tensors}
    notes = tuple(_in_micro(op, types) for op in found.ops)
    sizes = [spec.name for spec in (*found.inputs, *found.outputs) if None in spec.shape[1:]]
    said = [f"{name} has a size that is not fixed, and memory is planned once" for name in sizes]
    said += dict.fromkeys(note.reason for note in notes if note.state == "refused")
    if said:
        return Support("micro", "refused", "predicted", "; ".join(said[:_MOST_SAID]), notes)
    doubtful = list(dict.fromkeys(note.reason for note in notes if note.state == "uncertain"))
    if doubtful:
        return Support("micro", "uncertain", "predicted", "; ".join(doubtful), notes)
    reason = "it has every operator; --to micro runs the file in it and measures the memory that it takes"
    return Support("micro", "runs", "predicted", reason, notes)


def _in_micro(op: Op, types: Mapping[str, str]) -> OpNote:
    from edgeship_converters.micro.operators import OPS

    if op.type not in OPS:
        return OpNote(op.name, "refused", f"TensorFlow Lite Micro has no operator {op.type}")
    given = {types.get(name, "") for name in op.inputs if name}
    if given & {"float16", "int4"} or (op.kernel and {"float32", "int8"} <= given):
        return OpNote(op.name, "uncertain", "it has no kernels for weights that are smaller than the arithmetic")
    if op.type == "WHILE":  # measured when our converter was written, which unrolls them
        return OpNote(op.name, "uncertain", "its loops compute something else, or never end")
    return OpNote(op.name, "runs")
