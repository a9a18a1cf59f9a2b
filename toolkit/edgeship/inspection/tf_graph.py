"""Nodes of TensorFlow graphs, from TF.js files and SavedModels, as ops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgeship.inspection.description import Op, Shape, Tensor
from edgeship.inspection.kinds import kind_of
from edgeship.inspection.macs import count, sizes

#: Ops that only name or hand on a value.
_TRANSPARENT = ("Identity", "ReadVariableOp", "Cast", "Dequantize", "StopGradient")
#: Op -> position and layout of its kernel. The transposed convolution's letters are those of what it computes.
_KERNELS: Mapping[str, tuple[int, str]] = {
    "Conv2D": (1, "HWIO"),
    "_FusedConv2D": (1, "HWIO"),
    "DepthwiseConv2dNative": (1, "HWCM"),
    "FusedDepthwiseConv2dNative": (1, "HWCM"),
    "_FusedDepthwiseConv2dNative": (1, "HWCM"),
    "Conv3D": (1, "DHWIO"),
    "Conv2DBackpropInput": (1, "HWOI"),
    "MatMul": (1, "IO"),
    "_FusedMatMul": (1, "IO"),
    "BatchMatMul": (1, "IO"),
    "BatchMatMulV2": (1, "IO"),
}
_STORAGE = """
T Tidx Tpaddings Tshape Tperm Tparams Tindices Taxis Tmultiples Tdim Tblock_shape Tcrops TArgs Truncate index_type Index
N U dtype DstT SrcT out_type num_args use_cudnn_on_gpu value filter_format _output_shapes _input_shapes _class
"""
#: Attributes that say how something is stored or placed, not what is computed.
_ASIDE = frozenset(_STORAGE.split())


@dataclass(frozen=True)
class Node:
    """A node with plain attributes; inputs are written `name`, or `name:1` for other outputs than the first."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)


def plain(tensor: str) -> str:
    """`name:0` -> `name`."""
    return tensor.removesuffix(":0")


def ops_of(nodes: Iterable[Node], tensors: Mapping[str, Tensor]) -> Iterator[Op]:
    """The ops of a graph in the order given; constants and placeholders are none.

    Args:
        nodes: in the order of execution.
        tensors: all tensors by name, constants among them, with what is known of their shapes.
    """
    known = list(nodes)
    makers = {node.name: node for node in known}
    for node in known:
        if node.op in ("Const", "Placeholder", "NoOp"):
            continue
        kernel, layout = _kernel(node, makers, tensors)
        kind = kind_of(node.op)
        if kernel and kind == "matmul" and len(layout) == 2:
            kind = "dense"
        yield Op(
            name=node.name,
            type=node.op,
            kind=kind,
            inputs=node.inputs,
            outputs=node.outputs,
            options={k: v for k, v in sorted(node.attrs.items()) if k not in _ASIDE and v not in (None, [], False)},
            kernel=kernel,
            layout=layout,
            macs=_macs(node, kind, kernel, layout, tensors),
        )


def _shape(tensors: Mapping[str, Tensor], name: str) -> Shape | None:
    return tensors[name].shape if name in tensors else None


def _macs(node: Node, kind: str, kernel: str, layout: str, tensors: Mapping[str, Tensor]) -> int | None:
    given = [_shape(tensors, name) for name in node.inputs]
    if node.op == "Conv2DBackpropInput":  # sizes of the result, kernel, image
        given = given[2:]
    shape = _shape(tensors, kernel) if kernel else None
    known = (shape, layout) if shape is not None else None
    return count(kind, node.op, known, given, _shape(tensors, node.outputs[0]) if node.outputs else None)


def _kernel(node: Node, makers: Mapping[str, Node], tensors: Mapping[str, Tensor]) -> tuple[str, str]:
    position, layout = _KERNELS.get(node.op, (0, ""))
    if not layout or len(node.inputs) <= position:
        return "", ""
    name = node.inputs[position]
    for _ in range(4):
        maker = makers.get(name)
        if maker is None or maker.op not in _TRANSPARENT or not maker.inputs:
            break
        name = maker.inputs[0]
    tensor = tensors.get(name)
    if tensor is None or not tensor.constant or sizes(tensor.shape) is None:
        return "", ""
    rank = len(tensor.shape or ())
    if "MatMul" in node.op:
        turned = node.attrs.get("transpose_b") or node.attrs.get("adj_y")
        layout = "B" * (rank - 2) + ("OI" if turned else "IO")
    return (name, layout) if len(layout) == rank else ("", "")
