""".onnx files as sources: what is read, what is refused, and how they are described."""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeship.archives import implausible
from edgeship.errors import MissingPackageError, SourceError, first_line
from edgeship.names import safe_names
from edgeship.source.hashing import check_weights
from edgeship.source.kinds import NO_SOURCES
from edgeship.source.signature import Signature
from edgeship.types import Source, TensorSpec

#: A protocol buffer message holds no more; weights in other files count, because they are read into it.
_MAX_BYTES = 2**31 - 1
_QUANTIZED = frozenset(
    {"ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"}
)
_REMEDY = "Export or copy the model again."


def inspect_onnx(path: Path) -> Source:
    """Look at a float .onnx file; needs onnx only.

    Raises:
        SourceError: damaged, quantized, without inputs or with inputs of unknown rank, NaN weights, weights in a file
            outside of its folder.
        MissingPackageError: onnx is not installed.
    """
    plain = read_onnx(path)
    model = _with_shapes(plain)
    inputs, outputs = (
        _specs(path, values, fallback)
        for values, fallback in ((fed(model), "input"), (list(model.graph.output), "output"))
    )
    if not inputs:
        raise SourceError(f"{path.name} takes no inputs", remedy="Give the file of a model.")
    for spec in inputs:
        if not spec.shape:
            raise SourceError(
                f"{path.name}: the input {spec.name} is a single value, or of no known shape, not a batch of samples",
                remedy="Export the model with that value as a constant, or with shapes.",
            )
    return Source(
        path=path,
        kind="onnx",
        loader="onnxruntime",
        sha256=hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest(),
        inputs=inputs,
        outputs=outputs,
        parameters=check_weights(path.name, _weights(path, model)),
        trainable=False,
    )


def _with_shapes(model: Any) -> Any:
    """The model with shapes of its outputs, which ONNX can infer where they are not said."""
    import onnx

    if all(value.type.tensor_type.HasField("shape") for value in model.graph.output):
        return model
    try:
        return onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError):
        return model


def load_onnx(path: Path) -> Signature:
    """The file computed in TensorFlow [child]. Raises SourceError; when called, UnsupportedModelError."""
    from edgeship.source.onnx.graph import Computation

    model = read_onnx(path)
    found = inspect_onnx(path)
    return Signature(found.inputs, found.outputs, Computation(model).call)


def read_onnx(path: Path) -> Any:
    """The checked model, with weights that lie in other files of its folder read into it, and sparse ones made dense.

    Raises as `inspect_onnx`.
    """
    if importlib.util.find_spec("onnx") is None:
        raise MissingPackageError(f"reading {path.name} needs onnx", remedy="Get it: pip install 'edgeship[onnx]'")
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size > _MAX_BYTES:
        raise SourceError(f"{path.name} is larger than the 2 GiB that an ONNX file can hold")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError as error:
        raise SourceError(f"{path.name} is not an ONNX file: {error}", remedy=_REMEDY) from error
    if not model.opset_import or not model.graph.node:
        raise SourceError(f"{path.name} holds no ONNX graph", remedy=_REMEDY)
    _refuse(path, model)
    _read_outside(path, model)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise SourceError(f"{path.name} is no valid ONNX model: {first_line(error)}", remedy=_REMEDY) from error
    for graph in _graphs(model.graph):
        _fill_in(path, graph)
    return model


def outside(path: Path) -> list[str]:
    """Names of the other files that hold weights of a model; empty where it cannot be read."""
    if importlib.util.find_spec("onnx") is None or path.stat().st_size > _MAX_BYTES:
        return []
    import onnx
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, OSError):
        return []
    places = (entry.value for tensor in _tensors(model) for entry in tensor.external_data if entry.key == "location")
    return sorted(set(places))


def fed(model: Any) -> list[Any]:
    """Inputs that have no value in the file."""
    known = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in known]


def nodes(graph: Any) -> Iterator[Any]:
    """All nodes, those in the bodies of control flow too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from nodes(body)


def _refuse(path: Path, model: Any) -> None:
    for node in nodes(model.graph):
        if node.op_type in _QUANTIZED:
            why, remedy = NO_SOURCES["quantized .onnx"]
            raise SourceError(f"{path.name} is quantized ({node.op_type}): {why}", remedy=remedy)
    if len(model.functions):
        raise SourceError(
            f"{path.name} defines functions of its own ({model.functions[0].name}), which are not read",
            remedy="Inline them first: onnx.inliner.inline_local_functions(model).",
        )


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes(model.graph):
        for attribute in node.attribute:
            yield from [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph and the bodies of control flow in it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _graphs(body)


def _fill_in(path: Path, graph: Any) -> None:
    """Make sparse weights dense, which every tool reads. Raises SourceError for places that they do not have."""
    import numpy as np
    from onnx import numpy_helper

    for sparse in graph.sparse_initializer:
        name, shape = sparse.values.name, [int(size) for size in sparse.dims]
        values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
        size = values.itemsize * math.prod(shape)
        if min(shape, default=0) < 0 or implausible(size, sparse.ByteSize()):
            raise SourceError(f"{path.name}: {name} unpacks to {size:,} bytes, more than is plausible")
        dense = np.zeros(shape, values.dtype)
        try:
            dense[np.unravel_index(indices, shape) if indices.ndim == 1 else tuple(indices.T)] = values
        except (IndexError, ValueError) as error:
            raise SourceError(f"{path.name}: the sparse weight {name} is damaged: {error}", remedy=_REMEDY) from error
        graph.initializer.append(numpy_helper.from_array(dense, name))
    del graph.sparse_initializer[:]


def _read_outside(path: Path, model: Any) -> None:
    """Read what lies in other files. Raises SourceError where they are not in the folder, or hold less or more."""
    import onnx

    for tensor in _tensors(model):
        try:
            item = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        except KeyError as error:
            raise SourceError(f"{path.name}: {tensor.name} is of a type that nobody knows", remedy=_REMEDY) from error
        size = item * math.prod(max(0, n) for n in tensor.dims)
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            if implausible(size, tensor.ByteSize()):
                raise SourceError(f"{path.name}: {tensor.name} unpacks to {size:,} bytes, more than is plausible")
            continue
        said = {entry.key: entry.value for entry in tensor.external_data}
        content = _outside(path, tensor.name, said, size)
        if model.ByteSize() + size > _MAX_BYTES:
            raise SourceError(f"{path.name} and its weights are larger than the 2 GiB that one ONNX file can hold")
        tensor.raw_data = content
        del tensor.external_data[:]
        tensor.ClearField("data_location")


def _outside(path: Path, name: str, said: dict[str, str], size: int) -> bytes:
    place = path.parent / said.get("location", "")
    folder = path.parent.resolve()
    if not said.get("location") or not place.is_file() or not place.resolve().is_relative_to(folder):
        raise SourceError(
            f"{path.name}: the weight {name} lies in {said.get('location', '')!r}, which is no file of its folder",
            remedy="Copy the files of the model together, or save it as one file.",
        )
    try:
        offset, length = int(said.get("offset", 0)), int(said.get("length", size))
    except ValueError as error:
        raise SourceError(f"{path.name}: the place of the weight {name} is none: {said}", remedy=_REMEDY) from error
    if length != size or offset < 0 or offset + length > place.stat().st_size:
        raise SourceError(f"{path.name}: {place.name} does not hold the {size:,} bytes of {name}", remedy=_REMEDY)
    with place.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _weights(path: Path, model: Any) -> Iterator[tuple[str, Any]]:
    from onnx import numpy_helper

    for tensor in model.graph.initializer:
        try:
            array = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise SourceError(f"{path.name}: the weight {tensor.name} is damaged: {error}", remedy=_REMEDY) from error
        if array.dtype.kind in "fV":
            yield tensor.name, array


def _numbers() -> set[int]:
    """The types of elements that are numbers."""
    import onnx

    return set(onnx.TensorProto.DataType.values()) - {onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING}


def _specs(path: Path, values: list[Any], fallback: str) -> tuple[TensorSpec, ...]:
    import onnx

    found = []
    for name, value in zip(safe_names([v.name for v in values], fallback), values, strict=True):
        kind = value.type.tensor_type
        if not value.type.HasField("tensor_type") or kind.elem_type not in _numbers():
            raise SourceError(f"{path.name}: {value.name} is no tensor of numbers", remedy="Export it without that.")
        if not kind.HasField("shape"):
            raise SourceError(f"{path.name}: the shape of {value.name} is not known", remedy="Export it with shapes.")
        shape = tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
        found.append(TensorSpec(name, shape, str(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))))
    return tuple(found)
