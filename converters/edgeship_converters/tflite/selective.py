"""Which operators of an integer file stay in float: as few as make it run, and agree with the model.

Layers differ in what 8 bits do to them: a reciprocal root near zero, a difference of large numbers, a channel that is
small beside the others come out as noise. The file is run beside the float one on calibration samples. Where an output
is too far off, the operators on the way to it at which the error rises most are left in float, and the file is made
again (as the selective quantization of TensorFlow's QuantizationDebugger, with the choice made by measurement).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgeship.comparison import compare
from edgeship.errors import UnsupportedModelError
from edgeship_converters.calibration import Samples
from edgeship_converters.flatfile import described, read, text
from edgeship_converters.tflite import dead
from edgeship_converters.tflite.interpreter import Session, failed_operator, followed

if TYPE_CHECKING:
    from edgeship.types import Array

#: What an output may be off (`edgeship.comparison`), well within what verification allows on new samples: the largest
#: error and the least cosine, by the bits of activations.
_LIMITS = {8: (0.3, 0.95), 16: (0.25, 0.97)}
#: Columns that change less than this share of the widest are measured as if they changed so much.
_FLOOR = 0.1
#: Samples that files are compared on, and those on which the error is followed through the operators.
_SAMPLES, _FOLLOWED = 64, 16
#: How often a file is made. Each time more operators go, by a share of the largest rise of the error: the last times
#: nearly all that add any.
_ROUNDS = 10

#: Operators that stay in float, by their first output -> a file.
Make = Callable[[frozenset[str]], bytes]


@dataclass(frozen=True)
class Chosen:
    """An integer file, and which operators were left in float for the sake of it, by their first outputs."""

    content: bytes
    floats: tuple[str, ...]


def choose(make: Make, exact: Reference) -> Chosen:
    """The file whose outputs are near enough to those of the float file; else the nearest that was made.

    Args:
        make: makes the integer file. Its tensors have the names of those in the float file.
        exact: the float file.

    Raises:
        UnsupportedModelError: LiteRT cannot run the file, whatever stays in float.
    """
    floats = exact.unsafe()
    best: tuple[float, Chosen] | None = None
    failure: UnsupportedModelError | None = None
    for attempt in range(_ROUNDS):
        try:
            content = make(floats)
        except UnsupportedModelError:  # nothing that could be in integers is left
            if best is None:
                raise
            break
        try:
            error = exact.error(content)
        except RuntimeError as stopped:
            failure = _cannot_run(stopped)
            more = exact.stopped_at(content, str(stopped))
        else:
            if best is None or error < best[0]:
                best = error, Chosen(content, tuple(sorted(floats - exact.unsafe())))
            if error <= 1:
                break
            last = attempt >= _ROUNDS - 2
            more = frozenset() if last else exact.blamed(content, floats, 0.5 ** (attempt + 1))
            more = more or exact.leading(content)
        if more <= floats:
            break
        floats |= more
    if best is None:
        assert failure is not None
        raise failure
    return best[1]


def _cannot_run(error: Exception) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"LiteRT cannot run the file: {str(error)[:300]}", remedy="Use dynamic, float16 or float32."
    )


class Reference:
    """A float file and what it gives, to hold integer files against.

    Args:
        content: the float file that integer ones are made of, of one subgraph.
        samples: by input name.
        bits: 8 or 16, of most activations; None takes any error, as long as LiteRT runs the file.
        original: the same file before its biases were corrected for what the integers round, which is what counts.
            Correction mostly moves outputs by less than they may be off, so it is made only where they are too far off.
    """

    def __init__(
        self, content: bytes, samples: Samples, bits: int | None, original: Callable[[], bytes] | None = None
    ) -> None:
        self._error, self._cosine = _LIMITS[bits] if bits else (np.inf, -np.inf)
        self._samples = [sample for sample, _ in zip(samples(), range(_SAMPLES), strict=False)]
        self._original = original
        self._content = content
        self._steps = _steps(content)  # of the original, names of fused operators may be others
        session = Session(content)
        self._expected = session.outputs(self._samples)
        self._outputs = session.output_tensors()

    def near(self, content: bytes) -> bool:
        """Whether LiteRT runs an integer file, and its outputs are near enough."""
        try:
            return self.error(content) <= 1
        except RuntimeError:
            return False

    def error(self, content: bytes) -> float:
        """How far the outputs of a file are off, as a share of what they may be.

        Raises:
            RuntimeError: LiteRT cannot run it.
        """
        number = dead.too_fine(read(content))
        if number is not None:
            raise RuntimeError(f"Node number {number} (ADD) failed to prepare: its result is too small for its scale.")
        found = Session(content).outputs(self._samples)
        if max(self._apart(found).values(), default=0.0) > 1 and self._original is not None:
            self._content = self._original()
            self._expected = Session(self._content).outputs(self._samples)
            self._original = None
        return max(self._apart(found).values(), default=0.0)

    def _apart(self, found: Mapping[str, Array]) -> dict[str, float]:
        """By output; NaN counts as infinite."""
        apart = {}
        for name, expected in self._expected.items():
            if not (expected == expected[:1]).all():  # what never changes here says nothing
                compared = compare(expected, found[name], _FLOOR)
                worst = max(compared.error / self._error, (1 - compared.cosine) / (1 - self._cosine))
                apart[name] = worst if np.isfinite(worst) else float("inf")
        return apart

    def unsafe(self) -> frozenset[str]:
        """Operators that no file should have in integers: where a divisor rounds to 0, LiteRT ends the process."""
        return frozenset(step.output for step in self._steps if step.kind == "DIV")

    def leading(self, content: bytes) -> frozenset[str]:
        """All operators on the way to outputs that are too far off, the last resort."""
        apart = self._apart(Session(content).outputs(self._samples))
        needed = {tensor for name, tensor in self._outputs.items() if apart.get(name, 0.0) > 1}
        for step in reversed(self._steps):
            if needed.intersection(step.outputs):
                needed |= set(step.inputs)
        return frozenset(step.output for step in self._steps if needed.intersection(step.outputs))

    def stopped_at(self, content: bytes, message: str) -> frozenset[str]:
        """The operator that LiteRT could not run, by its first output; nothing where it does not say so."""
        known = {step.output for step in self._steps}
        return frozenset({failed_operator(content, message)} & known)

    def blamed(self, content: bytes, floats: frozenset[str], share: float) -> frozenset[str]:
        """The operators at which the error rises by at least a share of the largest rise.

        Where it rises in an operator that is in float already, what that reads is too coarse: the integer operators
        that it has it from.
        """
        errors = followed(self._content, content, self._samples[:_FOLLOWED])
        rises: dict[str, float] = {}
        sources: dict[str, frozenset[str]] = {}  # of a tensor, the integer operators that its rounding is from
        for step in self._steps:
            before = max((errors.get(name, 0.0) for name in step.inputs), default=0.0)
            rise = max(errors.get(name, 0.0) for name in step.outputs) - before
            places = frozenset({step.output})
            if step.output in floats:
                places = frozenset().union(*(sources.get(name, frozenset()) for name in step.inputs))
            sources |= dict.fromkeys(step.outputs, places)
            for place in places:
                rises[place] = max(rises.get(place, 0.0), rise)
        largest = max(rises.values(), default=0.0)
        return frozenset(name for name, rise in rises.items() if largest > 0 and rise >= share * largest)


@dataclass(frozen=True)
class _Step:
    """An operator by the names of its tensors."""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def output(self) -> str:
        """The first one, which stands for the operator."""
        return self.outputs[0]


def _steps(content: bytes) -> list[_Step]:
    """Operators of the main subgraph in the order of execution; constants are left out of what they read."""
    model = read(content)
    found = []
    for graph, operator, description in described(model):
        if graph is model.subgraphs[0]:
            tensors = [graph.tensors[index] for index in operator.inputs if index >= 0]
            inputs = tuple(text(tensor.name) for tensor in tensors if model.buffers[tensor.buffer].data is None)
            outputs = tuple(text(graph.tensors[index].name) for index in operator.outputs)
            found.append(_Step(description.kind, inputs, outputs))
    return found
