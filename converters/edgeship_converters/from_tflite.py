"""Float .tflite files as the start of a conversion: delivered as they are, quantized, or read into ONNX.

They hold no TensorFlow graph, so formats that need one cannot be made of them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeship.errors import MissingPackageError, SourceError, UnsupportedModelError
from edgeship.types import ConvertOptions, Source
from edgeship_converters.calibration import Samples, batches

SIGNATURE = "serving_default"

#: Variants with integer activations -> bits of activations, and whether inputs and outputs are integers too.
_STATIC: Mapping[str, tuple[int, bool]] = {
    "int8": (8, True),
    "int8-floatio": (8, False),
    "int16x8": (16, True),
    "int16x8-floatio": (16, False),
}


def to_tflite(source: Source, variant: str, options: ConvertOptions) -> bytes:
    """The file in another precision, with a signature that names inputs and outputs as the Source does.

    float32 is the file itself, byte for byte where it has that signature.

    Raises:
        UnsupportedModelError: the quantizer can do nothing for it.
        MissingPackageError: ai-edge-quantizer is not installed.
        SourceError: the file has changed since it was looked at.
    """
    if variant != "float32":
        return _quantize(_prepared(source, short=False), source, variant, options)
    content = _content(source)
    model = _read(content)
    return content if not _sign(model, source) else _write(model)


def to_onnx(source: Source, opset: int) -> Any:
    """The float32 ONNX model, with inputs and outputs named as in the Source.

    Raises:
        UnsupportedModelError: tf2onnx cannot read an operator.
        SourceError: the file has changed since it was looked at.
    """
    from tf2onnx import convert

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # tf2onnx asks for shapes with the interpreter that TensorFlow announces to remove.
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated", UserWarning)
        path = Path(folder) / "model.tflite"
        path.write_bytes(_prepared(source, short=True))
        try:
            model, _ = convert.from_tflite(str(path), opset=opset)
        except Exception as error:  # tf2onnx raises what its handlers raise, without a common base
            raise UnsupportedModelError(
                f"onnx: tf2onnx stopped: {error}", remedy="Give the model that the .tflite file was made from."
            ) from error
    unknown = sorted({node.op_type.removeprefix("TFL_") for node in model.graph.node if node.op_type.startswith("TFL")})
    if unknown:
        raise UnsupportedModelError(
            f"onnx: tf2onnx cannot convert {', '.join(unknown)} of a .tflite file",
            remedy="Give the model that the .tflite file was made from.",
        )
    return model


def _content(source: Source) -> bytes:
    content = source.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise SourceError(f"{source.path.name} has changed since it was looked at", remedy="Run again.")
    return content


def _prepared(source: Source, *, short: bool) -> bytes:
    """The file as tools want it: inputs and outputs named as in the Source, each name used once, operators by new code.

    `short`: of `relu;batch_norm;conv/Conv2D`, the name of an operator that several were fused into, keep the last part.
    """
    model = _read(_content(source))
    _sign(model, source)
    _name_tensors(model, source, short=short)
    for code in model.operatorCodes:  # files from before 2020 have only the old field, of one byte
        code.builtinCode = max(code.builtinCode, code.deprecatedBuiltinCode)
    return _write(model)


def _read(content: bytes) -> Any:
    from ai_edge_litert.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(content))


def _write(model: Any) -> bytes:
    """Weights within the flatbuffer, where every runtime finds them, not behind it."""
    from ai_edge_litert.tools import flatbuffer_utils

    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _sign(model: Any, source: Source) -> bool:
    """Give a model the one signature that it should have; False if it has it."""
    from ai_edge_litert import schema_py_generated as schema

    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = SIGNATURE.encode(), 0
    signature.inputs, signature.outputs = [], []
    graph = model.subgraphs[0]
    for indices, specs, entries in (
        (graph.inputs, source.inputs, signature.inputs),
        (graph.outputs, source.outputs, signature.outputs),
    ):
        for index, spec in zip(indices, specs, strict=True):
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = spec.name.encode(), int(index)
            entries.append(entry)
    if _described(model.signatureDefs) == _described([signature]):
        return False
    model.signatureDefs = [signature]
    return True


def _described(signatures: Any) -> list[Any]:
    return [
        (
            s.signatureKey,
            s.subgraphIndex,
            sorted((e.name, e.tensorIndex) for e in s.inputs),
            sorted((e.name, e.tensorIndex) for e in s.outputs),
        )
        for s in signatures or []
    ]


def _name_tensors(model: Any, source: Source, *, short: bool) -> None:
    graph = model.subgraphs[0]
    indices = [int(index) for index in (*graph.inputs, *graph.outputs)]
    if len(set(indices)) < len(indices):
        raise UnsupportedModelError(
            f"{source.path.name} gives one tensor out twice, or an input as an output",
            remedy="Give the model that it was made from.",
        )
    wanted = dict(zip(indices, (spec.name for spec in (*source.inputs, *source.outputs)), strict=True))
    taken = set(wanted.values())
    for other in model.subgraphs:
        for index, tensor in enumerate(other.tensors):
            if other is graph and index in wanted:
                name = wanted[index]
            else:
                name = (tensor.name or b"").decode(errors="replace")
                name = _unique((name.rpartition(";")[2] if short else name) or "tensor", taken)
            tensor.name = name.encode()


def _unique(name: str, taken: set[str]) -> str:
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}_{number}"
    taken.add(found)
    return found


def _quantize(content: bytes, source: Source, variant: str, options: ConvertOptions) -> bytes:
    if importlib.util.find_spec("ai_edge_quantizer") is None:
        raise MissingPackageError(
            "quantizing a .tflite file needs ai-edge-quantizer", remedy="Get it: pip install 'edgeship[tensorflow]'"
        )
    from ai_edge_quantizer import quantizer

    worker = quantizer.Quantizer(content)
    ranges = None
    with warnings.catch_warnings():
        # The interpreter says that keeping all tensors, from which the ranges are taken, needs memory.
        warnings.filterwarnings("ignore", "Warning: Enabling `experimental_preserve_all_tensors`", UserWarning)
        # Biases that are too large: `_correct_biases` sees to them.
        warnings.filterwarnings("ignore", "invalid value encountered in cast", RuntimeWarning)
        try:
            _configure(worker, variant)
            if worker.need_calibration:
                assert options.calibration is not None  # the converter has asked for it
                ranges = _ranges(worker, content, batches(options.calibration, source.inputs, 1))
            made = worker.quantize(ranges).quantized_model
        except Exception as error:  # it raises what its handlers raise, without a common base
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UnsupportedModelError(
                f"tflite/{variant}: ai-edge-quantizer stopped: {first[:300]}",
                remedy="Use another precision, or give the model that the .tflite file was made from.",
            ) from error
    model = _read(made)
    _correct_biases(model, _read(content), variant)
    result = _write(model)
    _check(result, source, variant)
    return result


def _correct_biases(quantized: Any, original: Any, variant: str) -> None:
    """Quantize the 64-bit biases of int16x8 again: the quantizer stores them in 64 bits, but cuts them off at 32.

    Their scale is that of the inputs times that of the weights, so a large bias beside small weights reaches the limit.
    Raises UnsupportedModelError for one of int8 that does; it has 32 bits.
    """
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    values = {
        tensor.name: np.frombuffer(bytes(original.buffers[tensor.buffer].data), "<f4")
        for graph in original.subgraphs
        for tensor in graph.tensors
        if tensor.type == schema.TensorType.FLOAT32 and original.buffers[tensor.buffer].data is not None
    }
    for tensor in (tensor for graph in quantized.subgraphs for tensor in graph.tensors):
        scale = None if tensor.quantization is None else tensor.quantization.scale
        if scale is None or not len(scale) or tensor.name not in values:
            continue
        if tensor.type not in (schema.TensorType.INT32, schema.TensorType.INT64):
            continue
        exact = np.round(values[tensor.name] / np.asarray(scale, np.float64))
        if tensor.type == schema.TensorType.INT64:
            stored = exact.astype("<i8").tobytes()
            quantized.buffers[tensor.buffer].data = np.frombuffer(stored, np.uint8)
        elif np.abs(exact).max(initial=0) >= 2**31:
            raise UnsupportedModelError(
                f"tflite/{variant}: the bias {tensor.name.decode()!r} is too large beside its weights",
                remedy="Use int16x8 or dynamic, or give the model that the .tflite file was made from.",
            )


def _check(content: bytes, source: Source, variant: str) -> None:
    """Raise UnsupportedModelError for a file in which nothing was quantized, or that does not run."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter

    smaller = schema.TensorType.FLOAT16 if variant == "float16" else schema.TensorType.INT8
    model = _read(content)
    if not any(tensor.type == smaller for graph in model.subgraphs for tensor in graph.tensors):
        raise UnsupportedModelError(
            f"tflite/{variant}: {source.path.name} has no weights that ai-edge-quantizer can make smaller",
            remedy="Use float32, or give the model that the .tflite file was made from.",
        )
    try:
        Interpreter(model_content=content).allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise UnsupportedModelError(
            f"tflite/{variant}: LiteRT cannot run {source.path.name} in this precision: {str(error)[:300]}",
            remedy="Use another precision, or give the model that the .tflite file was made from.",
        ) from error


def _configure(worker: Any, variant: str) -> None:
    """Say what to quantize, in the quantizer's terms."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    every = qtyping.TFLOperationName.ALL_SUPPORTED
    if variant == "dynamic":
        worker.add_dynamic_config(regex=".*", operation_name=every, num_bits=8)
    elif variant == "float16":
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(weight_tensor_config=half, explicit_dequantize=True)
        worker.update_quantization_recipe(".*", every, config, AlgorithmName.FLOAT_CASTING)
    else:
        bits, integer_io = _STATIC[variant]
        worker.add_static_config(regex=".*", operation_name=every, activation_num_bits=bits, weight_num_bits=8)
        for end in () if integer_io else (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
            worker.update_quantization_recipe(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _ranges(worker: Any, content: bytes, samples: Samples) -> Any:
    """Smallest and largest value of every tensor.

    Not `worker.calibrate`: that averages the ranges of single samples, which cuts off half of the largest values
    (on ResNet-8, 6 dB more noise in int8 and 7 dB more in int16x8).
    """
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    recipe = recipe_manager.RecipeManager()
    recipe.load_quantization_recipe(worker.get_quantization_recipe())
    collector = calibrator.Calibrator(content, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    collector.calibrate({SIGNATURE: list(samples())}, recipe)
    return collector.get_model_qsvs()
