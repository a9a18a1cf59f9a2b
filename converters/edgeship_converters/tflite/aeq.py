"""One door to ai-edge-quantizer: a float .tflite file with a precision for each layer.

What LiteRT's kernels compute with in each precision (LiteRT 2.3, each compared with the dequantized weights in float,
with XNNPACK and without):

- `int8`, `int16x8`: integers throughout, int8 weights with a scale per output channel. int16 has no fast kernels: a
  convolution takes about 100 times as long as in int8. Between precisions a QUANTIZE or DEQUANTIZE is put.
- `dynamic`: int8 weights; the kernel quantizes its float input anew at each inference.
- `int8-weights`, `int4`, `int2`: DEQUANTIZE gives the weights back once, before the first inference; all arithmetic is
  float32, exact to rounding. After int8 it is as fast as float32; XNNPACK does not take the DEQUANTIZE of 4 and 2
  bits, and the plain kernels behind it take about 5 times as long.
- `float16`: the same with half precision.

Not offered, because LiteRT 2.3 computes other numbers or nothing: int2 weights directly in CONV_2D (wrong or NaN),
int4 in blocks in FULLY_CONNECTED (wrong without XNNPACK), int2 in blocks (does not load).
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeship.errors import InputError, MissingPackageError, UnsupportedModelError
from edgeship_converters.calibration import Samples
from edgeship_converters.flatfile import Operator, described, modernize, name_apart, operators, read, text, write

#: Name of a tensor -> its ends, as ai-edge-quantizer reads them.
Ranges = Mapping[str, Mapping[str, Any]]
#: Precision -> bits of weights that are stored beside float arithmetic.
WEIGHT_ONLY: Mapping[str, int] = {"int8-weights": 8, "int4": 4, "int2": 2}
#: Precision -> bits of activations in integer arithmetic.
STATIC: Mapping[str, int] = {"int8": 8, "int16x8": 16}
PRECISIONS = ("float32", "float16", "dynamic", *STATIC, *WEIGHT_ONLY)
#: Operators that stay float: LiteRT 2.3 ends the process where a divisor rounds to 0, and in these comparisons.
_UNSAFE = ("DIV", "EQUAL", "NOT_EQUAL")
#: What stands for infinity in padding and masks, and says nothing about a range.
_LARGEST = 3e38
_REMEDY = "Use another precision, or give the model that the .tflite file was made from."


def quantize(
    model: bytes | Path,
    precisions: Mapping[str, str] | None = None,
    default: str = "float32",
    calibration: Samples | None = None,
    *,
    integer_io: bool = False,
) -> bytes:
    """Like `make`, and LiteRT can run the file.

    Raises:
        UnsupportedModelError: also where it cannot; names the operator.
    """
    made = make(model, precisions, default, calibration, integer_io=integer_io)
    _check_runs(made, default)
    return made


def make(
    model: bytes | Path,
    precisions: Mapping[str, str] | None = None,
    default: str = "float32",
    calibration: Samples | Ranges | None = None,
    *,
    integer_io: bool = False,
) -> bytes:
    """The file with the layers in the given precisions; the same input always gives the same bytes.

    Args:
        model: a float32 .tflite file, with the signature `serving_default`.
        precisions: layer -> one of `PRECISIONS`; a layer is the name of a Keras layer, or a regular expression (see
            `flatfile.Operator.is_of`). Of several that match, the last counts. Weight-only precisions leave operators
            without weights, and weights of fewer than 256 numbers, in float32.
        default: of all other operators. Those that ai-edge-quantizer does not know stay float32 quietly.
        calibration: samples by input name (`calibration.batches`), or `ranges` of them, for `int8` and `int16x8`.
        integer_io: inputs and outputs are integers where the first and last operator are.

    Raises:
        InputError: an unknown precision, a layer that is not there, or no calibration where one is needed.
        UnsupportedModelError: a layer that was named cannot be given its precision.
        MissingPackageError: ai-edge-quantizer is not installed.
    """
    from edgeship_converters.tflite import weights  # with NumPy, which looking at a converter does not need

    content = model.read_bytes() if isinstance(model, Path) else bytes(model)
    precisions = precisions or {}
    _check_words((*precisions.values(), default), calibration)
    content = _tidy(content)
    chosen = _chosen(operators(content), precisions, default)
    result = _integers(content, chosen, default, calibration, integer_io=integer_io)
    made = read(result)
    weights.store(made, _few_bits(made, chosen))
    _check_named(made, chosen, precisions)
    _check_smaller(made, default)
    return write(made)


def _tidy(content: bytes) -> bytes:
    model = read(content)
    name_apart(model)
    modernize(model)
    _scale_freely(model)
    return write(model)


def _scale_freely(model: Any) -> None:
    """Keep sums of 16 bits from LiteRT's old kernels for scales that are powers of two.

    It takes them where the field is left out and all scales are near such a power (1/32767 is); they end the process
    where an addend is broadcast.
    """
    for graph in model.subgraphs:
        for operator in graph.operators:
            if hasattr(operator.builtinOptions, "potScaleInt16"):  # ADD and SUB
                operator.builtinOptions.potScaleInt16 = False


def _check_words(words: Sequence[str], calibration: Samples | Ranges | None) -> None:
    unknown = sorted(set(words) - set(PRECISIONS))
    if unknown:
        raise InputError(f"unknown precision {unknown[0]!r}", remedy=f"Known: {', '.join(PRECISIONS)}.")
    needing = sorted(set(words) & set(STATIC))
    if needing and calibration is None:
        raise InputError(f"{needing[0]} needs calibration samples to set the ranges of activations")


def _chosen(found: Sequence[Operator], precisions: Mapping[str, str], default: str) -> dict[str, str]:
    """Name of each operator -> its precision."""
    for layer in precisions:
        if not any(operator.is_of(layer) for operator in found):
            known = ", ".join(operator.name.rstrip(";") for operator in found[:5])
            raise InputError(f"no operator belongs to {layer!r}", remedy=f"The operators are called: {known}, ...")
    chosen = dict.fromkeys((operator.name for operator in found), default)
    for layer, precision in precisions.items():
        chosen.update((operator.name, precision) for operator in found if operator.is_of(layer))
    return chosen


def _integers(
    content: bytes, chosen: Mapping[str, str], default: str, calibration: Samples | Ranges | None, *, integer_io: bool
) -> bytes:
    """What ai-edge-quantizer does: all but the weight-only precisions."""
    if not set(chosen.values()) - {"float32"} - set(WEIGHT_ONLY):
        return content
    if importlib.util.find_spec("ai_edge_quantizer") is None:
        raise MissingPackageError(
            "quantizing a .tflite file needs ai-edge-quantizer", remedy="Get it: pip install 'edgeship[tensorflow]'"
        )
    from ai_edge_quantizer import quantizer

    from edgeship_converters.tflite import biases

    worker = quantizer.Quantizer(content)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):  # it prints sizes
        # The interpreter says that keeping all tensors, from which the ranges are taken, needs memory.
        warnings.filterwarnings("ignore", "Warning: Enabling `experimental_preserve_all_tensors`", UserWarning)
        # Biases that are too large: `biases.fit` sees to them.
        warnings.filterwarnings("ignore", "invalid value encountered in cast", RuntimeWarning)
        # Weights that are too large for float16: `halves.check_range` refuses them by name.
        warnings.filterwarnings("ignore", "overflow encountered in cast", RuntimeWarning)
        try:
            scopes = {f"^{re.escape(name)}$": word for name, word in chosen.items() if word != default}
            for scope, precision in {".*": default, **scopes}.items():
                _configure(worker, scope, precision)
                if default not in STATIC or not integer_io:
                    _float_ends(worker, scope)
            found = ranges(content, calibration) if callable(calibration) else calibration
            made = worker.quantize(dict(found) if found and worker.need_calibration else None).quantized_model
        except Exception as error:  # it raises what its handlers raise, without a common base
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            message = f"tflite/{default}: ai-edge-quantizer stopped: {first[:300]}"
            raise UnsupportedModelError(message, remedy=_REMEDY) from error
    model = read(made)
    _type_unread(model)
    biases.fit(model, read(content))
    return write(model)


def _type_unread(model: Any) -> None:
    """Give results that nothing reads, which ai-edge-quantizer leaves in float, the integers of those beside them."""
    from ai_edge_litert import schema_py_generated as schema

    floats = schema.TensorType.FLOAT32
    for graph in model.subgraphs:
        needed = {int(index) for operator in graph.operators for index in operator.inputs} | set(
            map(int, graph.outputs)
        )
        for operator in graph.operators:
            results = [graph.tensors[index] for index in operator.outputs]
            integer = next((tensor for tensor in results if tensor.type != floats), None)
            for index, tensor in zip(operator.outputs, results, strict=True):
                if integer is not None and tensor.type == floats and int(index) not in needed:
                    tensor.type, tensor.quantization = integer.type, integer.quantization


def _configure(worker: Any, scope: str, precision: str) -> None:
    """Say what to do with the operators whose name matches `scope`, in the quantizer's terms."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    every = qtyping.TFLOperationName.ALL_SUPPORTED
    if precision in STATIC:
        worker.add_static_config(
            regex=scope, operation_name=every, activation_num_bits=STATIC[precision], weight_num_bits=8
        )
        for name in _UNSAFE:
            kind = qtyping.TFLOperationName[name]
            worker.update_quantization_recipe(scope, kind, algorithm_key=AlgorithmName.NO_QUANTIZE)
    elif precision == "dynamic":
        worker.add_dynamic_config(regex=scope, operation_name=every, num_bits=8)
    elif precision == "float16":
        half = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(weight_tensor_config=half, explicit_dequantize=True)
        worker.update_quantization_recipe(scope, every, config, AlgorithmName.FLOAT_CASTING)
    else:
        worker.update_quantization_recipe(scope, every, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _float_ends(worker: Any, scope: str) -> None:
    """Inputs and outputs of the file stay float where `scope` matches, whatever the operators there compute with."""
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        worker.update_quantization_recipe(scope, end, algorithm_key=AlgorithmName.NO_QUANTIZE)


def ranges(content: bytes, samples: Samples) -> Ranges:
    """Smallest and largest value of every tensor of a file, by the names that `make` gives them.

    Not `worker.calibrate`: that averages the ranges of single samples, which cuts off half of the largest values
    (on ResNet-8, 6 dB more noise in int8 and 7 dB more in int16x8). Nor its calibrator with another rule: that stops at
    a tensor that nothing reads.
    """
    import numpy as np

    from edgeship_converters.tflite import dead  # loads NumPy
    from edgeship_converters.tflite.interpreter import Session

    tidy = _tidy(content)
    session = Session(tidy, every_tensor=True)
    found: dict[str, dict[str, Any]] = {}
    for sample in samples():
        session.run(sample)
        for name, value in session.tensors().items():
            numbers = value[np.abs(value) < _LARGEST]
            if numbers.size:
                ends = found.setdefault(name, {"min": numbers.min(), "max": numbers.max(), "rank": value.ndim})
                ends["min"], ends["max"] = min(ends["min"], numbers.min()), max(ends["max"], numbers.max())
    graph = read(tidy).subgraphs[0]
    names = {index: text(tensor.name) for index, tensor in enumerate(graph.tensors)}
    numbered = {index: found[name] for index, name in names.items() if name in found}
    live = dead.widened(graph, {index: (ends["min"], ends["max"]) for index, ends in numbered.items()})
    for index, ends in numbered.items():
        ends["min"], ends["max"] = live[index]
    return {
        name: {end: np.full([1] * ends["rank"], ends[end], np.float32) for end in ("min", "max")}
        for name, ends in found.items()
    }


def _few_bits(model: Any, chosen: Mapping[str, str]) -> dict[str, int]:
    """Name of the weights -> bits, for the weight-only precisions; of several readers the most bits count."""
    from edgeship_converters.tflite import weights

    bits: dict[str, int] = {}
    for _, _, operator in described(model):
        precision = chosen.get(operator.name, "float32")
        if operator.weights and precision in WEIGHT_ONLY and weights.quantizable(operator.shape):
            bits[operator.weights] = max(bits.get(operator.weights, 0), WEIGHT_ONLY[precision])
    return bits


def _check_named(made: Any, chosen: Mapping[str, str], precisions: Mapping[str, str]) -> None:
    """Raise UnsupportedModelError where an operator that was named did not get the integers that were asked for."""
    from ai_edge_litert import schema_py_generated as schema

    wanted = {8: schema.TensorType.INT8, 16: schema.TensorType.INT16}
    for graph, operator, description in described(made):
        precision = chosen.get(description.name, "float32")
        if precision in STATIC and any(description.is_of(layer) for layer in precisions):
            types = {graph.tensors[index].type for index in operator.outputs}
            if wanted[STATIC[precision]] not in types:
                raise UnsupportedModelError(
                    f"{description.kind} ({description.name.rstrip(';')}) cannot be quantized to {precision}",
                    remedy="Leave this layer in float32.",
                )


def _check_smaller(made: Any, default: str) -> None:
    """Raise UnsupportedModelError for a file in which the default precision changed nothing."""
    from ai_edge_litert import schema_py_generated as schema

    types = {"float16": "FLOAT16", "int16x8": "INT16", "int4": "INT4", "int2": "INT2"}
    smaller = getattr(schema.TensorType, types.get(default, "INT8"))
    if default == "float32" or {operator.kind for *_, operator in described(made)} <= {"CAST"}:
        return  # nothing is computed
    if not any(tensor.type == smaller for graph in made.subgraphs for tensor in graph.tensors):
        raise UnsupportedModelError(
            f"tflite/{default}: the file has no weights that can be made smaller",
            remedy="Use float32, or give the model that the .tflite file was made from.",
        )


def _check_runs(content: bytes, precision: str) -> None:
    from ai_edge_litert.interpreter import Interpreter

    from edgeship_converters.tflite.interpreter import failed_operator

    try:
        Interpreter(model_content=content).allocate_tensors()
    except (RuntimeError, ValueError) as error:
        place = failed_operator(content, str(error))
        where = f" at {place.rstrip(';')}" if place else ""
        raise UnsupportedModelError(
            f"tflite/{precision}: LiteRT cannot run the file in this precision{where}: {str(error)[:300]}",
            remedy=_REMEDY,
        ) from error
