""".tflite files, read as flatbuffers: no TensorFlow, no runtime.

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs, version 3, as `ai_edge_litert.schema_py_generated`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.inspection.bounds import Budget, damaged, read_file, text
from edgeship.inspection.description import Description, Op, Signature, Tensor, TensorQuantization
from edgeship.inspection.kinds import kind_of
from edgeship.inspection.macs import count, sizes
from edgeship.inspection.opened import Opened, counted, dequantize, is_weight, total_macs
from edgeship.inspection.precision import precision
from edgeship.inspection.tflite_metadata import buffers_of, read_metadata
from edgeship.inspection.tflite_options import names_of, option, options_of
from edgeship.inspection.tflite_versions import least_runtime, newest
from edgeship.names import unique
from edgeship.tflite_operators import builtin_names, builtin_number
from edgeship.types import Quantization, TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array

#: Operator -> which input is its kernel, and the kernel's layout.
_KERNELS: Mapping[str, tuple[int, str]] = {
    "CONV_2D": (1, "OHWI"),
    "DEPTHWISE_CONV_2D": (1, "1HWC"),
    "FULLY_CONNECTED": (1, "OI"),
    "TRANSPOSE_CONV": (1, "OHWI"),
    "CONV_3D": (1, "DHWIO"),
    "BATCH_MATMUL": (1, "IO"),
}
#: Position of the input that is convolved, where it is not the first.
_DATA = {"TRANSPOSE_CONV": 2}
_DTYPES = {"FLOAT32": "<f4", "FLOAT16": "<f2", "FLOAT64": "<f8"}
_DTYPES |= {
    f"{sign}INT{bits}": f"<{sign[:1].lower()}i{bits // 8}".replace("ui", "u")
    for bits in (8, 16, 32, 64)
    for sign in ("", "U")
}
_BITS = {"INT4": 4, "UINT4": 4, "INT2": 2}


@dataclass
class _File:
    """A file while it is read."""

    path: Path
    content: bytes
    model: Any
    schema: Any
    budget: Budget
    taken: set[str] = field(default_factory=set)
    unnamed: set[str] = field(default_factory=set)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    buffers: dict[str, int] = field(default_factory=dict)
    concrete: dict[str, tuple[int, ...]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def names_of(self, enum: str) -> dict[int, str]:
        return names_of(self.schema, enum)


def open_tflite(path: Path) -> Opened:
    """Take a .tflite file apart. Raises ArtifactError, MissingPackageError."""
    content = read_file(path)
    with damaged(path):
        from ai_edge_litert import schema_py_generated as schema

        if content[4:8] != b"TFL3":
            raise ValueError("it does not carry the mark TFL3 of a TFLite file")
        file = _File(path, content, schema.Model.GetRootAs(content, 0), schema, Budget(len(content)))
        description = _describe(file)
    return Opened(description, _values(file))


def _describe(file: _File) -> Description:
    graphs = [_tensors(file, number) for number in range(file.budget.spend(file.model.SubgraphsLength()))]
    ops = [op for number, names in enumerate(graphs) for op in _ops(file, number, names)]
    if not graphs:
        raise ValueError("it holds no graph")
    weights = _weights(file, ops)
    ops = list(counted(ops, file.tensors, weights))
    metadata = read_metadata(file.path, file.content, buffers_of(file.model, file.budget))
    inputs, outputs = _specs(file, graphs[0])
    macs, uncounted = total_macs(ops)
    tensors = tuple(file.tensors.values())
    return Description(
        file=str(file.path),
        format="tflite",
        facts={"description": text(file.model.Description()), "schema": str(file.model.Version())},
        size_bytes=len(file.content),
        sha256=hashlib.sha256(file.content).hexdigest(),
        inputs=inputs,
        outputs=outputs,
        ops=tuple(ops),
        tensors=tensors,
        parameters=sum(weights.values()),
        macs=macs,
        uncounted=uncounted,
        signatures=tuple(_signatures(file)),
        precision=precision(ops, file.tensors),
        requires=_requires(file, ops, metadata.least_runtime),
        metadata=metadata.texts,
        labels=metadata.labels,
        notes=tuple(file.notes),
    )


def _tensors(file: _File, number: int) -> list[str]:
    """Names of a subgraph's tensors by index; the tensors are noted in the file."""
    graph, kinds = file.model.Subgraphs(number), file.names_of("TensorType")
    names = []
    for index in range(file.budget.spend(graph.TensorsLength())):
        tensor = graph.Tensors(index)
        said = text(tensor.Name())
        name = unique(said or f"tensor {index}", file.taken)
        names.append(name)
        if not said:
            file.unnamed.add(name)
        rank = file.budget.spend(tensor.ShapeLength())
        concrete = tuple(int(tensor.Shape(axis)) for axis in range(rank))
        signature = [int(tensor.ShapeSignature(axis)) for axis in range(min(rank, tensor.ShapeSignatureLength()))]
        shape = tuple(None if size < 0 else size for size in signature) if len(signature) == rank else concrete
        # A file without a shape at all says so for scalars too; only HasRank tells them apart.
        known = rank > 0 or tensor.HasRank() or tensor.Buffer() > 0
        stored = _stored_bytes(file, tensor.Buffer())
        kind = kinds.get(tensor.Type(), str(tensor.Type()))
        found = Tensor(name, shape if known else None, kind.lower(), stored, stored > 0, _quantization(file, tensor))
        file.tensors[name] = found
        file.concrete[name] = concrete
        if stored:
            file.buffers[name] = tensor.Buffer()
            if tensor.Sparsity() is not None:
                file.buffers[name] = -1
                file.notes.append(f"{name} is stored sparse: its values are not read")
    return names


def _stored_bytes(file: _File, index: int) -> int:
    if index == 0:
        return 0
    if index >= file.model.BuffersLength():
        raise ValueError("a tensor names a buffer that does not exist")
    buffer = file.model.Buffers(index)
    # Files beyond 2 GB keep the data behind the flatbuffer and say so with offset and size.
    size = int(buffer.DataLength() or buffer.Size())
    if size > len(file.content):
        raise ValueError("a buffer is larger than the file")
    return size


def _quantization(file: _File, tensor: Any) -> TensorQuantization | None:
    found = tensor.Quantization()
    if found is None or not found.ScaleLength():
        return None
    length = file.budget.spend(found.ScaleLength())
    zeros = file.budget.spend(found.ZeroPointLength())
    scales = tuple(float(found.Scale(i)) for i in range(length))
    if not all(map(math.isfinite, scales)):
        file.notes.append(f"{text(tensor.Name())}: a scale of its quantization is not a number")
        return None
    points = tuple(float(found.ZeroPoint(i)) for i in range(zeros))
    axis = int(found.QuantizedDimension()) if length > 1 else None
    return TensorQuantization(scales, points or (0.0,) * length, axis)


def _ops(file: _File, number: int, names: list[str]) -> Iterator[Op]:
    graph = file.model.Subgraphs(number)
    label = "" if number == 0 else text(graph.Name()) or f"subgraph {number}"
    taken: set[str] = set()
    for index in range(file.budget.spend(graph.OperatorsLength())):
        operator = graph.Operators(index)
        code = file.model.OperatorCodes(operator.OpcodeIndex())
        kind = builtin_names().get(builtin_number(code), "CUSTOM")
        if kind == "CUSTOM":
            kind = f"CUSTOM {text(code.CustomCode())}".strip()
        inputs = tuple(_named(names, operator.Inputs(i)) for i in range(file.budget.spend(operator.InputsLength())))
        outputs = tuple(_named(names, operator.Outputs(i)) for i in range(file.budget.spend(operator.OutputsLength())))
        kernel, layout = _kernel(file, kind, inputs, operator)
        options = options_of(file.schema, operator)
        yield Op(
            name=unique(
                _op_name(file, outputs, kind, index)
                if number == 0
                else f"{label}/{_op_name(file, outputs, kind, index)}",
                taken,
            ),
            type=kind,
            kind="depthwise" if kind == "DEPTHWISE_CONV_2D" else kind_of(kind),
            inputs=inputs,
            outputs=outputs,
            options=options,
            version=int(code.Version()),
            kernel=kernel,
            layout=layout,
            macs=_macs(file, kind, inputs, outputs, (kernel, layout), options),
            graph=label,
        )


def _named(names: list[str], index: int) -> str:
    """-1 marks an optional input that is left out."""
    if not -1 <= index < len(names):
        raise ValueError("an operator names a tensor that does not exist")
    return "" if index == -1 else names[index]


def _op_name(file: _File, outputs: tuple[str, ...], kind: str, index: int) -> str:
    """The first of the names that the converter joined with `;`, or type and number where the file has no names."""
    named = outputs[0] if outputs and outputs[0] not in file.unnamed else ""
    parts = [part for part in named.split(";") if part]
    return parts[0] if parts else f"{kind} {index}"


def _kernel(file: _File, kind: str, inputs: tuple[str, ...], operator: Any) -> tuple[str, str]:
    position, layout = _KERNELS.get(kind, (0, ""))
    if not layout or len(inputs) <= position:
        return "", ""
    name = inputs[position]
    if not file.tensors.get(name, Tensor("", None, "")).constant:
        return "", ""
    rank = len(file.concrete[name])
    if kind == "BATCH_MATMUL" and rank >= 2:
        swapped = operator.BuiltinOptions() is not None and option(file.schema, operator, "adjY")
        layout = "B" * (rank - 2) + ("OI" if swapped else "IO")
    return (name, layout) if len(layout) == rank else ("", "")


def _macs(
    file: _File,
    kind: str,
    inputs: tuple[str, ...],
    outputs: tuple[str, ...],
    kernel: tuple[str, str],
    options: Mapping[str, Any],
) -> int | None:
    word = "depthwise" if kind == "DEPTHWISE_CONV_2D" else kind_of(kind)
    given = [file.concrete.get(name) for name in inputs if name]
    given = given[_DATA.get(kind, 0) :]
    if word == "recurrent":
        return _recurrent_macs(file, kind, inputs, options)
    shape = (file.concrete[kernel[0]], kernel[1]) if kernel[0] else _computed_kernel(file, kind, inputs)
    return count(word, kind, shape, given, file.concrete.get(outputs[0]) if outputs else None)


def _computed_kernel(file: _File, kind: str, inputs: tuple[str, ...]) -> tuple[tuple[int, ...], str] | None:
    """Shape and layout of a kernel that is no constant of the file: one that is widened from half precision, mostly."""
    position, layout = _KERNELS.get(kind, (0, ""))
    if kind in ("BATCH_MATMUL", "FULLY_CONNECTED") or not layout or len(inputs) <= position:
        return None  # products of computed matrices are counted from both
    found = file.concrete.get(inputs[position], ())
    return (found, layout) if len(found) == len(layout) else None


def _recurrent_macs(file: _File, kind: str, inputs: tuple[str, ...], options: Mapping[str, Any]) -> int | None:
    """All constant matrices, once for each step of the sequence."""
    data = file.concrete.get(inputs[0]) if inputs else None
    if data is None or len(data) != 3 or kind == "SVDF":
        return None
    matrices = [file.concrete[name] for name in inputs if name in file.buffers and len(file.concrete[name]) == 2]
    return sum(map(math.prod, matrices)) * data[0 if options.get("time_major") else 1]


def _weights(file: _File, ops: list[Op]) -> dict[str, int]:
    """Constants that are weights -> how many numbers they have. Biases are the last inputs of what has a kernel."""
    used = {name for op in ops if op.kernel or op.kind == "recurrent" for name in op.inputs}
    found, seen = {}, set()
    for name, buffer in file.buffers.items():
        numbers = sizes(file.concrete[name])
        if is_weight(file.tensors[name], name in used) and numbers is not None and (buffer < 0 or buffer not in seen):
            seen.add(buffer)
            found[name] = math.prod(numbers)
    return found


def _specs(file: _File, names: list[str]) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    graph, known = file.model.Subgraphs(0), _signature_names(file)
    found = []
    for length, index_of, side in (
        (graph.InputsLength(), graph.Inputs, "inputs"),
        (graph.OutputsLength(), graph.Outputs, "outputs"),
    ):
        indices = [index_of(i) for i in range(file.budget.spend(length))]
        found.append(tuple(_spec(file.tensors[_named(names, i)], known.get((side, i))) for i in indices if i >= 0))
    return found[0], found[1]


def _spec(tensor: Tensor, name: str | None) -> TensorSpec:
    q = tensor.quantization
    affine = Quantization(q.scales[0], int(q.zero_points[0])) if q is not None and len(q.scales) == 1 else None
    plain = tensor.name.removeprefix("serving_default_").removesuffix(":0")
    return TensorSpec(name or plain, tensor.shape or (), tensor.dtype, affine)


def _signature_names(file: _File) -> dict[tuple[str, int], str]:
    """(inputs or outputs, index of a tensor of the main graph) -> the name that the first signature has for it."""
    found: dict[tuple[str, int], str] = {}
    for index in range(file.budget.spend(file.model.SignatureDefsLength())):
        signature = file.model.SignatureDefs(index)
        if signature.SubgraphIndex() == 0:
            for side, length, item in (
                ("inputs", signature.InputsLength(), signature.Inputs),
                ("outputs", signature.OutputsLength(), signature.Outputs),
            ):
                for i in range(file.budget.spend(length)):
                    found.setdefault((side, int(item(i).TensorIndex())), text(item(i).Name()))
    return found


def _signatures(file: _File) -> Iterator[Signature]:
    for index in range(file.model.SignatureDefsLength()):
        found = file.model.SignatureDefs(index)
        inputs = tuple(text(found.Inputs(i).Name()) for i in range(file.budget.spend(found.InputsLength())))
        outputs = tuple(text(found.Outputs(i).Name()) for i in range(file.budget.spend(found.OutputsLength())))
        yield Signature(text(found.SignatureKey()), inputs, outputs)


def _requires(file: _File, ops: list[Op], written: str) -> dict[str, str]:
    """The least TFLite that has all operators, by our table and by what the converter wrote."""
    found, unknown = [], set()
    for op in ops:
        if not op.type.startswith("CUSTOM"):
            least = least_runtime(op.type, op.version or 1)
            found += [least] if least else []
            if least is None:
                unknown.add(f"{op.type} version {op.version}")
    requires = {"TFLite": newest(found) or "1.5.0"}
    if unknown:
        file.notes.append(f"it is not known which TFLite runs {', '.join(sorted(unknown)[:8])}")
        requires["TFLite"] += " or newer"
    if written:
        requires["TFLite, says the file"] = written
    custom = sorted({op.type.removeprefix("CUSTOM ") for op in ops if op.type.startswith("CUSTOM")})
    if custom:
        requires["custom operators"] = ", ".join(custom[:16])
    return requires


def _values(file: _File) -> Callable[[str], Array | None]:
    def values(name: str) -> Array | None:
        import numpy as np

        index = file.buffers.get(name, -1)
        tensor = file.tensors.get(name)
        if tensor is None or index < 0:
            return None
        with damaged(file.path):
            buffer = file.model.Buffers(index)
            raw = (
                buffer.DataAsNumpy()
                if buffer.DataLength()
                else np.frombuffer(file.content, np.uint8, int(buffer.Size()), int(buffer.Offset()))
            )
            stored = _stored(raw, tensor.dtype.upper(), math.prod(file.concrete[name]))
            return None if stored is None else dequantize(stored.reshape(file.concrete[name]), tensor)

    return values


def _stored(raw: Array, dtype: str, numbers: int) -> Array | None:
    """The numbers of a buffer as they are stored."""
    import numpy as np

    if dtype in _BITS:
        bits = _BITS[dtype]
        # Several numbers a byte, the first in the lowest bits.
        parts = np.stack([(raw >> shift) & (2**bits - 1) for shift in range(0, 8, bits)], axis=-1).reshape(-1)[:numbers]
        signed = parts.astype(np.int16)
        return signed if dtype.startswith("U") else np.where(signed >= 2 ** (bits - 1), signed - 2**bits, signed)
    if dtype not in _DTYPES:
        return None
    return np.frombuffer(raw.tobytes(), _DTYPES[dtype])
