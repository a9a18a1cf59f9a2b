"""TFLite (LiteRT) files, made by TensorFlow's converter from the frozen graph, or of another float .tflite file."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeship.codec import from_json, to_json
from edgeship.errors import DataError, EdgeshipError, InputError, UnsupportedModelError
from edgeship.report.layers import tflite_layers
from edgeship.tflite_operators import builtin_name
from edgeship.types import Artifact, ConvertOptions, Preprocessing, Quantization, Source, TensorSpec
from edgeship.usage import usage
from edgeship_converters.calibration import batches
from edgeship_converters.correction import Correction, corrected, folded, possible
from edgeship_converters.describe import describe, versions
from edgeship_converters.graph.batch_of_one import with_sums
from edgeship_converters.graph.frozen import FrozenGraph, freeze, or_unrolled
from edgeship_converters.tflite import from_tflite, tensorflow_lite
from edgeship_converters.usage import keep_files

FILE = "model.tflite"

#: Variants with integer activations -> the dtype of inputs and outputs.
_INTEGER = {**tensorflow_lite.ENDS, "mixed": "float32"}
#: Variants with weights in few bits beside float arithmetic (`low_bit`).
_LOW_BIT = ("int4", "int4-mixed")
#: Operators that keep something from one inference to the next.
_STATEFUL = {"CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "HASHTABLE"}
#: Inputs and outputs, in the model's order.
_Ends = tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]
#: Larger files are made anew for each conversion.
_MOST_REMEMBERED_BYTES = 64 << 20


@dataclass(frozen=True)
class _Made:
    """A file with the names of its tensors.

    Attributes:
        packages: that made it.
        notes: what to know about it.
    """

    content: bytes
    ends: _Ends
    packages: tuple[str, ...]
    notes: tuple[str, ...]


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
    files = ("tflite",)
    why_not_more = "its weights have at most 8 bits, or are floats"

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
        self, source: Source, variant: str, options: ConvertOptions, out_dir: Path, *, loops: bool = True
    ) -> tuple[Artifact, bytes]:
        """Like `convert`; beside it the same file with the names of tensors, which is not written (see `slim`).

        Without `loops`, those of recurrent layers are unrolled where that is possible.
        """
        calibrate = variant in _INTEGER and not _has_own_ranges(source, variant)
        if calibrate and options.calibration is None:
            raise DataError(
                f"tflite/{variant} needs sample inputs to set the ranges of activations, and no data was given",
                remedy="Add --data, or use --quantize dynamic.",
            )
        unroll = not loops and variant not in _INTEGER and _has_loops(source)  # integers never have any
        made = _make(source, variant, options, unroll=unroll)
        return self._delivered((source, variant, options), out_dir, made), made.content

    def _delivered(self, asked: tuple[Source, str, ConvertOptions], out_dir: Path, made: _Made) -> Artifact:
        """Check, slim, write and describe a file."""
        from edgeship_converters.tflite.slim import slim

        source, variant, options = asked
        inputs, outputs = ([spec.name for spec in side] for side in made.ends)
        delivered = slim(made.content, (inputs, outputs), usage(options.labels, options.preprocessing))
        delivered, notes = keep_files(delivered, source)
        specs = _read(delivered, made.ends, _INTEGER.get(variant))
        (out_dir / FILE).write_bytes(delivered)
        found = describe(out_dir, (self.format, variant), [FILE], specs, source, options, versions(*made.packages))
        return replace(found, layers=tflite_layers(delivered, names=made.content), notes=(*made.notes, *notes))


def _make(source: Source, variant: str, options: ConvertOptions, *, unroll: bool) -> _Made:
    """The file as it is before `slim`; the one that a conversion shortly before has made, where it is the same."""
    if source.code_sha256 is None:
        return _converted(source, variant, options, unroll)
    # What only describes the file is no part of it yet.
    plain = replace(options, labels=(), preprocessing=Preprocessing(), name="", opset=None)
    made = _remembered(source, variant, to_json(plain), unroll)
    if len(made.content) > _MOST_REMEMBERED_BYTES:
        _remembered.cache_clear()
    return made


@functools.lru_cache(maxsize=8)
def _remembered(source: Source, variant: str, options: str, unroll: bool) -> _Made:
    """`options` as JSON. A micro file holds that of the same variant, which takes longer to make than all else."""
    return _converted(source, variant, from_json(ConvertOptions, options), unroll)


def _converted(source: Source, variant: str, options: ConvertOptions, unroll: bool) -> _Made:
    if variant in _LOW_BIT:
        made = _low_bit(source, variant, options)
    else:
        made = _of_eight_bits_or_more(source, variant, options, unroll)
    if variant in ("float32", "float16"):
        return made
    from edgeship_converters.tflite.scales import shortened  # loads NumPy

    return replace(made, content=shortened(made.content))


def _of_eight_bits_or_more(source: Source, variant: str, options: ConvertOptions, unroll: bool) -> _Made:
    notes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ("tensorflow", "keras", "numpy")
    if source.kind == "tflite":
        first = "float32" if variant == "mixed" else variant
        content, ends = from_tflite.to_tflite(source, first, options), (source.inputs, source.outputs)
        floats = tensorflow_lite.float_operators(content) if first in _INTEGER else []
        if floats:
            raise tensorflow_lite.no_integers(variant, floats)
        packages = ("ai-edge-litert", *(() if variant == "float32" else ("ai-edge-quantizer", "numpy")))
    elif _has_own_ranges(source, variant):
        content, ends = _from_own_ranges(source, variant)
    else:
        content, ends, notes = _from_graph(source, variant, options, unroll)
        packages += ("ai-edge-quantizer",) if variant == "mixed" else ()
    if variant == "float16":
        from edgeship_converters.tflite.halves import check_range  # loads NumPy

        check_range(content)
    if variant == "mixed":
        content, notes = _mixed(source, content, ends[0], options)
    return _Made(content, ends, packages, notes)


def _has_own_ranges(source: Source, variant: str) -> bool:
    return source.fake_quantized and variant.startswith("int8")


def _low_bit(source: Source, variant: str, options: ConvertOptions) -> _Made:
    from edgeship_converters.tflite import low_bit

    ends = (source.inputs, source.outputs)

    def make(prepare: Callable[[Any], Any] | None) -> bytes:
        nonlocal ends
        if source.kind == "tflite":
            return from_tflite.to_tflite(source, "float32", options)
        frozen = _frozen(source, fake_quant=False, prepare=prepare)
        ends = (frozen.inputs, frozen.outputs)
        return _with_loops(source, frozen, "float32", variant, prepare)

    content, notes = low_bit.quantize(variant, make, source, options.calibration)
    packages = ("ai-edge-litert",) if source.kind == "tflite" else ("tensorflow", "keras", "numpy")
    return _Made(content, ends, packages, notes)


def _mixed(
    source: Source, content: bytes, inputs: tuple[TensorSpec, ...], options: ConvertOptions
) -> tuple[bytes, tuple[str, ...]]:
    """A float file with a precision for each layer, and which operators had to stay float.

    Biases are corrected where that is possible and brings the outputs nearer.
    """
    from edgeship_converters.tflite import mixed  # loads NumPy

    assert options.calibration is not None  # asked for before
    samples = batches(options.calibration, inputs, 1)
    found = mixed.quantize(content, options.precision, samples)
    if options.correct_biases and possible(source):
        correct = Correction(
            functools.partial(
                mixed.corrected, source=source, calibration=options.calibration, precision=options.precision
            )
        )
        frozen = _frozen(source, fake_quant=False, prepare=correct)
        # Folding may have taken a layer that was named into another.
        with contextlib.suppress(InputError, UnsupportedModelError):
            if correct.changed:
                given = _float(frozen)
                better = mixed.quantize(given, options.precision, samples, lambda: _float(_folded(source)))
                found = mixed.nearer(content, (found, better), samples)
    names = ", ".join(name.rstrip(";") for name in found.left_float)
    note = f"in float32 for want of an operator with these integers: {names}"
    return found.content, (note,) if names else ()


def _frozen(
    source: Source, *, fake_quant: bool, unroll: bool = False, prepare: Callable[[Any], Any] | None = None
) -> FrozenGraph:
    """The model for a batch of one (see `freeze`)."""
    frozen = freeze(source, static_batch=1, fake_quant=fake_quant, unroll=unroll, prepare=prepare)
    return with_sums(frozen) if source.inputs[0].shape[:1] == (None,) else frozen


def _lowered(frozen: FrozenGraph) -> FrozenGraph:
    """The graph in operators that TFLite has."""
    from edgeship_converters.lowering.tflite import for_tflite  # loads NumPy

    return for_tflite(frozen)


def _has_loops(source: Source) -> bool:
    return source.kind != "tflite" and _frozen(source, fake_quant=False).has_loops()


def _from_graph(
    source: Source, variant: str, options: ConvertOptions, unroll: bool
) -> tuple[bytes, _Ends, tuple[str, ...]]:
    """Convert with TensorFlow a model whose activations are floats, or get their ranges from calibration samples."""
    integers = variant in tensorflow_lite.ENDS
    assert not integers or options.calibration is not None  # asked for before
    activations = variant.startswith("int8")
    correct = Correction(
        functools.partial(corrected, source=source, calibration=options.calibration, activations=activations)
    )
    # Of a mixed file, what is corrected depends on the precision of layers (`_mixed`).
    frozen = _frozen(source, fake_quant=False, prepare=correct if integers else None)
    # TensorFlow's quantizer crashes on the loop of an RNN, and operators in a loop have no precision of their own.
    if variant in _INTEGER and frozen.has_loops():
        frozen = _unrolled(source)
        correct.changed = False
    ends = (frozen.inputs, frozen.outputs)
    if integers:
        assert options.calibration is not None
        from edgeship_converters.tflite import integer  # loads NumPy

        samples = batches(options.calibration, frozen.inputs, 1)
        made = integer.quantize(
            frozen, variant, samples, functools.partial(_folded, source) if correct.changed else None
        )
        return made.content, ends, made.notes
    if variant == "mixed":  # quantized afterwards
        return _float(frozen), ends, ()
    if unroll:
        with contextlib.suppress(UnsupportedModelError):  # how often the loop runs does not follow from the model
            return tensorflow_lite.convert(_lowered(_unrolled(source)), variant), ends, ()
        return tensorflow_lite.convert(_lowered(frozen), variant), ends, ()
    return _with_loops(source, frozen, variant), ends, ()


def _with_loops(
    source: Source,
    frozen: FrozenGraph,
    variant: str,
    asked: str = "",
    prepare: Callable[[Any], Any] | None = None,
) -> bytes:
    """The file of a graph with the loops of recurrent layers as far as the converter takes them."""

    def convert(graph: FrozenGraph) -> bytes:
        return tensorflow_lite.convert(_lowered(graph), variant, asked)

    return or_unrolled(lambda: convert(frozen), lambda: convert(_unrolled(source, prepare)))


def _unrolled(source: Source, prepare: Callable[[Any], Any] | None = None) -> FrozenGraph:
    return _frozen(source, fake_quant=False, unroll=True, prepare=prepare)


def _folded(source: Source) -> FrozenGraph:
    """The graph whose biases `corrected` changes, as they were."""
    return _frozen(source, fake_quant=False, prepare=functools.partial(folded, source=source))


def _float(frozen: FrozenGraph) -> bytes:
    """The float file that ai-edge-quantizer makes integers of."""
    from edgeship_converters.lowering.integer import for_integers  # loads NumPy

    return tensorflow_lite.convert(for_integers(frozen), "float32", "mixed")


def _from_own_ranges(source: Source, variant: str) -> tuple[bytes, _Ends]:
    """The int8 file with the ranges that quantization-aware training has left in the model."""
    frozen = _frozen(source, fake_quant=True)
    if frozen.has_loops():  # TensorFlow's quantizer crashes on the loop of an RNN
        frozen = _frozen(source, fake_quant=True, unroll=True)
    content = tensorflow_lite.from_own_ranges(_lowered(frozen), _INTEGER[variant])
    floats = tensorflow_lite.float_operators(content)
    if floats:
        raise tensorflow_lite.no_integers(variant, floats)
    return content, (frozen.inputs, frozen.outputs)


def _read(content: bytes, ends: _Ends, integer_io: str | None) -> _Ends:
    """Inputs and outputs as they are in the file, in the model's order.

    Raises EdgeshipError if the file is not what was to be made: other names or another dtype than `ends` has.
    UnsupportedModelError for operators with state and for custom ones.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    for i in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(i)
        name = builtin_name(code)
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
