""".onnx files, read with the `onnx` package; values in other files are not followed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import ArtifactError, first_line
from edgeship.inspection.bounds import Budget, damaged, read_file, text
from edgeship.inspection.description import Description, Op, Shape, Signature, Tensor, TensorQuantization
from edgeship.inspection.kinds import kind_of
from edgeship.inspection.macs import count
from edgeship.inspection.onnx_versions import least_runtime
from edgeship.inspection.opened import Opened, counted, dequantize, is_weight, total_macs
from edgeship.inspection.precision import precision
from edgeship.names import unique
from edgeship.types import TensorSpec
from edgeship.usage.onnx import from_props

if TYPE_CHECKING:
    from edgeship.types import Array

#: Ops that hand a constant on; a kernel is looked for behind them.
_TRANSPARENT = ("DequantizeLinear", "QuantizeLinear", "Cast", "Identity")
#: Position of the kernel where it is not input 1, and of its zero point or scale in ops that have them in line.
_KERNEL_AT = {"QLinearConv": 3, "QLinearMatMul": 3, "QGemm": 3}
_LETTERS = {"conv": "OI", "transpose_conv": "IO"}
_MAX_SHOWN = 64


@dataclass
class _File:
    path: Path
    model: Any
    budget: Budget
    tensors: dict[str, Tensor] = field(default_factory=dict)
    shapes: dict[str, Shape | None] = field(default_factory=dict)
    constants: dict[str, Any] = field(default_factory=dict)
    makers: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def open_onnx(path: Path) -> Opened:
    """Take an .onnx file apart. Raises ArtifactError, MissingPackageError."""
    content = read_file(path)
    with damaged(path):
        from google.protobuf.message import DecodeError
        from onnx import ModelProto

        model = ModelProto()
        try:
            model.ParseFromString(content)
        except DecodeError as error:
            raise ValueError(f"it is no ONNX message ({error})") from error
        if not model.opset_import or not model.HasField("graph"):
            raise ArtifactError(f"{path} holds no ONNX graph", remedy="Give a .onnx file that a converter wrote.")
        file = _File(path, model, Budget(len(content)))
        description = _describe(file, content)
    return Opened(description, _values(file))


def _describe(file: _File, content: bytes) -> Description:
    model, graph = file.model, file.model.graph
    _read_tensors(file, _with_shapes(file))
    found = list(_ops(file, graph, ""))
    weights = _weights(file, found)
    ops = counted(found, file.tensors, weights)
    macs, uncounted = total_macs(ops)
    inputs, outputs = (tuple(_spec(info) for info in infos) for infos in (_fed(graph), graph.output))
    metadata = {text(entry.key): text(entry.value) for entry in model.metadata_props}
    producer = " ".join(filter(None, (text(model.producer_name), text(model.producer_version))))
    said = {"description": text(model.doc_string), "domain": text(model.domain), "graph": text(graph.name)}
    return Description(
        file=str(file.path),
        format="onnx",
        facts={"made by": producer or "nobody said", **{key: value for key, value in said.items() if value}},
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        inputs=inputs,
        outputs=outputs,
        ops=ops,
        tensors=tuple(file.tensors.values()),
        parameters=sum(weights.values()),
        macs=macs,
        uncounted=uncounted,
        signatures=(Signature(text(graph.name), tuple(s.name for s in inputs), tuple(s.name for s in outputs)),),
        precision=precision(ops, file.tensors),
        requires=_requires(file),
        metadata=metadata,
        labels=from_props(metadata).labels,
        notes=tuple(file.notes),
    )


def _with_shapes(file: _File) -> Any:
    """The graph with the shapes that ONNX infers, which a file need not hold."""
    import onnx

    try:
        return onnx.shape_inference.infer_shapes(file.model, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        file.notes.append(f"shapes could not be inferred: {first_line(error, 200)}")
        return file.model.graph


def _read_tensors(file: _File, graph: Any) -> None:
    import onnx

    for info in (*graph.input, *graph.value_info, *graph.output):
        kind = info.type.tensor_type
        shape = _shape(kind.shape) if kind.HasField("shape") else None
        file.shapes[info.name] = shape
        file.tensors[info.name] = Tensor(text(info.name), shape, _dtype(onnx, kind.elem_type))
    for node in file.model.graph.node:
        for name in node.output:
            file.makers.setdefault(name, node)
        value = next((a.t for a in node.attribute if a.name == "value" and a.HasField("t")), None)
        if node.op_type == "Constant" and value is not None and node.output:
            _add_constant(file, onnx, node.output[0], value)
    for initializer in file.model.graph.initializer:
        _add_constant(file, onnx, initializer.name, initializer)
    _read_quantization(file)


def _add_constant(file: _File, onnx: Any, name: str, value: Any) -> None:
    file.budget.spend(len(value.dims))
    shape = tuple(int(size) for size in value.dims)
    if any(size < 0 for size in shape):
        raise ValueError(f"{name} has the shape {shape}")
    outside = value.data_location == onnx.TensorProto.EXTERNAL
    if outside:
        file.notes.append(f"the values of {name} lie in another file, which is not read")
    file.constants[name] = None if outside else value
    file.shapes[name] = shape
    file.tensors[name] = Tensor(text(name), shape, _dtype(onnx, value.data_type), value.ByteSize(), True)


def _read_quantization(file: _File) -> None:
    """Scales and zero points of what a DequantizeLinear reads, or a QuantizeLinear writes."""
    for node in file.model.graph.node:
        if node.op_type not in ("DequantizeLinear", "QuantizeLinear") or len(node.input) < 2 or not node.output:
            continue
        name = node.input[0] if node.op_type == "DequantizeLinear" else node.output[0]
        tensor, scales = file.tensors.get(name), _small(file, node.input[1])
        zeros = _small(file, node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if tensor is None or scales is None or not all(map(math.isfinite, scales)):
            continue
        settings = {a.name: a.i for a in node.attribute}
        block = settings.get("block_size") or None
        axis = settings.get("axis", 1) if len(scales) > 1 else None
        rank = len(tensor.shape or ())
        axis = axis % rank if axis is not None and rank else axis
        q = TensorQuantization(tuple(scales), tuple(zeros or (0.0,) * len(scales)), axis, block)
        file.tensors[name] = replace(tensor, quantization=q)


def _small(file: _File, name: str) -> list[float] | None:
    """The numbers of a constant of at most one axis."""
    value = file.constants.get(name)
    if value is None or len(value.dims) > 2:
        return None
    array = _array(value)
    return None if array is None else [float(v) for v in array.reshape(-1)[: file.budget.spend(array.size)]]


def _array(value: Any) -> Array | None:
    """The numbers of a TensorProto; None for what is no number."""
    import numpy as np
    from onnx import numpy_helper

    array = np.asarray(numpy_helper.to_array(value))
    if array.dtype.kind in "fiub":
        return array
    # int4, float8 and bfloat16 come as types of ml_dtypes.
    return array.astype(np.float32) if array.dtype.kind == "V" else None


def _ops(file: _File, graph: Any, label: str) -> Iterator[Op]:
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        file.budget.spend(1 + len(node.input) + len(node.output))
        if node.op_type == "Constant":
            continue
        name = unique(text(node.name) or (text(node.output[0]) if node.output else f"{node.op_type} {index}"), taken)
        yield _op(file, node, f"{label}/{name}" if label else name, label)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in (5, 10) else ():
                yield from _ops(file, inner, f"{name}.{attribute.name}" if not label else f"{label}/{name}")


def _op(file: _File, node: Any, name: str, label: str) -> Op:
    custom = node.domain not in ("", "ai.onnx")
    op_type = f"{text(node.domain)}.{text(node.op_type)}" if custom else text(node.op_type)
    kernel, kind, layout = _kernel(file, node)
    inputs, outputs = tuple(map(text, node.input)), tuple(map(text, node.output))
    given = [file.shapes.get(name) for name in node.input if name]
    out = file.shapes.get(node.output[0]) if node.output else None
    shape = (file.shapes[kernel], layout) if kernel else None
    macs = _recurrent(file, node) if kind == "recurrent" else count(kind, node.op_type, shape, given, out)  # type: ignore[arg-type] # a kernel is a constant: its shape is known
    return Op(
        name=name,
        type=op_type,
        kind=kind,
        inputs=inputs,
        outputs=outputs,
        options=_options(node),
        version=_opset(file.model, node.domain),
        kernel=kernel,
        layout=layout,
        macs=None if custom and kind == "other" else macs,
        graph=label,
    )


def _kernel(file: _File, node: Any) -> tuple[str, str, str]:
    """The constant that a node multiplies with, the kind of node, and the constant's layout."""
    kind, position = kind_of(node.op_type), _KERNEL_AT.get(node.op_type, 1)
    if kind not in ("conv", "dense", "matmul", "transpose_conv") or len(node.input) <= position:
        return "", kind, ""
    name = _behind(file, node.input[position])
    shape = file.shapes.get(name) if name in file.constants else None
    if shape is None or len(shape) < 2 or "insum" in node.op_type or node.op_type == "MatMulNBits":
        return "", kind, ""
    settings = {a.name: a.i for a in node.attribute}
    if kind in _LETTERS:
        places = "DHW"[5 - len(shape) :] if len(shape) > 2 else ""
        if kind == "conv" and settings.get("group", 1) > 1 and shape[1] == 1:
            return name, "depthwise", f"C1{places}"
        return name, kind, f"{_LETTERS[kind]}{places}"
    pair = "OI" if node.op_type == "Gemm" and settings.get("transB") else "IO"
    # A matrix product with one constant matrix is what other formats call a dense layer.
    return name, "dense" if len(shape) == 2 else kind, "B" * (len(shape) - 2) + pair


def _behind(file: _File, name: str) -> str:
    for _ in range(4):
        node = file.makers.get(name)
        if name in file.constants or node is None or node.op_type not in _TRANSPARENT or not node.input:
            break
        name = node.input[0]
    return name


def _recurrent(file: _File, node: Any) -> int | None:
    """Input and recurrent matrices, once for each step: the first axis of the input."""
    given = [file.shapes.get(name) for name in node.input[:3]]
    steps = given[0][0] if given and given[0] else None
    matrices = [math.prod(size or 0 for size in shape) for shape in given[1:] if shape]
    return None if steps is None or len(matrices) != 2 else steps * sum(matrices)


def _options(node: Any) -> dict[str, Any]:
    """Attributes that are numbers or texts, by the type that AttributeProto says."""
    found: dict[str, Any] = {}
    for a in node.attribute:
        values = {1: [a.f], 2: [a.i], 3: [a.s], 6: a.floats, 7: a.ints, 8: a.strings}.get(a.type)
        if values is not None:
            plain = [_plain(value) for value in values[:_MAX_SHOWN]]
            found[text(a.name)[:100]] = plain[0] if a.type <= 3 else plain
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return text(value)[:200]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _opset(model: Any, domain: str) -> int | None:
    same = ("", "ai.onnx") if domain in ("", "ai.onnx") else (domain,)
    return next((int(o.version) for o in model.opset_import if o.domain in same), None)


def _shape(shape: Any) -> Shape:
    return tuple(int(d.dim_value) if d.HasField("dim_value") and d.dim_value >= 0 else None for d in shape.dim)


def _dtype(onnx: Any, kind: int) -> str:
    """The name of an element type, as NumPy has it where it does."""
    try:
        name = str(onnx.TensorProto.DataType.Name(kind)).lower()
    except ValueError:
        return f"type {kind}"
    return {"float": "float32", "double": "float64"}.get(name, name)


def _fed(graph: Any) -> list[Any]:
    """Inputs that are no initializers (old files list those too)."""
    constants = {initializer.name for initializer in graph.initializer}
    return [info for info in graph.input if info.name not in constants]


def _spec(info: Any) -> TensorSpec:
    import onnx

    return TensorSpec(
        text(info.name), _shape(info.type.tensor_type.shape), _dtype(onnx, info.type.tensor_type.elem_type)
    )


def _weights(file: _File, ops: Sequence[Op]) -> dict[str, int]:
    """Constants that are weights -> how many numbers they have; scales and zero points are none."""
    aside = set()
    for node in file.model.graph.node:
        if node.op_type.endswith("Linear"):
            aside.update(node.input[1:])
        elif node.op_type.startswith("QLinear"):
            aside.update(name for i, name in enumerate(node.input) if i not in (0, 3, 8))
        elif node.op_type in ("Clip", "Pad", "Resize", "Upsample"):
            aside.update(node.input[1:])
    used = {op.kernel for op in ops}
    # The int32 bias of a quantized network is read through DequantizeLinear.
    used |= {node.input[0] for node in file.model.graph.node if node.op_type == "DequantizeLinear" and node.input}
    return {
        name: math.prod(size or 0 for size in shape)
        for name in file.constants
        if name not in aside
        and is_weight(file.tensors[name], name in used)
        and (shape := file.shapes[name]) is not None
    }


def _requires(file: _File) -> dict[str, str]:
    """The least releases of ONNX, by the table of its package, and of ONNX Runtime that have all operator sets."""
    from onnx.helper import VERSION_TABLE

    model = file.model
    sets = {text(o.domain) or "ai.onnx": int(o.version) for o in model.opset_import}
    found = {"IR version": str(model.ir_version), **{f"opset {domain}": str(v) for domain, v in sets.items()}}
    standard = _opset(model, "") or 0
    least = next((row[0] for row in VERSION_TABLE if row[1] >= model.ir_version and row[2] >= standard), None)
    found["ONNX"] = least or "newer than the installed package knows"
    found["ONNX Runtime"] = least_runtime(standard, model.ir_version)
    foreign = sorted({text(n.domain) for n in model.graph.node if n.domain not in ("", "ai.onnx")})
    if foreign:
        found["operators of"] = ", ".join(foreign[:16])
    return found


def _values(file: _File) -> Callable[[str], Array | None]:
    def values(name: str) -> Array | None:
        value = file.constants.get(name)
        if value is None:
            return None
        with damaged(file.path):
            array = _array(value)
            tensor = file.tensors[name]
            blocks = tensor.quantization is not None and tensor.quantization.block
            return None if array is None or blocks else dequantize(array, tensor)

    return values
