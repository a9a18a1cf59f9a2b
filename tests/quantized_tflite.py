"""Small quantized .tflite files, operator by operator, made without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl


class Builder:
    """Puts a file together; tensors and operators are named by their numbers."""

    def __init__(self) -> None:
        self._graph = tfl.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        self._model = tfl.ModelT()
        self._model.version, self._model.subgraphs = 3, [self._graph]
        self._model.operatorCodes, self._model.buffers = [], [tfl.BufferT()]

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "INT8",
        *,
        data: np.ndarray | None = None,
        zero_point: int = 0,
        quantized: bool = True,
        signature: Sequence[int] | None = None,
    ) -> int:
        """A tensor; with `data` a constant. Only 8-bit ones are quantized."""
        tensor = tfl.TensorT()
        number = len(self._graph.tensors)
        tensor.name, tensor.shape, tensor.type = f"t{number}", list(shape), getattr(tfl.TensorType, dtype)
        tensor.buffer = 0
        if signature is not None:
            tensor.shapeSignature = list(signature)
        if quantized and dtype in ("INT8", "UINT8"):
            tensor.quantization = tfl.QuantizationParametersT()
            tensor.quantization.scale, tensor.quantization.zeroPoint = [0.1], [zero_point]
        if data is not None:
            buffer = tfl.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tensor.buffer = len(self._model.buffers)
            self._model.buffers.append(buffer)
        self._graph.tensors.append(tensor)
        return number

    def integers(self, *values: int) -> int:
        """A constant of int32: axes, shapes, paddings."""
        return self.tensor([len(values)], "INT32", data=np.array(values, np.int32))

    def weights(self, *shape: int) -> int:
        """Constant int8 weights."""
        return self.tensor(shape, data=np.ones(shape, np.int8))

    def operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: tuple[str, Mapping[str, Any]] | None = None,
        *,
        version: int = 1,
        custom_data: bytes | None = None,
    ) -> None:
        """An operator; a `kind` that is not built in makes a custom one."""
        code = tfl.OperatorCodeT()
        builtin = getattr(tfl.BuiltinOperator, kind, tfl.BuiltinOperator.CUSTOM)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), version
        if builtin == tfl.BuiltinOperator.CUSTOM:
            code.customCode = kind
        operator = tfl.OperatorT()
        operator.opcodeIndex = len(self._model.operatorCodes)
        operator.inputs, operator.outputs = list(inputs), list(outputs)
        if options is not None:
            name, values = options
            operator.builtinOptionsType = getattr(tfl.BuiltinOptions, name)
            operator.builtinOptions = getattr(tfl, f"{name}T")()
            for key, value in values.items():
                setattr(operator.builtinOptions, key, value)
        if custom_data is not None:
            operator.customOptions = np.frombuffer(custom_data, np.uint8)
        self._model.operatorCodes.append(code)
        self._graph.operators.append(operator)

    def file(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The bytes of the file."""
        self._graph.inputs, self._graph.outputs = list(inputs), list(outputs)
        packer = flatbuffers.Builder(1024)
        packer.Finish(self._model.Pack(packer), b"TFL3")
        return bytes(packer.Output())


def one(
    kind: str,
    inputs: Sequence[Sequence[int] | int],
    outputs: Sequence[Sequence[int]],
    options: tuple[str, Mapping[str, Any]] | None = None,
    builder: Builder | None = None,
    *,
    version: int = 1,
    dtype: str = "INT8",
) -> bytes:
    """A file with one operator; inputs are shapes, or numbers of tensors of `builder`."""
    made = builder or Builder()
    given = [made.tensor(i, dtype) if not isinstance(i, int) else i for i in inputs]
    computed = [number for number, i in zip(given, inputs, strict=True) if not isinstance(i, int)]
    results = [made.tensor(shape, dtype) for shape in outputs]
    made.operator(kind, given, results, options, version=version)
    return made.file(computed, results)


def chain(*kinds: str, side: int = 8) -> bytes:
    """Operators of one input, one after another."""
    builder = Builder()
    tensors = [builder.tensor([1, side, side, 4]) for _ in range(len(kinds) + 1)]
    for number, kind in enumerate(kinds):
        builder.operator(kind, [tensors[number]], [tensors[number + 1]])
    return builder.file(tensors[:1], tensors[-1:])
