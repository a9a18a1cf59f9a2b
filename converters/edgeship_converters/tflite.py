"""TFLite (LiteRT) files, made by TensorFlow's converter from the frozen graph, or of another float .tflite file."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import re
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeship.errors import DataError, EdgeshipError, InputError, UnsupportedModelError
from edgeship.report.layers import tflite_layers
from edgeship.types import Artifact, ConvertOptions, Quantization, Source, TensorSpec
from edgeship.usage import usage
from edgeship_converters import from_tflite, mixed
from edgeship_converters.calibration import Samples, batches
from edgeship_converters.correction import corrected, possible
from edgeship_converters.describe import describe, versions
from edgeship_converters.flatfile import SIGNATURE
from edgeship_converters.graph import FrozenGraph, freeze
from edgeship_converters.lowering import TFLITE, TFLITE_INTEGER, lowered

FILE = "model.tflite"

#: Variants with integer activations -> the dtype of inputs and outputs.
_INTEGER = {
    "int8": "int8",
    "int8-floatio": "float32",
    "int16x8": "int16",
    "int16x8-floatio": "float32",
    "mixed": "float32",
}
#: Variants with weights in few bits beside float arithmetic (`low_bit`).
_LOW_BIT = ("int4", "int4-mixed")
#: Operators that keep something from one inference to the next.
_STATEFUL = {"CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE"}
#: Operators that give floats in an integer file too, where float inputs and outputs begin and end.
_TO_FLOAT = {"CAST", "DEQUANTIZE"}

#: The operator and the node that TensorFlow's converter speaks of.
_LOCATION = re.compile(r'loc\(fused\["(\w+):", "([^"]+)"')

#: How often an integer conversion is tried (see `_run`).
_ATTEMPTS = 8

#: Inputs and outputs, in the model's order.
_Ends = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]


class TFLiteConverter:
    """Writes `model.tflite` with the signature `serving_default`, batch size 1, built-in operators only.

    Batch size 1 because that is what devices run, what recurrent layers need, and what delegates compile for.
    """

    format = "tflite"
    variants = (
        "float32",
        "float16",
        "dynamic",
        "int8",
        "int8-floatio",
        "int16x8",
        "int16x8-floatio",
        "mixed",
        *_LOW_BIT,
    )
    equivalents: Mapping[str, str] = {"uint8": "dynamic"}

    def missing(self) -> Sequence[str]:
        """Packages to install first; looks, imports nothing."""
        return [name for name in ("tensorflow", "keras") if importlib.util.find_spec(name) is None]

    def convert(self, source: Source, variant: str, options: ConvertOptions, out_dir: Path) -> Artifact:
        """Write `model.tflite` (see `edgeship.contracts.Converter`).

        Raises:
            UnsupportedModelError: an operator has no built-in TFLite form, or none in this precision.
            DataError: an integer variant without calibration samples, unless the model carries its own ranges.
        """
        return self.convert_with_names(source, variant, options, out_dir)[0]

    def convert_with_names(
        self, source: Source, variant: str, options: ConvertOptions, out_dir: Path
    ) -> tuple[Artifact, bytes]:
        """Like `convert`; beside it the same file with the names of tensors, which is not written (see `slim`)."""
        own_ranges = source.fake_quantized and variant.startswith("int8")
        calibrate = variant in _INTEGER and not own_ranges
        if calibrate and options.calibration is None:
            raise DataError(
                f"tflite/{variant} needs sample inputs to set the ranges of activations, and no data was given",
                remedy="Add --data, or use --quantize dynamic.",
            )
        if variant in _LOW_BIT:
            return self._low_bit(source, variant, options, out_dir)
        if source.kind == "tflite":
            first = "float32" if variant == "mixed" else variant
            content, ends = from_tflite.to_tflite(source, first, options), (source.inputs, source.outputs)
            floats = _float_operator(content) if first in _INTEGER else None
            if floats is not None:
                raise _not_quantized(variant, floats)
            made_by = versions("ai-edge-litert", *(() if variant == "float32" else ("ai-edge-quantizer", "numpy")))
        else:
            content, ends = _from_graph(source, variant, options, calibrate=calibrate)
            made_by = versions("tensorflow", "keras", "numpy", *(("ai-edge-quantizer",) if variant == "mixed" else ()))
        notes: tuple[str, ...] = ()
        if variant == "mixed":
            content, notes = _mixed(source, content, ends[0], options)
        return self._delivered((source, variant, options), out_dir, (content, ends), made_by, notes)

    def _low_bit(self, source: Source, variant: str, options: ConvertOptions, out_dir: Path) -> tuple[Artifact, bytes]:
        from edgeship_converters import low_bit

        ends = (source.inputs, source.outputs)

        def make(prepare: Callable[[Any], Any] | None) -> bytes:
            nonlocal ends
            if source.kind == "tflite":
                return from_tflite.to_tflite(source, "float32", options)
            frozen = freeze(source, static_batch=1, fake_quant=False, prepare=prepare)
            ends = (frozen.inputs, frozen.outputs)
            return _run_frozen(frozen, "float32", None)

        content, notes = low_bit.quantize(variant, make, source, options.calibration)
        made_by = versions(*(("ai-edge-litert",) if source.kind == "tflite" else ("tensorflow", "keras", "numpy")))
        return self._delivered((source, variant, options), out_dir, (content, ends), made_by, notes)

    def _delivered(
        self,
        asked: tuple[Source, str, ConvertOptions],
        out_dir: Path,
        made: tuple[bytes, _Ends],
        made_by: Mapping[str, str],
        notes: tuple[str, ...],
    ) -> tuple[Artifact, bytes]:
        """Check, slim and describe a file."""
        from edgeship_converters.slim import slim

        (source, variant, options), (content, ends) = asked, made
        delivered = slim(content, usage(options.labels, options.preprocessing), ends[1][0].name)
        specs = _read(delivered, ends, _INTEGER.get(variant))
        (out_dir / FILE).write_bytes(delivered)
        found = describe(out_dir, (self.format, variant), [FILE], specs, source, options, made_by)
        return replace(found, layers=tflite_layers(delivered, names=content), notes=notes), content


def _mixed(
    source: Source, content: bytes, inputs: tuple[TensorSpec, ...], options: ConvertOptions
) -> tuple[bytes, tuple[str, ...]]:
    """A float file with a precision for each layer, and which operators had to stay float.

    Biases are corrected where that is possible and brings the outputs nearer.
    """
    assert options.calibration is not None  # asked for before
    samples = batches(options.calibration, inputs, 1)
    found = mixed.quantize(content, options.precision, samples)
    if options.correct_biases and possible(source):
        correct = functools.partial(
            mixed.corrected, source=source, calibration=options.calibration, precision=options.precision
        )
        frozen = freeze(source, static_batch=1, fake_quant=False, prepare=correct)
        # Folding may have taken a layer that was named into another.
        with contextlib.suppress(InputError, UnsupportedModelError):
            better = mixed.quantize(_run_frozen(frozen, "float32", None), options.precision, samples)
            found = mixed.nearer(content, (found, better), samples)
    names = ", ".join(name.rstrip(";") for name in found.left_float)
    note = f"in float32 for want of an operator with these integers: {names}"
    return found.content, (note,) if names else ()


def _from_graph(source: Source, variant: str, options: ConvertOptions, *, calibrate: bool) -> tuple[bytes, _Ends]:
    """Convert with TensorFlow; ranges come from the calibration samples or, without `calibrate`, from the model."""
    own_ranges = variant in _INTEGER and not calibrate
    correct = functools.partial(
        corrected, source=source, calibration=options.calibration, activations=variant.startswith("int8")
    )
    # Of a mixed file, it depends on the precision of layers (`_mixed`).
    prepare = correct if calibrate and variant != "mixed" else None
    frozen = freeze(source, static_batch=1, fake_quant=own_ranges, prepare=prepare)
    # TensorFlow's quantizer crashes on the loop of an RNN.
    if variant in _INTEGER and variant != "mixed" and frozen.has_loops():
        frozen = freeze(source, static_batch=1, fake_quant=own_ranges, unroll=True)
    samples = None
    if variant == "mixed":  # quantized afterwards
        variant = "float32"
    elif calibrate:
        assert options.calibration is not None
        samples = batches(options.calibration, frozen.inputs, 1)
    return _run_frozen(frozen, variant, samples), (frozen.inputs, frozen.outputs)


def _run_frozen(frozen: FrozenGraph, variant: str, samples: Samples | None) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        _save(lowered(frozen, TFLITE_INTEGER if samples is not None else TFLITE), saved)
        return _run(saved, variant, samples)


def _save(frozen: FrozenGraph, folder: Path) -> None:
    """Write the graph as a SavedModel whose signature points at its tensors, which then keep their names."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta = saved.meta_graphs.add()
    meta.meta_info_def.tags.append("serve")
    meta.graph_def.CopyFrom(frozen.graph_def)
    signature = meta.signature_def[SIGNATURE]
    signature.method_name = "tensorflow/serving/predict"
    for specs, tensors, ends in (
        (frozen.inputs, frozen.input_tensors, signature.inputs),
        (frozen.outputs, frozen.output_tensors, signature.outputs),
    ):
        for spec, tensor in zip(specs, tensors, strict=True):
            ends[spec.name].name = tensor
            ends[spec.name].dtype = tf.dtypes.as_dtype(spec.dtype).as_datatype_enum
            for size in spec.shape:
                ends[spec.name].tensor_shape.dim.add(size=-1 if size is None else size)
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))


def _configure(saved: Path, variant: str, samples: Samples | None) -> Any:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=[SIGNATURE])
    if variant == "float32":
        return converter
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
    elif variant in _INTEGER:
        sets = tf.lite.OpsSet
        int8, int16 = sets.TFLITE_BUILTINS_INT8, sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
        if samples is not None:  # without samples, to name the operators is an error
            converter.representative_dataset = samples
            converter.target_spec.supported_ops = [int8 if variant.startswith("int8") else int16]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(_INTEGER[variant])
    return converter


def _run(saved: Path, variant: str, samples: Samples | None) -> bytes:
    """Convert a SavedModel; of an integer variant, the file that computes with integers throughout.

    Where an output of an operator is not used (SPLIT in an unrolled LSTM), TensorFlow's quantizer leaves the operator
    in float now and then, by the order of addresses in memory: about one time in eight. It is run again then.
    """
    attempts = _ATTEMPTS if samples is not None else 1
    for _ in range(attempts):
        content = _convert(_configure(saved, variant, samples), variant)
        floats = _float_operator(content) if variant in _INTEGER else None
        if floats is None:
            return content
    assert floats is not None
    raise _not_quantized(variant, floats)


def _not_quantized(variant: str, operator: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"tflite/{variant}: {operator} cannot be quantized, or no range is known for it",
        remedy="Quantize after training instead, or replace the layer, or use dynamic or float16.",
    )


def _convert(converter: Any, variant: str) -> bytes:
    with warnings.catch_warnings():
        # Said for every quantized conversion whose ranges come from calibration or from the graph.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected", UserWarning)
        # TensorFlow's calibrator uses the interpreter that TensorFlow announces to remove.
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated", UserWarning)
        try:
            return bytes(converter.convert())
        except Exception as error:  # TensorFlow raises classes without a common base
            raise _unsupported(variant, error) from error


def _unsupported(variant: str, error: Exception) -> UnsupportedModelError:
    """Name the operators that TensorFlow's converter stopped at."""
    text = str(error)
    named = re.findall(r"(?:Flex|TF Select|Custom) ops: (.+)", text) or re.findall(r"for op: '?(\w+)", text)
    ops = sorted({name.strip() for group in named for name in group.split(",")})
    first = next((line.strip() for line in text.splitlines() if line.strip()), type(error).__name__)
    places = dict.fromkeys(place for op, place in _LOCATION.findall(text) if op in ops)  # where it says so
    where = f" ({', '.join(places)})" if places else ""
    what = f"has no built-in operator for {', '.join(ops)}{where}" if ops else f"stopped: {first[:300]}"
    return UnsupportedModelError(
        f"tflite/{variant}: TensorFlow's converter {what}",
        remedy="Replace the layer, or choose another format; float32 and dynamic allow more operators than int8 does.",
    )


def _read(content: bytes, ends: _Ends, integer_io: str | None) -> _Ends:
    """Inputs and outputs as they are in the file, in the model's order.

    Raises EdgeshipError if the file is not what was to be made: other names or another dtype than `ends` has.
    UnsupportedModelError for operators with state and for custom ones.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    operators = _constants(schema.BuiltinOperator)
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        name = _operator(code, operators)
        if name in _STATEFUL or name == "CUSTOM":
            raise UnsupportedModelError(
                f"the TFLite file has the operator {name} {_text(code.CustomCode() or b'')}".rstrip(),
                remedy="Do that step outside the model.",
            )
    signature = model.SignatureDefs(0)
    graph = model.Subgraphs(signature.SubgraphIndex())
    inputs = {_text(e.Name()): e.TensorIndex() for e in map(signature.Inputs, range(signature.InputsLength()))}
    outputs = {_text(e.Name()): e.TensorIndex() for e in map(signature.Outputs, range(signature.OutputsLength()))}
    if set(inputs) != {i.name for i in ends[0]} or set(outputs) != {o.name for o in ends[1]}:
        raise EdgeshipError(
            f"the TFLite file has other inputs or outputs than the model: {list(inputs)} {list(outputs)}"
        )
    dtypes = _constants(schema.TensorType)
    specs = {name: _spec(name, graph.Tensors(i), dtypes) for name, i in [*inputs.items(), *outputs.items()]}
    for wanted in (*ends[0], *ends[1]):
        dtype = integer_io if integer_io and wanted.dtype == "float32" else wanted.dtype
        if specs[wanted.name].dtype != dtype:
            problem = f"{wanted.name} of the TFLite file is {specs[wanted.name].dtype} and not {dtype}"
            if integer_io is None:
                raise EdgeshipError(problem)
            raise UnsupportedModelError(
                f"{problem}: no operator that it goes through computes with integers",
                remedy="Choose the variant with -floatio, or float32.",
            )
    return tuple(specs[i.name] for i in ends[0]), tuple(specs[o.name] for o in ends[1])


def _float_operator(content: bytes) -> str | None:
    """An operator of an integer file that computes with floats, with its tensor; None if there is none."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    operators = _constants(schema.BuiltinOperator)
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            name = _operator(model.OperatorCodes(operator.OpcodeIndex()), operators)
            tensors = [graph.Tensors(operator.Outputs(i)) for i in range(operator.OutputsLength())]
            floats = [_text(t.Name()) for t in tensors if t.Type() == schema.TensorType.FLOAT32]
            if floats and name not in _TO_FLOAT:
                return f"{name} ({floats[0]})"
    return None


def _operator(code: Any, operators: Mapping[int, str]) -> str:
    """Name of a built-in operator; the old field holds it in files for old runtimes."""
    return operators[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]


def _spec(name: str, tensor: Any, dtypes: Mapping[int, str]) -> TensorSpec:
    dynamic = tensor.ShapeSignatureLength() > 0
    sizes = tensor.ShapeSignatureAsNumpy() if dynamic else tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()
    quantization = tensor.Quantization()
    affine = None
    if quantization is not None and quantization.ScaleLength():
        affine = Quantization(float(quantization.Scale(0)), int(quantization.ZeroPoint(0)))
    shape = tuple(None if size < 0 else int(size) for size in sizes)
    return TensorSpec(name, shape, dtypes[tensor.Type()].lower(), affine)


def _constants(kind: type) -> dict[int, str]:
    """Value -> name of a flatbuffer enumeration."""
    return {value: name for name, value in vars(kind).items() if isinstance(value, int)}


def _text(raw: bytes) -> str:
    return raw.decode()
