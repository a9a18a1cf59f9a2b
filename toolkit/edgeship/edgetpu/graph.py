"""A .tflite file as plain values: as much of it as the rules of the Edge TPU look at.

Nothing in the file is trusted: what does not fit is an ArtifactError. Weights are not copied.
Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs, as `ai_edge_litert.schema_py_generated`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgeship.errors import ArtifactError, MissingPackageError
from edgeship.tflite_operators import builtin_name, builtin_number

#: The custom operator that stands for everything that was compiled for the Edge TPU.
COMPILED = "edgetpu-custom-op"

#: flatbuffers end at 2 GiB.
_MAX_BYTES = 2**31 - 1
#: Bounds that no real model comes near: axes of a tensor, and tensors that all operators name together.
_MAX_RANK = 64
_MAX_REFERENCES = 1 << 20
#: Constants of integers up to this size are read: axes, paddings, shapes.
_MAX_VALUES = 64
_INTEGERS = {"INT32": "<i", "INT64": "<q"}

#: Options of operators that a rule looks at.
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "ConcatenationOptions": ("FusedActivationFunction",),
    "Pool2DOptions": ("FusedActivationFunction",),
    "Conv2DOptions": ("DilationWFactor", "DilationHFactor"),
    "DepthwiseConv2DOptions": ("DilationWFactor", "DilationHFactor"),
    "FullyConnectedOptions": ("WeightsFormat",),
    "StridedSliceOptions": ("EllipsisMask", "NewAxisMask"),
    "PackOptions": ("Axis",),
}


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        name: in the file; what is not UTF-8 is replaced.
        shape: sizes; what is dynamic counts as given in the file, mostly 1.
        dynamic: whether the file says that a size is only known at run time.
        dtype: name in the schema, such as INT8.
        quantized: whether it has a scale.
        zero_point: of a quantization with one for the whole tensor.
        constant: whether its values lie in the file.
        values: of a small integer constant.
        data: of any constant, in place.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dynamic: bool
    dtype: str
    quantized: bool
    zero_point: int | None
    constant: bool
    values: tuple[int, ...] | None
    data: memoryview = field(repr=False, compare=False)


@dataclass(frozen=True)
class Operator:
    """One operator.

    Attributes:
        kind: its built-in name; the custom name for a custom one.
        code: the number of the built-in operator in the schema, which grew over the years.
        custom: whether it is none of the built-in ones.
        version: of the built-in operator.
        inputs: None where an optional one is left out.
        options: those that a rule looks at.
        custom_bytes: size of a custom operator's own data.
    """

    index: int
    kind: str
    code: int
    custom: bool
    version: int
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, int]
    custom_bytes: int


@dataclass(frozen=True)
class Graph:
    """The main subgraph of a file."""

    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int


def read_graph(path: Path) -> Graph:
    """Read a file. Raises ArtifactError for anything that is no whole .tflite file, MissingPackageError."""
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ArtifactError(f"{path} has {size:,} bytes, more than a .tflite file can have")
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}", remedy="Give a .tflite file.") from error
    if content[4:8] != b"TFL3":
        raise ArtifactError(
            f"{path} is no .tflite file: it lacks the mark TFL3",
            remedy="Make one: edgeship convert MODEL --to tflite --quantize int8 --data DATA.",
        )
    try:
        return _Reader(content).graph()
    except (struct.error, IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ArtifactError(f"{path} is damaged: {error}", remedy="Copy or convert it again.") from error


@cache
def _schema() -> Any:
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError as error:
        raise MissingPackageError(
            "reading .tflite files needs ai-edge-litert", remedy="Get it: pip install ai-edge-litert"
        ) from error
    return schema_py_generated


@cache
def _names(enum: str) -> Mapping[int, str]:
    return {value: name for name, value in vars(getattr(_schema(), enum)).items() if isinstance(value, int)}


class _Reader:
    def __init__(self, content: bytes) -> None:
        self._content = memoryview(content)
        self._model = _schema().Model.GetRootAs(content, 0)

    def graph(self) -> Graph:
        count = self._length(self._model.SubgraphsLength())
        if count < 1:
            raise ValueError("it has no graph")
        graph = self._model.Subgraphs(0)
        self._tensors = tuple(self._tensor(graph, n) for n in range(self._length(graph.TensorsLength())))
        codes = [self._code(n) for n in range(self._length(self._model.OperatorCodesLength()))]
        self._references = 0
        number = self._length(graph.OperatorsLength())
        return Graph(
            operators=tuple(self._operator(graph.Operators(n), n, codes) for n in range(number)),
            inputs=self._known(graph, "Inputs"),
            outputs=self._known(graph, "Outputs"),
            subgraphs=count,
        )

    def _length(self, length: int) -> int:
        """A vector's length, which must fit into the file: each entry takes four bytes at least."""
        if not 0 <= length <= len(self._content) // 4:
            raise ValueError("a list is longer than the file")
        return length

    def _tensor(self, graph: Any, number: int) -> Tensor:
        tensor = graph.Tensors(number)
        if max(tensor.ShapeLength(), tensor.ShapeSignatureLength()) > _MAX_RANK:
            raise ValueError(f"a tensor has more than {_MAX_RANK} axes")
        shape = tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))
        signature = [tensor.ShapeSignature(axis) for axis in range(tensor.ShapeSignatureLength())]
        dtype = _names("TensorType")[tensor.Type()]
        quantization = tensor.Quantization()
        single = quantization is not None and quantization.ZeroPointLength() == 1
        zero_point = int(quantization.ZeroPoint(0)) if single else None
        constant, data = self._data(tensor)
        return Tensor(
            index=number,
            name=(tensor.Name() or b"").decode(errors="replace"),
            shape=shape,
            dynamic=any(size < 0 for size in (*shape, *signature)),
            dtype=dtype,
            quantized=quantization is not None and quantization.ScaleLength() > 0,
            zero_point=zero_point,
            constant=constant,
            values=_integers(dtype, data) if constant else None,
            data=data,
        )

    def _data(self, tensor: Any) -> tuple[bool, memoryview]:
        nothing = self._content[:0]
        number = tensor.Buffer()
        if not 0 <= number < self._model.BuffersLength():
            raise ValueError("a tensor's values are not in the file")
        buffer = self._model.Buffers(number)
        if buffer is None:
            return False, nothing
        if buffer.Offset() > 1:  # values behind the flatbuffer
            return True, self._part(buffer.Offset(), buffer.Size())
        length = buffer.DataLength()
        if not length:
            return False, nothing
        table = buffer._tab
        return True, self._part(table.Vector(table.Offset(4)), length)

    def _part(self, start: int, length: int) -> memoryview:
        if not 0 <= start <= start + length <= len(self._content):
            raise ValueError("a tensor's values end behind the file")
        return self._content[start : start + length]

    def _code(self, number: int) -> tuple[str, int, bool, int]:
        """(name, number, whether it is custom, version) of a code; old files have only the field of one byte."""
        code = self._model.OperatorCodes(number)
        builtin, kind = builtin_number(code), builtin_name(code)
        if kind != "CUSTOM":
            return kind, builtin, False, code.Version()
        return (code.CustomCode() or b"CUSTOM").decode(errors="replace"), builtin, True, code.Version()

    def _operator(self, operator: Any, number: int, codes: list[tuple[str, int, bool, int]]) -> Operator:
        kind, code, custom, version = codes[operator.OpcodeIndex()]
        return Operator(
            index=number,
            kind=kind,
            code=code,
            custom=custom,
            version=version,
            inputs=self._named(operator, "Inputs"),
            outputs=self._known(operator, "Outputs"),
            options=_options(operator),
            custom_bytes=operator.CustomOptionsLength() or operator.LargeCustomOptionsSize(),
        )

    def _named(self, owner: Any, what: str) -> tuple[Tensor | None, ...]:
        """The tensors that a graph or an operator names; -1 is none."""
        count = self._length(getattr(owner, f"{what}Length")())
        self._references += count
        if self._references > _MAX_REFERENCES:
            raise ValueError("its operators have too many inputs and outputs")
        numbers = [getattr(owner, what)(n) for n in range(count)]
        if any(not -1 <= n < len(self._tensors) for n in numbers):
            raise ValueError("an operator names a tensor that is not there")
        return tuple(None if n < 0 else self._tensors[n] for n in numbers)

    def _known(self, owner: Any, what: str) -> tuple[Tensor, ...]:
        found = self._named(owner, what)
        if None in found:
            raise ValueError("a result is left out")
        return tuple(tensor for tensor in found if tensor is not None)


def _integers(dtype: str, data: memoryview) -> tuple[int, ...] | None:
    if dtype not in _INTEGERS or len(data) > _MAX_VALUES * 8:
        return None
    return tuple(value for (value,) in struct.iter_unpack(_INTEGERS[dtype], data))


def _options(operator: Any) -> Mapping[str, int]:
    """The options that a rule looks at; their defaults where the file leaves them out."""
    name = _names("BuiltinOptions").get(operator.BuiltinOptionsType(), "")
    table = operator.BuiltinOptions()
    if name not in _OPTIONS or table is None:
        return MappingProxyType({})
    options = getattr(_schema(), name)()
    options.Init(table.Bytes, table.Pos)
    return MappingProxyType({option: int(getattr(options, option)()) for option in _OPTIONS[name]})
