"""Files with integer activations from a frozen graph: int8 and int16x8, with as few operators in float as have to be.

TensorFlow's quantizer comes first. What it has no integer kernel for stays in float between DEQUANTIZE and QUANTIZE,
and so do operators that 8 bits make noise of (`selective`). For int16x8 it is all or nothing; ai-edge-quantizer takes
over there, whose files can be mixed.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgeship.errors import UnsupportedModelError
from edgeship_converters.calibration import Samples
from edgeship_converters.flatfile import described, read
from edgeship_converters.graph.frozen import FrozenGraph
from edgeship_converters.lowering.integer import for_integers
from edgeship_converters.tflite import aeq, integer_ends, selective, tensorflow_lite

#: Gives a graph.
Original = Callable[[], FrozenGraph]


@dataclass(frozen=True)
class Made:
    """A file, and notes about what is not in integers."""

    content: bytes
    notes: tuple[str, ...]


def quantize(frozen: FrozenGraph, variant: str, samples: Samples, original: Original | None) -> Made:
    """The file of a graph without loops.

    Args:
        frozen: the model, its biases corrected for what the integers round.
        variant: one of `tensorflow_lite.ENDS`.
        samples: that set the ranges of activations.
        original: gives the same graph with the biases of the model, if these were corrected.

    Raises:
        UnsupportedModelError: an operator has no TFLite form, or none computes with integers, or LiteRT cannot run it.
    """
    given, ends = for_integers(frozen), tensorflow_lite.ENDS[variant]
    if variant.startswith("int8"):
        calibrated = tensorflow_lite.calibrated(given, samples)
        before = _before(original, lambda graph: tensorflow_lite.calibrated(graph, samples))
        exact = selective.Reference(calibrated, samples, 8, before)
        found = selective.choose(functools.partial(tensorflow_lite.to_int8, calibrated, ends), exact)
    else:
        found = _int16x8(given, variant, samples, original)
    content = found.content if ends == "float32" else integer_ends.add(found.content, ends, samples)
    floats = tensorflow_lite.float_operators(content)
    if floats:  # of a model that computes nothing, there is nothing in float either
        _check_integers(content, variant, floats)
    return Made(content, _notes(floats, found.floats, variant))


def _int16x8(frozen: FrozenGraph, variant: str, samples: Samples, original: Original | None) -> selective.Chosen:
    ends = tensorflow_lite.ENDS[variant]
    content = tensorflow_lite.convert(frozen, "float32", variant)
    before = _before(original, lambda graph: tensorflow_lite.convert(graph, "float32", variant))
    exact = selective.Reference(content, samples, 16, before)
    try:
        whole = tensorflow_lite.to_int16x8(frozen, samples, ends)
        if exact.near(whole):
            return selective.Chosen(whole, ())
    except UnsupportedModelError:
        pass  # it says of an operator that it is not there, where only its form in int16 is not
    ranges = aeq.ranges(content, samples)

    def make(floats: frozenset[str]) -> bytes:
        words = {f"^{re.escape(name)};": "float32" for name in floats}
        return aeq.make(content, words, "int16x8", ranges, integer_io=ends != "float32")

    return selective.choose(make, exact)


def _before(original: Original | None, convert: Callable[[FrozenGraph], bytes]) -> Callable[[], bytes] | None:
    """What makes the float file before correction."""
    return None if original is None else lambda: convert(for_integers(original()))


def _check_integers(content: bytes, variant: str, floats: Sequence[tuple[str, str]]) -> None:
    """Raise UnsupportedModelError for a file in which nothing computes with integers."""
    from ai_edge_litert import schema_py_generated as schema

    integers = {schema.TensorType.INT8, schema.TensorType.INT16}
    for graph, raw, operator in described(read(content)):
        if operator.kind != "QUANTIZE" and any(graph.tensors[index].type in integers for index in raw.outputs):
            return
    raise tensorflow_lite.no_integers(variant, floats)


def _notes(floats: Sequence[tuple[str, str]], chosen: Sequence[str], variant: str) -> tuple[str, ...]:
    """What is in float, and why."""
    names = [name for _, name in floats]
    lacking = [name for name in names if name not in chosen]
    coarse = [name for name in names if name in chosen]
    bits = 8 if variant.startswith("int8") else 16
    return tuple(
        f"in float32 {why}: {_joined(some)}"
        for why, some in (
            ("for want of an operator with these integers", lacking),
            (f"because {bits} bits are too coarse for what they give", coarse),
        )
        if some
    )


def _joined(names: Sequence[str]) -> str:
    more = len(names) - tensorflow_lite.NAMED
    shown = ", ".join(name.partition(";")[0] for name in names[: tensorflow_lite.NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
