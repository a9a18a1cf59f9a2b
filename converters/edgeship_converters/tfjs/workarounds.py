"""What a backend of TF.js computes wrongly, written so that all of them compute it right.

Facts of @tensorflow/tfjs 4.22, found by running every op of our table in WebAssembly, WebGL, WebGPU and JavaScript
against TensorFlow (`tests/e2e/test_tfjs_ops.py`); each function says what goes wrong and where.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgeship_converters.lowering.convolution import uncovered
from edgeship_converters.tfjs.ir import Graph, Node, Shape, TensorType
from edgeship_converters.tfjs.simplify import reshapable, reshape

#: Ranks up to this one are right in strided slices and paddings.
MOST_AXES = 4
#: What WebGPU transposes for where its axes are not the last ones.
REDUCTIONS = frozenset(("ArgMax", "ArgMin", "Cumprod", "Cumsum", "EuclideanNorm", "Max", "Mean", "Min", "Prod", "Sum"))
CONVOLUTIONS = frozenset(("Conv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2dNative", "_FusedConv2D"))
#: Written otherwise before (`lowering.convolution.is_short`), as far as sizes are known.
VOLUMES = frozenset(("AvgPool3D", "Conv3D"))
#: What gives another view of the same memory.
_SAME_MEMORY = frozenset(("ExpandDims", "Identity", "Reshape", "Squeeze"))


def work_around(graph: Graph) -> None:
    """Apply every function of this module to every node."""
    for node in list(graph.ordered()):
        for change in _CHANGES:
            if node.name in graph.nodes:
                change(graph, node)
    graph.prune()


def _become(graph: Graph, node: Node, op: str, inputs: tuple[str, ...], **attrs: Any) -> None:
    node.op, node.attrs = op, attrs
    graph.set_inputs(node, inputs)


def _constant(graph: Graph, node: Node, what: str, values: Any, dtype: str) -> str:
    kind = np.float32 if dtype == "DT_FLOAT" else np.int32
    return graph.add_constant(f"{node.name}/{what}", np.asarray(values, kind), dtype)


def _truth(graph: Graph, node: Node) -> None:
    """Cast to bool: WebAssembly keeps the lowest byte of a number."""
    if node.op != "Cast" or node.attrs.get("DstT") != "DT_BOOL":
        return
    known = graph.types[node.inputs[0]]
    if known.dtype != "DT_BOOL":
        zero = _constant(graph, node, "zero", 0, known.dtype)
        _become(graph, node, "NotEqual", (node.inputs[0], zero))


def _clip_integers(graph: Graph, node: Node) -> None:
    """ClipByValue of integers: WebAssembly takes their bits for those of floats."""
    known = graph.types.get(node.name)
    if node.op == "ClipByValue" and known is not None and known.dtype != "DT_FLOAT":
        x, low, high = node.inputs
        _become(graph, node, "Minimum", (graph.add_step(node, "Maximum", (x, low), known), high))


def _floor_division(graph: Graph, node: Node) -> None:
    """FloorDiv of floats: a result of integers in all but WebAssembly, and not the floor in WebGL."""
    known = graph.types.get(node.name)
    if node.op == "FloorDiv" and known is not None and known.dtype == "DT_FLOAT":
        _become(graph, node, "Floor", (graph.add_step(node, "RealDiv", node.inputs, known),))


def _count_axis_from_the_front(graph: Graph, node: Node) -> None:
    """Cumsum and Cumprod along an axis below zero: WebAssembly writes outside of the result."""
    shape = graph.shape(node.inputs[0]) if node.op in ("Cumsum", "Cumprod") else None
    axis = graph.constant(node.inputs[1]) if shape is not None else None
    if shape is not None and axis is not None and int(axis) < 0:
        graph.set_inputs(node, (node.inputs[0], _constant(graph, node, "axis", int(axis) + len(shape), "DT_INT32")))


def _reverse_truth(graph: Graph, node: Node) -> None:
    """ReverseV2 of booleans: WebAssembly takes four bytes for each."""
    known = graph.types.get(node.name)
    if node.op == "ReverseV2" and known is not None and known.dtype == "DT_BOOL":
        whole = TensorType(known.shape, "DT_INT32")
        number = graph.add_step(node, "Cast", (node.inputs[0],), whole, DstT="DT_INT32")
        turned = graph.add_step(node, "ReverseV2", (number, node.inputs[1]), whole)
        _become(graph, node, "NotEqual", (turned, _constant(graph, node, "zero", 0, "DT_INT32")))


def _transpose_truth(graph: Graph, node: Node) -> None:
    """Transpose of booleans: the shader of WebGPU is not valid."""
    known = graph.types.get(node.name)
    if node.op == "Transpose" and known is not None and known.dtype == "DT_BOOL":
        number = _as_floats(graph, node)
        turned = graph.add_step(node, "Transpose", (number, node.inputs[1]), TensorType(known.shape, "DT_FLOAT"))
        _become(graph, node, "NotEqual", (turned, _constant(graph, node, "zero", 0, "DT_FLOAT")))


def _floats_of_their_own(graph: Graph, node: Node) -> None:
    """Transpose, or what transposes first, of numbers that were cast: WebGPU goes on with the memory of the integers.

    Its shader for Transpose is valid for float32 only, and gives zeros there. A product with 1 makes floats of them.
    """
    if node.op != "Transpose" and (node.op not in REDUCTIONS or along_last(graph, node)):
        return
    tensor, known = node.inputs[0], graph.types[node.inputs[0]]
    if known.dtype == "DT_FLOAT" and _was_cast(graph, tensor):
        one = _constant(graph, node, "one", 1, "DT_FLOAT")
        graph.set_inputs(node, (graph.add_step(node, "Mul", (tensor, one), known), *node.inputs[1:]))


def _was_cast(graph: Graph, tensor: str) -> bool:
    maker = graph.producer(tensor)
    while maker is not None and maker.op in _SAME_MEMORY:
        maker = graph.producer(maker.inputs[0])
    return maker is not None and maker.op == "Cast" and graph.types[maker.inputs[0]].dtype != "DT_FLOAT"


def along_last(graph: Graph, node: Node) -> bool:
    """Whether a reduction is along the last axes, so that no backend transposes for it."""
    shape, axes = graph.shape(node.inputs[0]), graph.constant(node.inputs[1])
    if shape is None or axes is None:
        return False
    reduced = sorted(int(axis) % len(shape) for axis in axes.flat)
    return reduced == list(range(len(shape) - len(reduced), len(shape)))


def _reduce_truth(graph: Graph, node: Node) -> None:
    """All and Any along axes that are not the last ones: WebGPU transposes booleans for that, see above."""
    known = graph.types.get(node.name)
    if node.op not in ("All", "Any") or known is None or along_last(graph, node):
        return
    op, inputs = "Min" if node.op == "All" else "Max", (_as_floats(graph, node), node.inputs[1])
    found = graph.add_step(node, op, inputs, TensorType(known.shape, "DT_FLOAT"), **node.attrs)
    _become(graph, node, "NotEqual", (found, _constant(graph, node, "zero", 0, "DT_FLOAT")))


def _as_floats(graph: Graph, node: Node) -> str:
    known = TensorType(graph.shape(node.inputs[0]), "DT_FLOAT")
    number = graph.add_step(node, "Cast", node.inputs[:1], known, DstT="DT_FLOAT")
    return graph.add_step(node, "Relu", (number,), known)  # see `_floats_of_their_own`


def _select_truth(graph: Graph, node: Node) -> None:
    """SelectV2 of booleans: WebAssembly takes four bytes for each."""
    known = graph.types.get(node.name)
    if node.op == "SelectV2" and known is not None and known.dtype == "DT_BOOL":
        condition, yes, no = node.inputs
        other = graph.add_step(node, "LogicalNot", (condition,), graph.types[condition])
        kept = (graph.add_step(node, "LogicalAnd", pair, known) for pair in ((condition, yes), (other, no)))
        _become(graph, node, "LogicalOr", tuple(kept))


def _keep_axes_of_products(graph: Graph, node: Node) -> None:
    """Prod with keep_dims: WebGPU drops the axes all the same."""
    known = graph.types.get(node.name)
    if node.op != "Prod" or not node.attrs.get("keep_dims") or known is None or not reshapable(known.shape):
        return
    axes, given = graph.constant(node.inputs[1]), graph.shape(node.inputs[0])
    if axes is None or given is None or known.shape is None:
        return
    gone = {int(axis) % len(given) for axis in axes.flat}
    kept = tuple(size for axis, size in enumerate(known.shape) if axis not in gone)
    product = graph.add_step(node, "Prod", node.inputs, TensorType(kept, known.dtype))
    graph.redirect(node.name, reshape(graph, product, known.shape, f"{node.name}/kept"))


def _pad_fewer_axes(graph: Graph, node: Node) -> None:
    """Padding of five axes: WebGL cannot, WebGPU puts the data elsewhere. Channels become part of the width."""
    known = graph.types.get(node.name)
    given = graph.shape(node.inputs[0]) if node.op in ("Pad", "PadV2") else None
    if given is None or known is None or known.shape is None or len(given) <= MOST_AXES:
        return
    amounts = graph.constant(node.inputs[1])
    *before, width, channels = given
    flat = None if width is None or channels is None else (*before, width * channels)
    if amounts is None or amounts[-1].any() or flat is None or channels is None or not reshapable(flat):
        return
    wider = np.concatenate([amounts[:-2], amounts[-2:-1] * channels])
    shape = (*known.shape[:-2], (known.shape[-2] or 0) * channels)
    data = reshape(graph, node.inputs[0], flat, f"{node.name}/flat")
    inputs = (data, _constant(graph, node, "paddings", wider, "DT_INT32"), *node.inputs[2:])
    found = graph.add_step(node, node.op, inputs, TensorType(shape, known.dtype))
    graph.redirect(node.name, reshape(graph, found, known.shape, f"{node.name}/parted"))


def _repeat_factors(graph: Graph, node: Node) -> None:
    """BatchMatMulV2 of which each factor repeats the other: all backends compute the first few products only.

    They count matrices: the k-th product takes the k-th of each factor, from the start again where it has no more.
    """
    for index in (0, 1):
        if node.op != "BatchMatMulV2" or not repeats_both(graph, node):
            return
        own, other = (_batch(graph, node, i) for i in (index, 1 - index))
        times = [n if size == 1 else 1 for size, n in zip(own, other, strict=True)]
        known = graph.types[node.inputs[index]]
        full = (*own, *(known.shape or ())[-2:])
        if None in times or all(n == 1 for n in times) or not reshapable(full):
            continue
        wide = reshape(graph, node.inputs[index], full, f"{node.name}/wide{index}")
        repeated = (*(n if size == 1 else size for size, n in zip(own, times, strict=True)), *full[-2:])
        counts = _constant(graph, node, f"times{index}", [*times, 1, 1], "DT_INT32")
        name = graph.add_step(node, "Tile", (wide, counts), TensorType(repeated, known.dtype))
        graph.set_inputs(node, [name if i == index else tensor for i, tensor in enumerate(node.inputs)])


def repeats_both(graph: Graph, node: Node) -> bool:
    """Whether TF.js would take the wrong matrices for a product: neither batch is the end of the other."""
    if any(graph.shape(tensor) is None for tensor in node.inputs):
        return True
    short, long = sorted((_without_ones(_batch(graph, node, index)) for index in (0, 1)), key=len)
    return long[len(long) - len(short) :] != short


def _batch(graph: Graph, node: Node, index: int) -> Shape:
    """The sizes of a factor before its matrices, with ones in front up to those of the other."""
    shapes = [(graph.shape(tensor) or ())[:-2] for tensor in node.inputs]
    return (1,) * (max(map(len, shapes)) - len(shapes[index])) + shapes[index]


def _without_ones(batch: Shape) -> Shape:
    """Without those in front."""
    while batch and batch[0] == 1:
        batch = batch[1:]
    return batch


def strided(graph: Graph, node: Node) -> list[int]:
    """The places in the specification of a StridedSlice with a step other than 1, if no kernel takes them right."""
    known = graph.types[node.inputs[0]]
    steps = graph.constant(node.inputs[3])
    if steps is None:
        return [-1]
    shrunk = node.attrs.get("shrink_axis_mask", 0) | node.attrs.get("new_axis_mask", 0)
    found = [i for i, step in enumerate(steps) if step != 1 and not shrunk >> i & 1]
    right = known.dtype == "DT_FLOAT" and known.shape is not None and len(known.shape) <= MOST_AXES
    return [] if right else found


def _choose_by_number(graph: Graph, node: Node) -> None:
    """StridedSlice with steps: WebAssembly gives integers for floats; of five axes, all slice without steps."""
    known = graph.types[node.inputs[0]] if node.op == "StridedSlice" else None
    if known is None or known.shape is None:
        return
    bounds = [graph.constant(tensor) for tensor in node.inputs[1:4]]
    if any(array is None for array in bounds):
        return
    begin, end, steps = (np.array(array) for array in bounds)
    data, shape = node.inputs[0], list(known.shape)
    for place in strided(graph, node):
        axis = _axis(node, place, len(begin), len(shape))
        size = shape[axis]
        if size is None:
            return  # refused later
        first = None if node.attrs.get("begin_mask", 0) >> place & 1 else int(begin[place])
        last = None if node.attrs.get("end_mask", 0) >> place & 1 else int(end[place])
        chosen = np.arange(size)[first : last : int(steps[place])]
        shape[axis] = len(chosen)
        numbers = _constant(graph, node, f"chosen{axis}", chosen, "DT_INT32")
        where = _constant(graph, node, f"axis{axis}", axis, "DT_INT32")
        data = graph.add_step(node, "GatherV2", (data, numbers, where), TensorType(tuple(shape), known.dtype))
        begin[place], end[place], steps[place] = 0, len(chosen), 1
        for mask in ("begin_mask", "end_mask"):
            node.attrs[mask] = node.attrs.get(mask, 0) & ~(1 << place)
    if data != node.inputs[0]:
        names = (_constant(graph, node, n, a, "DT_INT32") for n, a in (("begin", begin), ("end", end), ("step", steps)))
        graph.set_inputs(node, (data, *names))


def _axis(node: Node, place: int, count: int, rank: int) -> int:
    """The axis of the data that a place in the specification is about."""
    new, ellipsis = node.attrs.get("new_axis_mask", 0), node.attrs.get("ellipsis_mask", 0)
    axis = 0
    for i in range(place):
        if ellipsis >> i & 1:
            axis += rank - (count - 1 - bin(new & ~ellipsis).count("1"))
        elif not new >> i & 1:
            axis += 1
    return axis


def _pad_in_numbers(graph: Graph, node: Node) -> None:
    """SAME with a window smaller than its step along one axis: WebAssembly pads nothing, or the wrong end."""
    paddings = same_paddings(graph, node) if node.op in CONVOLUTIONS else ()
    if paddings and min(paddings) < 0:
        pads = [side for total in paddings for side in (max(total, 0) // 2, max(total, 0) - max(total, 0) // 2)]
        node.attrs.update(padding="EXPLICIT", explicit_paddings=[0, 0, *pads, 0, 0])


def same_paddings(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """What SAME adds to the height and width of an image, below zero where steps leave some out; () for other nodes.

    Of a volume, to the depth too. None where it depends on sizes that are not known whether one is below zero.
    """
    data, windows = graph.shape(node.inputs[0]) if node.inputs else None, _windows(graph, node)
    if data is None or windows is None or node.attrs["padding"] != "SAME":
        return ()
    sizes, steps = data[1:-1], node.attrs["strides"][1:-1]
    if all(window >= step for window, step in zip(windows, steps, strict=True)):
        return ()
    if node.op in CONVOLUTIONS and set(windows) == {1}:
        return ()
    known = [n for n in sizes if n is not None]
    if len(known) < len(sizes):
        return None
    return tuple(uncovered(*one) for one in zip(known, windows, steps, strict=True))


def _windows(graph: Graph, node: Node) -> list[int] | None:
    """How far the kernel of a convolution or a pool reaches along each axis."""
    if node.op == "AvgPool3D":
        return list(node.attrs["ksize"][1:-1])
    kernel = graph.shape(node.inputs[1]) if node.op in CONVOLUTIONS | VOLUMES else None
    if kernel is None:
        return None
    rates = (node.attrs.get("dilations") or [1] * len(kernel))[1:-1]
    return [((k or 1) - 1) * rate + 1 for k, rate in zip(kernel[:-2], rates, strict=True)]


_CHANGES = (
    _pad_in_numbers,
    _truth,
    _clip_integers,
    _floor_division,
    _count_axis_from_the_front,
    _reverse_truth,
    _transpose_truth,
    _reduce_truth,
    _floats_of_their_own,
    _select_truth,
    _keep_axes_of_products,
    _pad_fewer_axes,
    _repeat_factors,
    _choose_by_number,
)
