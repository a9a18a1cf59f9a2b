"""The graph of a file as a drawing: one box an op, named and coloured by what it is, with the shape that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from edgeship.inspection.description import Description, Op, Shape
from edgeship.inspection.layout import Layout, lay_out
from edgeship.report.svg import Chart
from edgeship.report.svg import Shape as Drawn

#: A larger graph gives no picture that anyone could read.
MAX_OPS = 1500
_MAX_POINTS = 20_000
_HEIGHT, _STEP, _MARGIN = 46.0, 74.0, 14.0
#: Pixels a character of the two lines of a box takes, and its least and largest width.
_WIDE, _SMALL, _LEAST, _MOST = 8.6, 6.4, 96.0, 290.0
_STYLES: Mapping[str, str] = {
    **dict.fromkeys(("conv", "depthwise", "transpose_conv", "separable"), "g-conv"),
    **dict.fromkeys(("dense", "matmul", "recurrent", "attention"), "g-dense"),
    **dict.fromkeys(("max_pool", "average_pool", "resize"), "g-pool"),
    **dict.fromkeys(("add", "subtract", "multiply", "divide", "maximum", "minimum", "concatenate"), "g-merge"),
    **dict.fromkeys(("relu", "activation", "softmax", "normalization"), "g-act"),
    **dict.fromkeys(("quantize", "dequantize"), "g-quant"),
}


def picture(found: Description) -> Chart | None:
    """The main graph; None where there is nothing to draw, or more than can be read."""
    ops = [op for op in found.ops if not op.graph]
    if not ops or len(ops) > MAX_OPS:
        return None
    shapes = {tensor.name: tensor.shape for tensor in found.tensors}
    boxes = _boxes(found, ops, shapes)
    edges = _edges(found, ops)
    if sum(end - start for start, end in edges) > _MAX_POINTS * 50:
        return None
    layout = lay_out([width for *_, width in boxes], edges)
    if sum(map(len, layout.lines)) > _MAX_POINTS:
        return None
    return _draw(boxes, layout, found)


#: First line, second line, style, tooltip, width.
_Box = tuple[str, str, str, str, float]


def _boxes(found: Description, ops: Sequence[Op], shapes: Mapping[str, Shape | None]) -> list[_Box]:
    boxes = [_box(spec.name, _text(spec.shape), "g-io", f"input {spec.name}: {spec.dtype}") for spec in found.inputs]
    for op in ops:
        shape = shapes.get(op.outputs[0]) if op.outputs else None
        facts = [f"{op.type}: {op.name}", *(f"{key}: {value}" for key, value in op.options.items())]
        facts += [f"{op.parameters:,} parameters, {op.stored_bytes:,} bytes"] if op.parameters else []
        facts += [f"{op.macs:,} MACs"] if op.macs else []
        boxes.append(
            _box(op.type.removeprefix("CUSTOM "), _text(shape), _STYLES.get(op.kind, "g-other"), "\n".join(facts))
        )
    return [*boxes, *(_box(s.name, _text(s.shape), "g-io", f"output {s.name}: {s.dtype}") for s in found.outputs)]


def _box(first: str, second: str, style: str, title: str) -> _Box:
    first, second = _cut(first, 32), _cut(second, 36)
    width = max(_LEAST, min(_MOST, 18 + max(_WIDE * len(first), _SMALL * len(second))))
    return first, second, style, title[:2000], width


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _text(shape: Shape | None) -> str:
    return "" if not shape else " x ".join("?" if size is None else str(size) for size in shape)


def _edges(found: Description, ops: Sequence[Op]) -> list[tuple[int, int]]:
    """From each box to those that read what it gives; inputs and outputs are boxes of their own.

    What a converter calls an input elsewhere than in its tensors is told by what no op gives.
    """
    start = len(found.inputs)
    makers = {name: start + index for index, op in enumerate(ops) for name in op.outputs if name}
    constants = {tensor.name for tensor in found.tensors if tensor.constant}
    given = [name for op in ops for name in op.inputs if name and name not in makers and name not in constants]
    named = {spec.name: index for index, spec in enumerate(found.inputs)}
    free = [index for index, spec in enumerate(found.inputs) if spec.name not in given]
    sources = {name: makers[name] for name in makers}
    for name in dict.fromkeys(given):
        index = named.get(name)
        if index is None and free:
            index = free.pop(0)
        if index is not None:
            sources[name] = index
    edges = dict.fromkeys(
        (sources[name], start + index)
        for index, op in enumerate(ops)
        for name in op.inputs
        if name in sources and sources[name] < start + index
    )
    for index, name in enumerate(_ends(found, ops)):
        if name in sources:
            edges[(sources[name], start + len(ops) + index)] = None
    return list(edges)


def _ends(found: Description, ops: Sequence[Op]) -> list[str]:
    """The tensor of each output: by its name, else in order the results that no op reads."""
    made = {name for op in ops for name in op.outputs}
    read = {name for op in ops for name in op.inputs}
    loose = [name for op in ops for name in op.outputs if name not in read]
    loose = [name for name in loose if name not in {spec.name for spec in found.outputs}]
    return [spec.name if spec.name in made else loose.pop(0) if loose else "" for spec in found.outputs]


def _draw(boxes: Sequence[_Box], layout: Layout, found: Description) -> Chart:
    width, height = layout.width + 2 * _MARGIN, layout.ranks * _STEP - _STEP + _HEIGHT + 2 * _MARGIN
    chart = Chart(width, height, f"The graph of {found.file}: {len(boxes)} boxes in {layout.ranks} layers")
    for line in layout.lines:
        chart.shapes.append(Drawn("path", {"d": _curve(line), "class": "g-line"}))
    for (first, second, style, title, size), (x, rank) in zip(boxes, layout.places, strict=True):
        left, top = x - size / 2 + _MARGIN, rank * _STEP + _MARGIN
        place = {"x": f"{left:.1f}", "y": f"{top:.1f}", "width": f"{size:.1f}", "height": f"{_HEIGHT:.0f}", "rx": "6"}
        chart.shapes.append(Drawn("rect", {**place, "class": f"g-box {style}"}, title=title))
        middle = x + _MARGIN
        chart.text((middle, top + (19 if second else 27)), first, "g-name", anchor="middle")
        if second:
            chart.text((middle, top + 36), second, "g-shape", anchor="middle")
    return chart


def _curve(points: Sequence[tuple[float, int]]) -> str:
    """From the bottom of the first box to the top of the last, upright where it crosses a rank."""
    parts = []
    for index, ((x1, rank1), (x2, rank2)) in enumerate(pairwise(points)):
        one, two = x1 + _MARGIN, x2 + _MARGIN
        top = rank1 * _STEP + _MARGIN + _HEIGHT
        bottom = rank2 * _STEP + _MARGIN
        bend = (top + bottom) / 2
        begin = f"{'M' if index == 0 else 'L'}{one:.1f} {top:.1f}"
        parts.append(f"{begin}C{one:.1f} {bend:.1f} {two:.1f} {bend:.1f} {two:.1f} {bottom:.1f}")
    return "".join(parts)
