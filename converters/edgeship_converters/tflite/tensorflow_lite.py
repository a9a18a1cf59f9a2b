"""TensorFlow's converter to TFLite, one step at a time: a frozen graph, a calibrated model, a quantized file."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeship.errors import UnsupportedModelError
from edgeship_converters.calibration import Samples
from edgeship_converters.flatfile import SIGNATURE, described, read, text, write
from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.savedmodel import saved_model

#: Variants with integer activations -> the dtype of inputs and outputs.
ENDS: Mapping[str, str] = {"int8": "int8", "int8-floatio": "float32", "int16x8": "int16", "int16x8-floatio": "float32"}
#: The operator and the node that TensorFlow's converter speaks of.
_LOCATION = re.compile(r'loc\((?:callsite\()?(?:fused\[)?"(\w+):", "([^"]+)"')
#: Operators that give floats in an integer file too, where float inputs and outputs begin and end.
_TO_FLOAT = {"CAST", "DEQUANTIZE"}
_MOVED = ("EXPAND_DIMS", "RESHAPE", "REVERSE_V2", "SQUEEZE", "TRANSPOSE")
_IN_BLOCKS = ("BATCH_TO_SPACE_ND", "DEPTH_TO_SPACE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH")
_PUT_TOGETHER = ("BROADCAST_TO", "CONCATENATION", "MIRROR_PAD", "PACK", "PAD", "PADV2", "TILE")
_IN_PARTS = ("GATHER", "GATHER_ND", "SLICE", "SPLIT", "SPLIT_V", "STRIDED_SLICE", "UNPACK")
_EXTREMES = ("MAXIMUM", "MAX_POOL_2D", "MINIMUM", "REDUCE_MAX", "REDUCE_MIN", "SELECT", "SELECT_V2", "TOPK_V2")
_SAMPLED = ("AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
#: Operators whose results have the scale of their operands: the quantizer sees to that, or the kernel copies bytes.
_SAME_SCALE = frozenset((*_MOVED, *_IN_BLOCKS, *_PUT_TOGETHER, *_IN_PARTS, *_EXTREMES, *_SAMPLED))
#: Operators that a message names; of more the first.
NAMED = 8
_REMEDY = "Replace the layer, or choose another format; float32 and dynamic allow more operators than int8 does."


def no_integers(variant: str, floats: Sequence[tuple[str, str]]) -> UnsupportedModelError:
    """The error for a file in which the operators named compute with floats."""
    names = ", ".join(f"{kind} ({name.partition(';')[0]})" for kind, name in floats[:NAMED])
    return UnsupportedModelError(
        f"tflite/{variant}: no integers that would do are known for {names}",
        remedy="Quantize after training instead, or replace the layer, or use dynamic or float16.",
    )


def convert(frozen: FrozenGraph, variant: str, asked: str = "") -> bytes:
    """The file in `float32`, `float16` or `dynamic`.

    Args:
        frozen: the model, in operators that TFLite has.
        variant: of the file.
        asked: the variant that is made of the file, which errors name; empty for the file itself.

    Raises:
        UnsupportedModelError: names the operators that TFLite lacks.
    """
    import tensorflow as tf

    with _converter(frozen) as converter:
        if variant != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if variant == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return _run(converter.convert, asked or variant)


def from_own_ranges(frozen: FrozenGraph, ends: str) -> bytes:
    """The int8 file of a graph with the ranges of quantization-aware training in it; `ends`: dtype of its ends."""
    import tensorflow as tf

    with _converter(frozen) as converter:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(ends)
        return _run(converter.convert, "int8")


def calibrated(frozen: FrozenGraph, samples: Samples) -> bytes:
    """A float file prepared for int8, which also holds the range of every tensor."""
    import tensorflow as tf

    from edgeship_converters.tflite import unread  # loads NumPy

    with _converter(frozen) as converter:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter._experimental_calibrate_only = True
        return _with_bound_ranges(_with_live_ranges(unread.slices(_run(converter.convert, "int8"))))


def _with_live_ranges(content: bytes) -> bytes:
    """A calibrated file without ranges that are too small for a scale."""
    from edgeship_converters.tflite import dead  # loads NumPy

    model = read(content)
    graph = model.subgraphs[0]
    known = {index: tensor.quantization for index, tensor in enumerate(graph.tensors)}
    ends = {
        index: (float(found.min[0]), float(found.max[0]))
        for index, found in known.items()
        if found is not None and found.min is not None and len(found.min) == 1
    }
    changed = {index: found for index, found in dead.widened(graph, ends).items() if found != ends[index]}
    for index, (low, high) in changed.items():
        known[index].min, known[index].max = [low], [high]
    return write(model) if changed else content


def _with_bound_ranges(content: bytes) -> bytes:
    """A calibrated file in which results have at least the range of what shares their scale and is read elsewhere too.

    The quantizer gives operands the range of the result, for all readers of these operands. What an activation cuts
    off, or a maximum leaves behind, would be missing beside it.
    """
    model = read(content)
    graph = model.subgraphs[0]
    readers = Counter(int(index) for operator in graph.operators for index in operator.inputs)
    readers.update(int(index) for index in graph.outputs)
    bound = {index for index, count in readers.items() if count > 1}
    for part, operator, description in described(model):
        if part is not graph or description.kind not in _SAME_SCALE:
            continue
        results = list(operator.outputs)
        bound.update(results if len(results) > 1 else ())  # the scale of one is that of all
        ends = [graph.tensors[index].quantization for index in (*operator.inputs, *results) if index in bound]
        ends = [found for found in ends if found is not None and found.min is not None and len(found.min) == 1]
        for index in results:
            own = graph.tensors[index].quantization
            if ends and own is not None and own.min is not None:
                bound.add(int(index))
                own.min = [min(float(found.min[0]) for found in (*ends, own))]
                own.max = [max(float(found.max[0]) for found in (*ends, own))]
    return write(model)


def to_int8(calibrated_model: bytes, ends: str, floats: frozenset[str]) -> bytes:
    """The int8 file of a calibrated one.

    Args:
        calibrated_model: of `calibrated`.
        ends: dtype of inputs and outputs, where the operators there compute with integers.
        floats: first outputs of operators that are to stay in float.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize

    dtype = tf.dtypes.as_dtype(ends)
    # Operators with several results are known to the quantizer by their kind only.
    kinds = {kind for kind, name in _several_results(calibrated_model) if name in floats}
    return _run(
        lambda: mlir_quantize(
            calibrated_model,
            input_data_type=dtype,
            output_data_type=dtype,
            denylisted_ops=kinds or None,
            denylisted_nodes=set(floats) or None,
        ),
        "int8",
    )


def _several_results(content: bytes) -> list[tuple[str, str]]:
    """(kind, first output) of the operators with more than one output."""
    return [
        (operator.kind, text(graph.tensors[raw.outputs[0]].name))
        for graph, raw, operator in described(read(content))
        if len(raw.outputs) > 1
    ]


def float_operators(content: bytes) -> list[tuple[str, str]]:
    """(kind, first output) of the operators of an integer file that compute with floats."""
    from ai_edge_litert import schema_py_generated as schema

    return [
        (operator.kind, text(graph.tensors[raw.outputs[0]].name))
        for graph, raw, operator in described(read(content))
        if operator.kind not in _TO_FLOAT
        and any(graph.tensors[index].type == schema.TensorType.FLOAT32 for index in raw.outputs)
    ]


def to_int16x8(frozen: FrozenGraph, samples: Samples, ends: str) -> bytes:
    """The file with int16 activations and int8 weights throughout; `ends`: dtype of inputs and outputs."""
    import tensorflow as tf

    sets = tf.lite.OpsSet
    with _converter(frozen) as converter:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = samples
        converter.target_spec.supported_ops = [sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(ends)
        return _run(converter.convert, "int16x8")


def _last_tensors(frozen: FrozenGraph) -> list[str]:
    """What the outputs are computed as: tensors with the names of layers, where none is an input or given out twice."""
    nodes = {node.name: node for node in frozen.graph_def.node}
    found: list[str] = []
    for tensor in frozen.output_tensors:
        last = nodes[tensor.partition(":")[0]]
        before = last.input[0] if last.op == "Identity" else tensor
        before = before if ":" in before else f"{before}:0"
        known = nodes[before.partition(":")[0]].op in ("Placeholder", "Const") or before in found
        found.append(tensor if known else before)
    return found


@contextmanager
def _converter(frozen: FrozenGraph) -> Iterator[Any]:
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "model"
        _save(frozen, saved)
        yield tf.lite.TFLiteConverter.from_saved_model(str(saved), signature_keys=[SIGNATURE])


def _save(frozen: FrozenGraph, folder: Path) -> None:
    """Write the graph as a SavedModel whose signature points at tensors with the names of layers."""
    message = saved_model(replace(frozen, output_tensors=tuple(_last_tensors(frozen))))
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(message.SerializeToString(deterministic=True))


def _run(make: Callable[[], Any], variant: str) -> bytes:
    with warnings.catch_warnings():
        # Said for every quantized conversion whose ranges come from calibration or from the graph.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected", UserWarning)
        # TensorFlow's calibrator uses the interpreter that TensorFlow announces to remove.
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated", UserWarning)
        try:
            return bytes(make())
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
    return UnsupportedModelError(f"tflite/{variant}: TensorFlow's converter {what}", remedy=_REMEDY)
