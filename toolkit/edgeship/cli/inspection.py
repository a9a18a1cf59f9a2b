"""What `edgeship inspect` shows of a file, and of what differs between two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import options, ui

if TYPE_CHECKING:
    from edgeship.inspection import Description, Difference, Op
    from edgeship.types import TensorSpec

#: The options of `inspect` beside those of `--sensitivity`.
settings = options.together(
    click.option("--ops", "all_ops", is_flag=True, help="List every op and tensor, not only their types."),
    click.option(
        "--diff",
        "other",
        type=options.MODEL,
        metavar="OTHER",
        help="Show what differs between FILE and OTHER, also of another format.",
    ),
)


def run(file: Path, given: Mapping[str, Any]) -> int:
    """Look into a file, or compare two; show, and write the page."""
    from edgeship import inspection
    from edgeship.files import write_text
    from edgeship.inspection import page

    opening = options.running_values(given)
    if given["memory_limit"] is None:
        opening["limits"] = None
    other: Path | None = given["other"]
    if other is None:
        found = inspection.inspect(file, **opening)
        html = given["html"] and page.page(found)
        ui.emit(found, given["as_json"], lambda: show(found, all_ops=given["all_ops"]))
    else:
        difference = inspection.difference(file, other, **opening)
        html = given["html"] and page.difference_page(difference)
        ui.emit(difference, given["as_json"], lambda: show_difference(difference))
    if given["html"] is not None:
        write_text(given["html"], html)
        ui.say(f"page: {given['html']}", err=given["as_json"])
    return 0


def show(found: Description, *, all_ops: bool) -> None:
    """A file, for a person."""
    for name, value in found.facts.items():
        ui.say(f"{name + ':':<15}{value}")
    macs = f"{found.macs:,}" if found.macs is not None else f"not counted: {', '.join(found.uncounted[:8])}"
    ui.say(f"{'MACs:':<15}{macs}")
    ui.say(f"{'precision:':<15}{found.precision}")
    for name, value in found.requires.items():
        ui.say(f"needs {name + ': ':<9}{value}")
    for note in found.notes[:20]:
        ui.say(f"note: {note}")
    _specs(found)
    _ops(found, all_ops=all_ops)
    if all_ops:
        _tensors(found)
    _layers(found)
    _texts(found)
    _support(found)


def _specs(found: Description) -> None:
    made = ui.table("tensor", "name", "shape", "dtype", "quantization")
    for kind, specs in (("input", found.inputs), ("output", found.outputs)):
        for spec in specs:
            ui.row(made, kind, spec.name, _shape(spec.shape), spec.dtype, _quantization(spec))
    ui.print_table(made)
    if len(found.signatures) > 1:
        signatures = ui.table("signature", "inputs", "outputs")
        for signature in found.signatures:
            ui.row(signatures, signature.name, ", ".join(signature.inputs), ", ".join(signature.outputs))
        ui.print_table(signatures)


def _quantization(spec: TensorSpec) -> str:
    q = spec.quantization
    return f"scale {q.scale:g}, zero {q.zero_point}" if q else ""


def _shape(shape: tuple[int | None, ...] | None) -> str:
    return "unknown" if shape is None else " x ".join("?" if d is None else str(d) for d in shape)


def _ops(found: Description, *, all_ops: bool) -> None:
    if all_ops:
        made = ui.table("op", "name", "output", ">parameters", ">MACs", "options")
        shapes = {tensor.name: tensor.shape for tensor in found.tensors}
        for op in found.ops:
            out = _shape(shapes.get(op.outputs[0])) if op.outputs else ""
            settings = ", ".join(f"{key} {value}" for key, value in op.options.items())
            ui.row(made, _type(op), op.name, out, f"{op.parameters:,}", _count(op.macs), settings)
        ui.print_table(made)
        return
    kinds = Counter(_type(op) for op in found.ops)
    made = ui.table("op", ">count", ">parameters", ">MACs", ">bytes")
    for kind, number in kinds.most_common():
        mine = [op for op in found.ops if _type(op) == kind]
        macs = None if any(op.macs is None for op in mine) else sum(op.macs or 0 for op in mine)
        sums = (f"{sum(op.parameters for op in mine):,}", _count(macs), f"{sum(op.stored_bytes for op in mine):,}")
        ui.row(made, kind, str(number), *sums)
    ui.print_table(made)


def _type(op: Op) -> str:
    return f"{op.type} v{op.version}" if op.version is not None and op.type.isupper() else op.type


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _tensors(found: Description) -> None:
    made = ui.table("tensor", "shape", "dtype", ">bytes", "quantization")
    for tensor in found.tensors:
        q = tensor.quantization
        said = ""
        if q is not None:
            low, high = min(q.scales), max(q.scales)
            scale = f"{low:g}" if low == high else f"{low:g} .. {high:g} by axis {q.axis}"
            zeros = sorted(set(q.zero_points))
            said = f"scale {scale}, zero {zeros[0]:g}" + (f" .. {zeros[-1]:g}" if len(zeros) > 1 else "")
        size = f"{tensor.stored_bytes:,}" if tensor.constant else ""
        ui.row(made, tensor.name, _shape(tensor.shape), tensor.dtype, size, said)
    ui.print_table(made)


def _layers(found: Description) -> None:
    if found.layers:
        sizes = ui.table("layer", ">bytes")
        for name, size in found.layers:
            ui.row(sizes, name, f"{size:,}")
        ui.print_table(sizes)


def _texts(found: Description) -> None:
    if found.metadata:
        made = ui.table("metadata", "text")
        for key, value in found.metadata.items():
            ui.row(made, key, value[:500])
        ui.print_table(made)


def _support(found: Description) -> None:
    if not found.support:
        return
    made = ui.table("runtime or device", "state", "how", "what it says")
    for support in found.support:
        ui.row(made, support.name, support.state, support.how, support.reason)
    ui.print_table(made)
    notes = [
        (s.name, note)
        for s in found.support
        for note in s.ops
        if s.state != "refused" and note.state != "runs" and note.reason
    ]
    if notes:
        said = ui.table("runtime or device", "op", "state", "why")
        for name, note in notes:
            ui.row(said, name, note.op, note.state, note.reason)
        ui.print_table(said)


def show_difference(found: Difference) -> None:
    """What differs between two files, for a person."""
    ui.say(f"first:  {found.first}\nsecond: {found.second}")
    made = ui.table("", ">first", ">second", ">change")
    for name, (one, two) in found.totals.items():
        change = f"{two - one:+,}" if one is not None and two is not None else ""
        ui.row(made, name, _count(one), _count(two), change)
    ui.print_table(made)
    for title, changes in (("tensor", found.tensors), ("also", found.other)):
        if changes:
            rows = ui.table(title, "first", "second")
            for item in changes:
                ui.row(rows, item.name, item.first, item.second)
            ui.print_table(rows)
    _op_changes(found)
    _weights(found)
    if found.layers:
        sizes = ui.table("layer", ">bytes, first", ">second")
        for name, first_bytes, second_bytes in found.layers:
            ui.row(sizes, name, f"{first_bytes:,}", f"{second_bytes:,}")
        ui.print_table(sizes)
    for note in found.notes:
        ui.say(f"note: {note}")
    ui.say("nothing differs but names and bytes" if found.same else "the files differ")


def _op_changes(found: Difference) -> None:
    if found.ops:
        made = ui.table("op", "state", "name", "what")
        for op in found.ops:
            ui.row(made, op.type, op.state, op.first or op.second, "\n".join(op.what))
        ui.print_table(made)


def _weights(found: Difference) -> None:
    if not found.weights:
        return
    made = ui.table("weights of", ">count", "dtypes", ">SQNR dB", ">largest difference", "note")
    for weight in found.weights:
        same = weight.dtypes[0] == weight.dtypes[1]
        dtypes = weight.dtypes[0] if same else " -> ".join(weight.dtypes)
        sqnr = "equal" if weight.equal else "" if weight.sqnr_db is None else f"{weight.sqnr_db:.1f}"
        worst = "" if weight.note or weight.equal else f"{weight.max_abs:.3g}"
        ui.row(made, weight.op, f"{weight.count:,}", dtypes, sqnr, worst, weight.note)
    ui.print_table(made)
