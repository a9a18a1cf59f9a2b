"""Float .tflite files as the start of a conversion: delivered as they are, quantized, or read into ONNX.

They hold no TensorFlow graph; formats that start from one get it by way of ONNX.
"""

from __future__ import annotations

import hashlib
import importlib.util
import tempfile
import warnings
from pathlib import Path
from typing import Any

from edgeship.errors import MissingPackageError, SourceError, UnsupportedModelError
from edgeship.names import unique
from edgeship.source.signature import Signature
from edgeship.types import ConvertOptions, Source
from edgeship_converters import flatfile
from edgeship_converters.calibration import batches
from edgeship_converters.flatfile import SIGNATURE
from edgeship_converters.tflite import aeq


def to_tflite(source: Source, variant: str, options: ConvertOptions) -> bytes:
    """The file in another precision, with a signature that names inputs and outputs as the Source does.

    float32 is the file itself, byte for byte where it has that signature and holds no weights in half precision.

    Raises:
        UnsupportedModelError: the quantizer can do nothing for it.
        MissingPackageError: ai-edge-quantizer is not installed.
        SourceError: the file has changed since it was looked at.
    """
    if variant != "float32":
        precision, integer_io = variant.removesuffix("-floatio"), not variant.endswith("-floatio")
        samples = None
        if precision in aeq.STATIC:
            assert options.calibration is not None  # the converter has asked for it
            samples = batches(options.calibration, source.inputs, 1)
        return aeq.quantize(_prepared(source, short=False), {}, precision, samples, integer_io=integer_io)
    content = _content(source)
    model = flatfile.read(content)
    changed = [_sign(model, source), flatfile.restore_halves(model)]
    return flatfile.write(model) if any(changed) else content


def to_onnx(source: Source, opset: int) -> Any:
    """The float32 ONNX model, with inputs and outputs named as in the Source.

    Raises:
        UnsupportedModelError: tf2onnx cannot read an operator.
        MissingPackageError: tf2onnx is not installed.
        SourceError: the file has changed since it was looked at.
    """
    if importlib.util.find_spec("tf2onnx") is None:
        raise MissingPackageError("reading a .tflite file needs tf2onnx", remedy="Get it: pip install 'edgeship[onnx]'")
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


def computation(source: Source, opset: int = 18) -> Signature:
    """The file computed in TensorFlow, by way of ONNX [child].

    Raises what `to_onnx` raises, and when it is called UnsupportedModelError.
    """
    from edgeship.source.onnx.graph import Computation
    from edgeship_converters.onnx.canonical import canonical_model

    model = canonical_model(to_onnx(source, opset), source.inputs, source.outputs, rename=True)
    return Signature(source.inputs, source.outputs, Computation(model).call)


def _content(source: Source) -> bytes:
    content = source.path.read_bytes()
    if hashlib.sha256(content).hexdigest() != source.sha256:
        raise SourceError(f"{source.path.name} has changed since it was looked at", remedy="Run again.")
    return content


def _prepared(source: Source, *, short: bool) -> bytes:
    """The file as tools want it: float32 weights, inputs and outputs named as in the Source, operators by new code.

    Each name is used once.

    `short`: of `relu;batch_norm;conv/Conv2D`, the name of an operator that several were fused into, keep the last part.
    """
    model = flatfile.read(_content(source))
    _sign(model, source)
    flatfile.restore_halves(model)
    _name_tensors(model, source, short=short)
    flatfile.modernize(model)
    return flatfile.write(model)


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
                name = flatfile.text(tensor.name)
                name = unique((name.rpartition(";")[2] if short else name) or "tensor", taken)
            tensor.name = name.encode()
