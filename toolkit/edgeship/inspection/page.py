"""A description, or what differs between two files, as one HTML page: self-contained, no script, everything escaped."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from edgeship.inspection.description import Description, Op, Tensor
from edgeship.inspection.diff import Difference
from edgeship.inspection.picture import MAX_OPS, picture
from edgeship.report.page import render

#: Rows of a table in the page; the JSON has all.
_MAX_ROWS = 3000


def page(found: Description) -> str:
    """A file: its graph, its ops and tensors, what runs it."""
    chart = picture(found)
    reason = "" if chart else f"The graph is not drawn: it has {len(found.ops):,} ops; up to {MAX_OPS:,} can be read."
    shapes = {tensor.name: tensor.shape for tensor in found.tensors}
    content = {
        "found": found,
        "name": Path(found.file).name,
        "charts": [chart] if chart else [],
        "reason": reason if found.ops else "",
        "counts": Counter(op.type for op in found.ops).most_common(),
        "ops": [(op, shape_text(shapes.get(op.outputs[0]) if op.outputs else None)) for op in found.ops[:_MAX_ROWS]],
        "constants": [tensor for tensor in found.tensors if tensor.constant][:_MAX_ROWS],
        "notes": [(s.name, n) for s in found.support for n in s.ops if n.state != "runs" and n.reason][:_MAX_ROWS],
        "most": max((size for _, size in found.layers), default=0) or 1,
        "shape_text": shape_text,
        "scale_text": scale_text,
        "options_text": options_text,
        "number": number,
    }
    return render("inspection.html.j2", content)


def difference_page(found: Difference) -> str:
    """What differs between two files."""
    content = {"found": found, "names": [Path(file).name for file in (found.first, found.second)], "number": number}
    return render("difference.html.j2", content)


def shape_text(shape: tuple[int | None, ...] | None) -> str:
    """`? x 32 x 32 x 3`."""
    return "" if shape is None else " x ".join("?" if size is None else str(size) for size in shape)


def scale_text(tensor: Tensor) -> str:
    """Scale and zero point; the range of scales where there are several."""
    q = tensor.quantization
    if q is None:
        return ""
    low, high = min(q.scales), max(q.scales)
    scale = f"{low:g}" if low == high else f"{low:g} to {high:g}, {len(q.scales)} along axis {q.axis}"
    zeros = sorted(set(q.zero_points))
    return f"scale {scale}; zero point {zeros[0]:g}" + (f" to {zeros[-1]:g}" if len(zeros) > 1 else "")


def options_text(op: Op) -> str:
    """The settings of an op in one line."""
    return ", ".join(f"{key} {value}" for key, value in op.options.items())


def number(value: float | None) -> str:
    """With separators; a question mark for what is not known."""
    return "?" if value is None else f"{value:,}"
