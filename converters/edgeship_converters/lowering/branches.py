"""What a graph computes while running although it is known before: sizes, and which branch is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tensorflow.core.framework.node_def_pb2 import NodeDef

#: A condition that hangs on more operators than this is taken for one that depends on the data.
_MOST_OPERATORS = 500


def known_sizes(node: NodeDef, inputs: list[Any]) -> Any:
    """StridedSlice of the shape of a tensor: single axes whose size is known."""
    import tensorflow as tf

    shape = inputs[0].op
    if shape.type != "Shape":
        return None
    begin, end, step = (tf.get_static_value(tensor) for tensor in inputs[1:])
    rank = shape.inputs[0].shape.rank
    whole = [node.attr[name].i for name in ("ellipsis_mask", "new_axis_mask")]
    if rank is None or any(bound is None or bound.size != 1 for bound in (begin, end, step)) or any(whole):
        return None
    first = None if node.attr["begin_mask"].i else int(begin[0])
    last = None if node.attr["end_mask"].i else int(end[0])
    sizes = shape.inputs[0].shape.as_list()
    single = node.attr["shrink_axis_mask"].i
    found = [sizes[int(begin[0])]] if single else sizes[first : last : int(step[0])]
    if None in found or not found:
        return None
    return tf.constant(found[0] if single else found, inputs[0].dtype)


def decided_branch(node: NodeDef, inputs: list[Any]) -> Any:
    """If with a condition that does not depend on the data: the branch that is taken, in place of the node."""
    import tensorflow as tf

    taken = value_of(inputs[0])
    if taken is None or inputs[0].shape.rank != 0:
        return None
    name = node.attr["then_branch" if bool(taken) else "else_branch"].func.name
    return _inlined(name, inputs[1:], tf.compat.v1.get_default_graph())


def _inlined(name: str, arguments: list[Any], graph: Any) -> list[Any] | None:
    import tensorflow as tf
    from tensorflow.python.framework import function_def_to_graph

    library = graph.as_graph_def().library
    definition = next((f for f in library.function if f.signature.name == name), None)
    if definition is None:
        return None
    body = function_def_to_graph.function_def_to_graph(definition)
    given = {placeholder.name: tensor for placeholder, tensor in zip(body.inputs, arguments, strict=True)}
    wanted = [tensor.name for tensor in body.outputs]
    found = tf.graph_util.import_graph_def(body.as_graph_def(), name="branch", input_map=given, return_elements=wanted)
    return list(found)


def value_of(tensor: Any) -> Any:
    """The value of a tensor that depends on no input of the graph, as a NumPy array; None for others."""
    import tensorflow as tf

    known = tf.get_static_value(tensor)
    if known is not None:
        return known
    seen, waiting = set(), [tensor.op]
    while waiting:
        operation = waiting.pop()
        if operation.name in seen:
            continue
        seen.add(operation.name)
        if operation.type == "Placeholder" or len(seen) > _MOST_OPERATORS:
            return None
        waiting.extend(given.op for given in operation.inputs)
    with tf.compat.v1.Session(graph=tensor.graph) as session:
        return session.run(tensor)
