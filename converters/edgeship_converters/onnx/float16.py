"""A float32 ONNX model in float16: weights and computation, except where float16 cannot hold the numbers.

Float32 stay: inputs and outputs, comparisons and integers that become numbers (float16 rounds integers above 2048),
bodies of control flow, operators that ONNX does not define for float16, and what a constant beyond its range leads to
(a mask of -1e9) until an operator brings the numbers back into range.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship_converters.onnx.canonical import bodies, read_by
from edgeship_converters.onnx.opsets import opset

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

    from edgeship.types import Array

_MAX = 65504.0
#: The smallest positive number of float16 (a subnormal): what is smaller, such as an epsilon, becomes this, not zero.
_TINY = 2.0**-24
_FLOAT, _FLOAT16 = 1, 10  # onnx.TensorProto
#: tf2onnx compares integers as float32.
_KEPT = frozenset(
    ("Cast", "Equal", "EyeLike", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "RandomNormal", "RandomUniform")
)
#: Constants beyond the range are limits here, which the largest number serves as well.
_LIMITS = frozenset(("Clip", "Max", "Min"))
#: What comes out of these is in range, whatever goes in.
_BOUNDED = frozenset(
    ("ArgMax", "ArgMin", "Clip", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Sigmoid", "Softmax")
)


def to_float16(model: ModelProto) -> ModelProto:
    """A copy in float16; `model` holds nodes in topological order."""
    import onnx

    result = type(model)()
    result.CopyFrom(onnx.shape_inference.infer_shapes(model))
    _Halving(result.graph, opset(model)).run()
    return result


class _Halving:
    """Gives every node of a graph inputs of the type that it computes in."""

    def __init__(self, graph: GraphProto, opset: int) -> None:
        from onnx import numpy_helper

        self._graph = graph
        self._opset = opset
        self._constants = {tensor.name: np.asarray(numpy_helper.to_array(tensor)) for tensor in graph.initializer}
        values = (*graph.input, *graph.value_info, *graph.output)
        #: Current element type of every tensor.
        self._types = {value.name: value.type.tensor_type.elem_type for value in values}
        self._types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
        self._floats = {name for name, kind in self._types.items() if kind == _FLOAT}
        self._outputs = {value.name for value in graph.output}
        self._taken = {*self._types, *(name for node in graph.node for name in node.output)}
        self._converted: dict[tuple[str, int], str] = {}
        self._nodes: list[NodeProto] = []

    def run(self) -> None:
        """Rewrite the graph."""
        kept = self._beyond_range()
        for node in list(self._graph.node):
            full = node.output[0] in kept or not self._can_be_half(node)
            for index, name in enumerate(node.input):
                if name in self._floats:
                    wanted = _FLOAT if full or not self._takes_half(node, index) else _FLOAT16
                    node.input[index] = self._as(name, wanted, limit=node.op_type in _LIMITS)
            for name in sorted(set(read_by(node)).difference(node.input)):
                if self._types.get(name) == _FLOAT16:
                    _rename_captured(node, name, self._as(name, _FLOAT))
            if not full:
                _halve_attributes(node)
            self._nodes.append(node)
            if not full:
                self._give_half(node)
        del self._graph.node[:], self._graph.value_info[:]
        self._graph.node.extend(self._nodes)

    def _beyond_range(self) -> set[str]:
        """First outputs of nodes that work on numbers which float16 may not hold."""
        wide = {n for n, array in self._constants.items() if n in self._floats and np.abs(array).max(initial=0) > _MAX}
        kept = set()
        for node in self._graph.node:
            if (wide.intersection(node.input) or _carries_wide(node)) and node.op_type not in _LIMITS:
                kept.add(node.output[0])
                if node.op_type not in _BOUNDED:
                    wide.update(name for name in node.output if name)
        return kept

    def _can_be_half(self, node: NodeProto) -> bool:
        import onnx

        known = onnx.defs.has(node.op_type, node.domain)  # not those of a runtime (com.microsoft)
        if not known or node.op_type in _KEPT or any(True for _ in bodies(node)):
            return False
        if node.op_type in ("Constant", "ConstantOfShape") and not any(a.t.data_type == _FLOAT for a in node.attribute):
            return False
        data = [name for index, name in enumerate(node.input) if name in self._floats and not self._fixed(node, index)]
        made = [name for name in node.output if name in self._floats]
        if any(name not in self._types for name in node.output if name):
            return False
        half = all(self._takes_half(node, i) for i, name in enumerate(node.input) if name in data)
        return bool(data or made) and half and self._gives_half(node)

    def _formal(self, node: NodeProto, index: int, side: str) -> Any:
        import onnx

        schema = onnx.defs.get_schema(node.op_type, self._opset, node.domain)
        formals = getattr(schema, side)
        return schema, formals[min(index, len(formals) - 1)]

    def _fixed(self, node: NodeProto, index: int) -> bool:
        """Whether ONNX wants float32 there (the scales of Resize)."""
        return bool(self._formal(node, index, "inputs")[1].type_str == "tensor(float)")

    def _takes_half(self, node: NodeProto, index: int) -> bool:
        schema, formal = self._formal(node, index, "inputs")
        return "tensor(float16)" in _allowed(schema, formal)

    def _gives_half(self, node: NodeProto) -> bool:
        pairs = (self._formal(node, i, "outputs") for i, name in enumerate(node.output) if name in self._floats)
        return all("tensor(float16)" in _allowed(schema, formal) for schema, formal in pairs)

    def _as(self, name: str, wanted: int, *, limit: bool = False) -> str:
        """The tensor in the wanted type: itself, a constant, or a cast."""
        from onnx import helper, numpy_helper

        if name in self._constants:
            if wanted == _FLOAT:
                return name
            if (name, wanted) not in self._converted:
                half = numpy_helper.from_array(halved(self._constants[name], limit=limit), self._free(f"{name}_half"))
                self._graph.initializer.append(half)
                self._converted[name, wanted] = half.name
            return self._converted[name, wanted]
        if self._types[name] == wanted:
            return name
        if (name, wanted) not in self._converted:
            cast = self._free(f"{name}_{'half' if wanted == _FLOAT16 else 'float'}")
            self._nodes.append(helper.make_node("Cast", [name], [cast], cast, to=wanted))
            self._types[cast] = wanted
            self._converted[name, wanted] = cast
        return self._converted[name, wanted]

    def _give_half(self, node: NodeProto) -> None:
        """The outputs of a node that computes in float16; those of the model are cast back."""
        from onnx import helper

        for index, name in enumerate(node.output):
            if name not in self._floats:
                continue
            if name not in self._outputs:
                self._types[name] = _FLOAT16
                continue
            half = self._free(f"{name}_half")
            node.output[index] = node.name = half
            self._types[half] = _FLOAT16
            self._converted[name, _FLOAT16] = half
            self._nodes.append(helper.make_node("Cast", [half], [name], name, to=_FLOAT))

    def _free(self, name: str) -> str:
        free, count = name, 0
        while free in self._taken:
            count += 1
            free = f"{name}_{count}"
        self._taken.add(free)
        return free


def halved(values: Array, *, limit: bool = False) -> Array:
    """Float32 as float16; small numbers do not become zero, and with `limit` large ones the largest."""
    kept = np.clip(values, -_MAX, _MAX) if limit else values
    tiny = (kept != 0) & (np.abs(kept) < _TINY)
    return np.where(tiny, np.copysign(_TINY, kept), kept).astype(np.float16)


def _allowed(schema: Any, formal: Any) -> list[str]:
    """Types that an input or output may have."""
    for constraint in schema.type_constraints:
        if constraint.type_param_str == formal.type_str:
            return list(constraint.allowed_type_strs)
    return [formal.type_str]


def _halve_attributes(node: NodeProto) -> None:
    """Constants that a node carries itself (Constant, ConstantOfShape)."""
    from onnx import numpy_helper

    for attribute in node.attribute:
        if attribute.HasField("t") and attribute.t.data_type == _FLOAT:
            attribute.t.CopyFrom(numpy_helper.from_array(halved(numpy_helper.to_array(attribute.t))))


def _carries_wide(node: NodeProto) -> bool:
    """Whether a constant that a node carries itself is beyond the range."""
    from onnx import numpy_helper

    own = (a.t for a in node.attribute if a.HasField("t") and a.t.data_type == _FLOAT)
    return any(np.abs(numpy_helper.to_array(tensor)).max(initial=0) > _MAX for tensor in own)


def _rename_captured(node: NodeProto, old: str, new: str) -> None:
    for _, body in bodies(node):
        for inner in body.node:
            inner.input[:] = [new if name == old else name for name in inner.input]
            _rename_captured(inner, old, new)
