"""New parts of a TFLite file: operator codes, operators, numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship.tflite_operators import builtin_number

if TYPE_CHECKING:
    from edgeship.types import Array


def code(model: Any, kind: str, version: int) -> int:
    """Index of the code of a built-in operator, in at least this version."""
    from ai_edge_litert import schema_py_generated as schema

    builtin = getattr(schema.BuiltinOperator, kind)
    for index, known in enumerate(model.operatorCodes):
        if builtin_number(known) == builtin:
            known.version = max(known.version, version)
            return index
    made = schema.OperatorCodeT()
    made.builtinCode = made.deprecatedBuiltinCode = builtin
    made.version = version
    model.operatorCodes.append(made)
    return len(model.operatorCodes) - 1


def operator(code: int, inputs: Sequence[int], outputs: Sequence[int], options: str) -> Any:
    """An operator with the default options of a table of the schema, such as `SliceOptions`."""
    from ai_edge_litert import schema_py_generated as schema

    made = schema.OperatorT()
    made.opcodeIndex, made.inputs, made.outputs = code, list(inputs), list(outputs)
    made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
    made.builtinOptions = getattr(schema, f"{options}T")()
    return made


def store(model: Any, tensor: Any, numbers: Array) -> None:
    """Give a tensor other numbers, in a buffer of its own: others may share the old one."""
    from ai_edge_litert import schema_py_generated as schema

    buffer = schema.BufferT()
    buffer.data = np.frombuffer(numbers.tobytes(), np.uint8)
    model.buffers.append(buffer)
    tensor.buffer = len(model.buffers) - 1


def constant(model: Any, graph: Any, name: str, numbers: Array) -> int:
    """Index of a new tensor of constant int32 numbers."""
    from ai_edge_litert import schema_py_generated as schema

    made = schema.TensorT()
    made.name, made.shape, made.type = name.encode(), list(numbers.shape), schema.TensorType.INT32
    store(model, made, numbers.astype("<i4"))
    graph.tensors.append(made)
    return len(graph.tensors) - 1
