"""Integer inputs and outputs for a file in which floats stand at the ends, because the operators there compute so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeship.names import unique
from edgeship_converters.calibration import Samples
from edgeship_converters.flatfile import read, text, write
from edgeship_converters.tflite import parts
from edgeship_converters.tflite.interpreter import Session

#: By dtype: versions of DEQUANTIZE and QUANTIZE that know it (tensorflow/compiler/mlir/lite/tools/versioning).
_VERSIONS: Mapping[str, tuple[int, int]] = {"int8": (2, 1), "int16": (3, 2)}


def add(content: bytes, dtype: str, samples: Samples) -> bytes:
    """The file with DEQUANTIZE behind float inputs and QUANTIZE before float outputs; as it is where there are none.

    Args:
        content: a file with one signature.
        dtype: `int8` or `int16`.
        samples: by input name; they set the ranges.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = read(content)
    signature, floats = model.signatureDefs[0], schema.TensorType.FLOAT32
    graph = model.subgraphs[signature.subgraphIndex]
    inputs = [entry for entry in signature.inputs if graph.tensors[entry.tensorIndex].type == floats]
    outputs = [entry for entry in signature.outputs if graph.tensors[entry.tensorIndex].type == floats]
    if not inputs and not outputs:
        return content
    ranges = _ranges(content, samples)
    for entry in inputs:
        end = _end(model, graph, entry, _scale(dtype, *ranges[text(entry.name)]), dtype)
        code = parts.code(model, "DEQUANTIZE", _VERSIONS[dtype][0])
        graph.operators.insert(0, parts.operator(code, [end], [int(entry.tensorIndex)], "DequantizeOptions"))
        graph.inputs = [end if index == entry.tensorIndex else int(index) for index in graph.inputs]
        entry.tensorIndex = end
    for entry in outputs:
        end = _end(model, graph, entry, _scale(dtype, *ranges[text(entry.name)]), dtype)
        code = parts.code(model, "QUANTIZE", _VERSIONS[dtype][1])
        graph.operators.append(parts.operator(code, [int(entry.tensorIndex)], [end], "QuantizeOptions"))
        graph.outputs = [end if index == entry.tensorIndex else int(index) for index in graph.outputs]
        entry.tensorIndex = end
    return write(model)


def _ranges(content: bytes, samples: Samples) -> dict[str, tuple[float, float]]:
    """(lowest, highest) of the inputs and outputs of real numbers, widened to hold 0."""
    given = list(samples())
    arrays = {name: np.concatenate([sample[name] for sample in given]) for name in given[0]}
    arrays |= Session(content).outputs(given)
    return {name: (min(0.0, float(a.min())), max(0.0, float(a.max()))) for name, a in arrays.items()}


def _scale(dtype: str, low: float, high: float) -> tuple[float, int]:
    """Scale and zero point; int16 is symmetric, as LiteRT demands."""
    if dtype == "int16":
        return max(-low, high, 1e-12) / 32767, 0
    scale = max(high - low, 1e-12) / 255
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def _end(model: Any, graph: Any, entry: Any, scale: tuple[float, int], dtype: str) -> int:
    """A new integer tensor like the one of an input or output."""
    from ai_edge_litert import schema_py_generated as schema

    old = graph.tensors[entry.tensorIndex]
    made = schema.TensorT()
    made.shape, made.shapeSignature, made.buffer = old.shape, old.shapeSignature, 0
    made.hasRank = old.hasRank
    made.type = {"int8": schema.TensorType.INT8, "int16": schema.TensorType.INT16}[dtype]
    made.quantization = schema.QuantizationParametersT()
    made.quantization.scale = np.array([scale[0]], np.float32)
    made.quantization.zeroPoint = np.array([scale[1]], np.int64)
    taken = {text(tensor.name) for part in model.subgraphs for tensor in part.tensors}
    made.name = unique(f"{text(old.name)}_{dtype}", taken).encode()
    graph.tensors.append(made)
    return len(graph.tensors) - 1
