"""Einsum, which the WebAssembly backend of TF.js lacks, as transpositions, reshapes and one matrix product."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from edgeship_converters.tfjs.ir import Graph, Node, Shape, TensorType
from edgeship_converters.tfjs.simplify import reshapable, reshape


@dataclass(frozen=True)
class _Plan:
    """The labels of a product of two tensors: shared and kept, summed over, only left, only right; and the result's."""

    batch: str
    summed: str
    left: str
    right: str
    result: str


def rewrite_einsum(graph: Graph, node: Node) -> None:
    """Replace a product of two tensors in which no label is repeated, elided or summed alone; leave any other."""
    if node.op != "Einsum" or len(node.inputs) != 2:
        return
    equation = node.attrs["equation"].replace(" ", "")
    shapes = [graph.shape(tensor) for tensor in node.inputs]
    plan = _plan(equation)
    if plan is None or shapes[0] is None or shapes[1] is None:
        return
    terms = equation.partition("->")[0].split(",")
    sizes = dict(zip(terms[0] + terms[1], shapes[0] + shapes[1], strict=True))

    def merged(labels: str) -> int | None:
        found = [sizes[label] for label in labels]
        return None if None in found else math.prod(d for d in found if d is not None)

    batch = tuple(sizes[label] for label in plan.batch)
    left: Shape = (*batch, merged(plan.left), merged(plan.summed))
    right: Shape = (*batch, merged(plan.summed), merged(plan.right))
    apart = plan.batch + plan.left + plan.right
    out = tuple(sizes[label] for label in apart)
    if not (reshapable(left) and reshapable(right) and reshapable(out)):
        return
    a = _arrange(graph, node, 0, (terms[0], plan.batch + plan.left + plan.summed), left)
    b = _arrange(graph, node, 1, (terms[1], plan.batch + plan.summed + plan.right), right)
    op = "BatchMatMulV2" if batch else "MatMul"
    known = TensorType((*left[:-1], right[-1]), graph.types[node.name].dtype)
    product = graph.add(Node(graph.free_name(f"{node.name}/{op}"), op, (a, b)), known)
    parted = reshape(graph, product, out, f"{node.name}/apart")
    graph.redirect(node.name, _transposed(graph, parted, tuple(map(apart.index, plan.result)), f"{node.name}/out"))


def _plan(equation: str) -> _Plan | None:
    terms, arrow, result = equation.partition("->")
    first, _, second = terms.partition(",")
    if (
        not arrow
        or not (first + second + result).isalpha()
        or any(len(set(t)) < len(t) for t in (first, second, result))
    ):
        return None
    shared = [label for label in first if label in second]
    plan = _Plan(
        batch="".join(label for label in result if label in shared),
        summed="".join(label for label in shared if label not in result),
        left="".join(label for label in first if label not in second),
        right="".join(label for label in second if label not in first),
        result=result,
    )
    alone = set(plan.left + plan.right) - set(result)
    return None if alone or set(result) - set(first + second) else plan


def _arrange(graph: Graph, node: Node, index: int, labels: tuple[str, str], shape: Shape) -> str:
    """Bring an operand's axes into the wanted order, then into the shape of the product."""
    given, wanted = labels
    order = tuple(given.index(label) for label in wanted)
    tensor = _transposed(graph, node.inputs[index], order, f"{node.name}/in{index}")
    array = graph.constant(tensor)
    if array is not None:
        concrete = [-1 if d is None else d for d in shape]
        return graph.add_constant(tensor, array.reshape(concrete), graph.types[tensor].dtype)
    return reshape(graph, tensor, shape, f"{node.name}/rows{index}")


def _transposed(graph: Graph, tensor: str, order: tuple[int, ...], name: str) -> str:
    """A tensor with its axes in another order; a constant is transposed now."""
    known = graph.types[tensor]
    if order == tuple(range(len(order))):
        return tensor
    array = graph.constant(tensor)
    if array is not None:
        return graph.add_constant(tensor, np.ascontiguousarray(array.transpose(order)), known.dtype)
    shape: Shape | None = None if known.shape is None else tuple(known.shape[axis] for axis in order)
    permutation = graph.add_constant(f"{name}/perm", np.array(order, np.int32), "DT_INT32")
    return graph.add(Node(graph.free_name(name), "Transpose", (tensor, permutation)), TensorType(shape, known.dtype))
