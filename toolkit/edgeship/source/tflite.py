""".tflite files as sources, read without TensorFlow."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from edgeship.errors import MissingPackageError, SourceError
from edgeship.names import safe_names
from edgeship.source.hashing import check_weights
from edgeship.source.kinds import NO_SOURCES
from edgeship.types import Source, TensorSpec

#: Types of TFLite tensors that stand for real numbers where they have a scale.
_QUANTIZED = frozenset({"INT2", "INT4", "UINT4", "INT8", "UINT8", "INT16"})


def inspect_tflite(path: Path) -> Source:
    """Look at a float .tflite file; needs ai-edge-litert only.

    Raises:
        SourceError: damaged, quantized, several signatures, or NaN weights.
        MissingPackageError: ai-edge-litert is not installed.
    """
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise SourceError(f"{path.name} is not a TFLite file (it does not carry the mark TFL3)")
    interpreter = _interpreter(path, content)
    try:
        return _described(path, content, interpreter)
    except (ValueError, RuntimeError, struct.error, IndexError, TypeError, AttributeError) as error:
        # A flatbuffer is read in place: its offsets lead wherever they like.
        raise SourceError(f"{path.name} is damaged: {error}", remedy="Copy or convert it again.") from error


def _described(path: Path, content: bytes, interpreter: Any) -> Source:
    model = _flatbuffer(content)
    _refuse_quantized(path, model)
    names = _signature_names(path, interpreter)
    inputs, outputs = (
        _specs(details, names.get(key, {}), key[:-1])
        for key, details in (("inputs", interpreter.get_input_details()), ("outputs", interpreter.get_output_details()))
    )
    return Source(
        path=path,
        kind="tflite",
        loader="litert",
        sha256=hashlib.sha256(content).hexdigest(),
        inputs=inputs,
        outputs=outputs,
        parameters=check_weights(path.name, _constants(model)),
        trainable=False,
    )


def _interpreter(path: Path, content: bytes) -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingPackageError(
            "reading .tflite files needs ai-edge-litert", remedy="Get it: pip install ai-edge-litert"
        ) from error
    try:
        return Interpreter(model_content=content)
    except (ValueError, RuntimeError) as error:
        raise SourceError(f"{path.name} is damaged: {error}", remedy="Copy or convert it again.") from error


def _flatbuffer(content: bytes) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema.Model.GetRootAs(content, 0)


def _tensors(model: Any) -> Iterator[Any]:
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for index in range(graph.TensorsLength()):
            yield graph.Tensors(index)


def _refuse_quantized(path: Path, model: Any) -> None:
    from ai_edge_litert import schema_py_generated as schema

    names = {value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
    for tensor in _tensors(model):
        kind = names.get(tensor.Type(), str(tensor.Type()))
        quantization = tensor.Quantization()
        # Scales of blocks and custom ones lie in the details.
        scaled = quantization is not None and (quantization.ScaleLength() or quantization.DetailsType())
        if kind in _QUANTIZED and scaled:
            why, remedy = NO_SOURCES["quantized .tflite"]
            raise SourceError(f"{path.name} is quantized ({kind.lower()}): {why}", remedy=remedy)


def _constants(model: Any) -> Iterator[tuple[str, Any]]:
    """(name, values) of the float tensors whose values lie in the file."""
    from ai_edge_litert import schema_py_generated as schema

    dtypes = {schema.TensorType.FLOAT32: "<f4", schema.TensorType.FLOAT16: "<f2", schema.TensorType.FLOAT64: "<f8"}
    for index, tensor in enumerate(_tensors(model)):
        buffer = model.Buffers(tensor.Buffer())
        if tensor.Type() in dtypes and buffer is not None and buffer.DataLength():
            name = tensor.Name()  # optional in the format
            yield (
                name.decode(errors="replace") if name else f"constant {index}",
                np.frombuffer(buffer.DataAsNumpy().tobytes(), dtypes[tensor.Type()]),
            )


def _signature_names(path: Path, interpreter: Any) -> dict[str, dict[int, str]]:
    """`inputs` and `outputs` -> tensor index -> the signature's name for it; empty without a signature."""
    signatures = interpreter.get_signature_list()
    if len(signatures) > 1:
        raise SourceError(
            f"{path.name} has {len(signatures)} signatures ({', '.join(signatures)})", remedy="Give a file with one."
        )
    if not signatures:
        return {}
    runner = interpreter.get_signature_runner(next(iter(signatures)))
    return {
        "inputs": {d["index"]: name for name, d in runner.get_input_details().items()},
        "outputs": {d["index"]: name for name, d in runner.get_output_details().items()},
    }


def _specs(details: list[dict[str, Any]], names: dict[int, str], fallback: str) -> tuple[TensorSpec, ...]:
    plain = [names.get(d["index"], d["name"].removeprefix("serving_default_").removesuffix(":0")) for d in details]
    shapes = [d["shape_signature"] if len(d["shape_signature"]) else d["shape"] for d in details]
    return tuple(
        TensorSpec(name, tuple(None if n < 0 else int(n) for n in shape), np.dtype(d["dtype"]).name)
        for name, shape, d in zip(safe_names(plain, fallback), shapes, details, strict=True)
    )
