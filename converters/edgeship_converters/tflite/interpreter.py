"""Files in LiteRT's interpreter: what they give, and how far each of their tensors is from those of another file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship_converters.flatfile import described, read, text

if TYPE_CHECKING:
    from edgeship.types import Array

#: What LiteRT says of an operator that it cannot run.
_FAILED = re.compile(r"Node number (\d+) \((\w+)\) failed")


def failed_operator(content: bytes, message: str) -> str:
    """First output of the operator that an error of LiteRT speaks of; empty where it names none of the file's own."""
    found = _FAILED.search(message)
    steps = list(described(read(content)))
    if found is None or int(found[1]) >= len(steps):
        return ""
    graph, raw, _ = steps[int(found[1])]
    return text(graph.tensors[raw.outputs[0]].name)


class Session:
    """An interpreter of a file; what is quantized goes in and comes out as the numbers it stands for."""

    def __init__(self, content: bytes, *, every_tensor: bool = False) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        kind = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if every_tensor else OpResolverType.AUTO
        self._interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_preserve_all_tensors=every_tensor,
            experimental_op_resolver_type=kind,
        )
        model = read(content)
        signature, graph = model.signatureDefs[0], model.subgraphs[0]
        self._computed = [i for i, tensor in enumerate(graph.tensors) if model.buffers[tensor.buffer].data is None]
        self._inputs = {text(entry.name): int(entry.tensorIndex) for entry in signature.inputs}
        self._outputs = {text(entry.name): int(entry.tensorIndex) for entry in signature.outputs}
        self._details: dict[int, Any] = {}

    def outputs(self, samples: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
        """The outputs that stand for real numbers, (N, ...), by name."""
        rows: dict[str, list[Array]] = {}
        for sample in samples:
            self.run(sample)
            for name, index in self._outputs.items():
                value = self._real(index)
                if value.dtype.kind == "f":
                    rows.setdefault(name, []).append(value)
        return {name: np.concatenate(found).astype(np.float64) for name, found in rows.items()}

    def run(self, sample: Mapping[str, Array]) -> None:
        """Compute one sample."""
        shapes = {name: tuple(sample[name].shape) for name in self._inputs}
        if not self._details or any(
            tuple(self._details[index]["shape"]) != shapes[name] for name, index in self._inputs.items()
        ):
            for name, index in self._inputs.items():
                self._interpreter.resize_tensor_input(index, shapes[name])
            self._interpreter.allocate_tensors()
            self._details = {found["index"]: found for found in self._interpreter.get_tensor_details()}
        for name, index in self._inputs.items():
            self._interpreter.set_tensor(index, self._stored(index, sample[name]))
        self._interpreter.invoke()

    def tensors(self) -> dict[str, Array]:
        """All tensors of real numbers that the last sample gave, by name; with `every_tensor` only."""
        found = {}
        for index in self._computed:
            try:
                value = self._real(index)
            except ValueError:  # without memory: nothing has computed it
                continue
            if value.dtype.kind == "f":
                found[self._details[index]["name"]] = value
        return found

    def input_tensors(self) -> dict[str, str]:
        """Name of each input -> name of its tensor."""
        return {name: self._details[index]["name"] for name, index in self._inputs.items()}

    def output_tensors(self) -> dict[str, str]:
        """Name of each output -> name of its tensor, once a sample was run."""
        return {name: self._details[index]["name"] for name, index in self._outputs.items()}

    def _stored(self, index: int, value: Array) -> Array:
        dtype, (scale, zero) = self._details[index]["dtype"], self._details[index]["quantization"]
        if value.dtype.kind == "f" and np.dtype(dtype).kind in "iu":
            limits = np.iinfo(dtype)
            value = np.clip(np.rint(value / scale) + zero, limits.min, limits.max)
        return value.astype(dtype)

    def _real(self, index: int) -> Array:
        value: Array = self._interpreter.get_tensor(index)
        scale, zero = self._details[index]["quantization"]
        return (value.astype(np.float64) - zero) * scale if scale and value.dtype.kind in "iu" else value


def followed(reference: bytes, content: bytes, samples: Sequence[Mapping[str, Array]]) -> dict[str, float]:
    """Power of the error of each tensor that both files have, as a share of its variance over the samples."""
    exact, rounded = Session(reference, every_tensor=True), Session(content, every_tensor=True)
    errors: dict[str, float] = {}
    squares: dict[str, float] = {}
    sums: dict[str, Array] = {}
    for sample in samples:
        exact.run(sample)
        rounded.run(sample)
        found = rounded.tensors()
        names = rounded.input_tensors()
        found |= {own: found[names[name]] for name, own in exact.input_tensors().items() if names[name] in found}
        for name, given in exact.tensors().items():
            value, other = given.astype(np.float64), found.get(name)
            if other is None or other.shape != value.shape or not np.isfinite(value).all():
                continue
            errors[name] = errors.get(name, 0.0) + float(np.square(other - value).sum())
            squares[name] = squares.get(name, 0.0) + float(np.square(value).sum())
            sums[name] = sums.get(name, 0.0) + value
    powers = {}
    for name, error in errors.items():
        variance = squares[name] - float(np.square(sums[name]).sum()) / len(samples)
        powers[name] = error / variance if variance > 1e-12 * squares[name] else 0.0
    return powers
