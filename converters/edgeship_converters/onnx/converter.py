"""ONNX files, made by tf2onnx from the frozen graph, or from a float .tflite file."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from edgeship.errors import DataError, UnsupportedModelError
from edgeship.types import Artifact, ConvertOptions, Source, TensorSpec
from edgeship_converters.correction import corrected
from edgeship_converters.describe import describe, versions
from edgeship_converters.graph.frozen import FrozenGraph, freeze, or_unrolled
from edgeship_converters.onnx import int8 as onnx_int8
from edgeship_converters.onnx.canonical import canonical_model
from edgeship_converters.onnx.opsets import OFFERED, WRITTEN, at_opset
from edgeship_converters.tflite import from_tflite
from edgeship_converters.usage import add_props

FILE = "model.onnx"
#: What a protocol buffer message can hold; above it ONNX needs side files.
_MAX_BYTES = 2**31 - 1
_PACKAGES = ("tensorflow", "keras", "onnx", "onnxruntime", "sympy", "tf2onnx")


class ONNXConverter:
    """Writes `model.onnx`: inputs as the model has them (NHWC), a dynamic batch axis named `batch`.

    The operator set is the one asked for; else 18, or that of an .onnx file that is converted.
    """

    format = "onnx"
    variants = ("float32", "float16", "int8")
    #: The int8 file quantizes inside: its inputs and outputs are float.
    equivalents: Mapping[str, str] = {"int8-floatio": "int8"}
    files = ("tflite",)
    opsets = OFFERED
    why_not_more = "ONNX Runtime's quantizer for edge devices is static int8"

    def missing(self) -> Sequence[str]:
        """Packages to install first; looks, imports nothing."""
        return [name.replace("_", "-") for name in _PACKAGES if importlib.util.find_spec(name) is None]

    def convert(self, source: Source, variant: str, options: ConvertOptions, out_dir: Path) -> Artifact:
        """Write `model.onnx` (see `edgeship.contracts.Converter`).

        float16 keeps float32 inputs and outputs, and numbers that float16 cannot hold (`onnx.float16`). int8 is static
        QDQ, U8S8 (uint8 activations, int8 weights per channel), ranges from the calibration samples (`onnx.int8`).

        Raises:
            UnsupportedModelError: an operator has no ONNX form, or none in the operator set that was asked for; the
                model is too large.
            DataError: int8 without calibration samples.
        """
        if variant == "int8" and options.calibration is None:
            raise DataError(
                "onnx/int8 needs sample inputs to set the ranges of activations, and no data was given",
                remedy="Add --data, or use --quantize float16.",
            )
        plain = _export(source, variant, options)
        model = plain.model
        if variant == "float16":
            from edgeship_converters.onnx.float16 import to_float16  # loads NumPy

            model = to_float16(model)
        elif variant == "int8":
            assert options.calibration is not None
            model = onnx_int8.quantize(model, plain.inputs, options.calibration)
        model = canonical_model(model, plain.inputs, plain.outputs)
        add_props(model, options, plain.props)
        content = _check(model, variant)
        (out_dir / FILE).write_bytes(content)
        ours = source.kind == "onnx" and _keeps_its_graph(source)
        graph = () if ours else ("tensorflow", "keras", "numpy", "tf2onnx")
        made_by = versions(*graph, "onnx", "onnxruntime")
        return describe(
            out_dir, (self.format, variant), [FILE], (plain.inputs, plain.outputs), source, options, made_by
        )


class _Exported(NamedTuple):
    """A float32 model with its inputs and outputs in the order of the Source, and what an .onnx file says beside it."""

    model: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    props: Mapping[str, str]


def _export(source: Source, variant: str, options: ConvertOptions) -> _Exported:
    """The float32 model, canonical; without loops where the variant cannot have any; with biases for int8."""
    opset = options.opset or WRITTEN
    if _keeps_its_graph(source):
        model = _from_file(source, variant, options.opset)
        if variant != "float32" and _has_loops(model):
            raise UnsupportedModelError(
                f"onnx/{variant}: {source.path.name} has a loop, inside which nothing can be made smaller",
                remedy="Use float32, or give the model that it was made from.",
            )
        said = {entry.key: entry.value for entry in model.metadata_props}
        model = canonical_model(model, source.inputs, source.outputs, rename=True)
        return _Exported(model, source.inputs, source.outputs, said)
    calibration = options.calibration if variant == "int8" else None
    prepare = functools.partial(corrected, source=source, calibration=calibration, activations=True)
    frozen, model = _with_loops(source, opset, prepare)
    if (variant == "int8" and frozen.has_loops()) or (variant == "float16" and _has_loops(model)):
        frozen, model = _without_loops(source, opset)  # neither quantizer reaches into the loop of an RNN
    return _Exported(model, frozen.inputs, frozen.outputs, {})


def _with_loops(source: Source, opset: int, prepare: Callable[[Any], Any]) -> tuple[FrozenGraph, Any]:
    """With the loops of recurrent layers as far as tf2onnx takes them."""
    frozen = freeze(source, static_batch=None, fake_quant=False, prepare=prepare)
    return or_unrolled(lambda: (frozen, _from_graph(frozen, opset)), lambda: _without_loops(source, opset))


def _without_loops(source: Source, opset: int) -> tuple[FrozenGraph, Any]:
    frozen = freeze(source, static_batch=None, fake_quant=False, unroll=True)
    return frozen, _from_graph(frozen, opset)


def _keeps_its_graph(source: Source) -> bool:
    """Whether the file of the source becomes the ONNX file, without a detour through TensorFlow's graph."""
    return source.kind == "tflite" or (source.kind == "onnx" and source.baked is None)


def _from_file(source: Source, variant: str, opset: int | None) -> Any:
    """The float32 model of an .onnx or .tflite file, in the operator set that was asked for."""
    if source.kind == "tflite":
        opset = opset or WRITTEN
        return at_opset(from_tflite.to_onnx(source, min(opset, WRITTEN)), opset)
    from edgeship_converters.onnx import from_onnx  # loads NumPy

    return from_onnx.to_onnx(source, variant, opset)


def _from_graph(frozen: FrozenGraph, opset: int) -> Any:
    """Raises UnsupportedModelError naming the operators that ONNX does not have, or not in this operator set."""
    from tf2onnx import convert

    from edgeship_converters.lowering.rules import ONNX, lowered  # loads NumPy

    names = dict(zip(frozen.input_tensors, (i.name for i in frozen.inputs), strict=True))
    names |= dict(zip(frozen.output_tensors, (o.name for o in frozen.outputs), strict=True))
    try:
        model, _ = convert.from_graph_def(
            lowered(frozen, ONNX).graph_def,
            input_names=list(frozen.input_tensors),
            output_names=list(frozen.output_tensors),
            opset=min(opset, WRITTEN),
            tensors_to_rename=names,
        )
    except Exception as error:  # tf2onnx raises what its handlers raise, without a common base
        raise UnsupportedModelError(
            f"onnx: tf2onnx stopped: {error}", remedy="Replace the layer, or choose another format."
        ) from error
    _refuse_foreign(model, frozen)
    from edgeship_converters.onnx.repairs import repair  # loads NumPy

    repair(model)
    return canonical_model(at_opset(model, opset), frozen.inputs, frozen.outputs, rename=True)


def _refuse_foreign(model: Any, frozen: FrozenGraph) -> None:
    """Raise UnsupportedModelError for operators of TensorFlow that tf2onnx has copied, for want of a handler."""
    import onnx

    foreign = {node.op_type for node in model.graph.node if not node.domain and not onnx.defs.has(node.op_type)}
    named = [f"{node.name} ({node.op})" for node in frozen.nodes() if node.op in foreign]
    if foreign:
        raise UnsupportedModelError(
            f"onnx: no operator for {', '.join(named or sorted(foreign))}",
            remedy="Replace the layer, or choose another format.",
        )


def _has_loops(model: Any) -> bool:
    return any(node.op_type in ("Loop", "Scan") for node in model.graph.node)


def _check(model: Any, variant: str) -> bytes:
    """The bytes of a valid model. Raises UnsupportedModelError naming operators that are not ONNX, or the size."""
    import onnx

    if model.ByteSize() > _MAX_BYTES:
        raise UnsupportedModelError(f"onnx/{variant}: the model is larger than the 2 GiB that one ONNX file can hold")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise UnsupportedModelError(
            f"onnx/{variant}: the result is not valid ONNX: {error}",
            remedy="Replace the layer named there, or choose another format.",
        ) from error
    return bytes(model.SerializeToString(deterministic=True))
