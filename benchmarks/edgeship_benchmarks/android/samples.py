"""Samples as benchmark_model reads them, and outputs as it writes them: raw values of tensors, one after another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgeship import plugins
from edgeship.errors import ArtifactError, DataError, from_wire
from edgeship.types import Artifact, TensorSpec
from edgeship_benchmarks.agent.faults import Fault
from edgeship_benchmarks.agent.tensors import Tensor
from edgeship_benchmarks.runtimes.base import AgentRuntime

if TYPE_CHECKING:
    from edgeship.types import Array, Tensors


class Edges:
    """Inputs and outputs of a .tflite file, in its own order, as LiteRT on this machine sees them.

    Attributes:
        batch: samples in an inference, which the file fixes; 1 where it does not.

    Raises:
        ArtifactError: the file is broken.
        MissingPackageError, ChildError: LiteRT does not run here.
    """

    def __init__(self, artifact: Artifact) -> None:
        runtime = plugins.runtime("litert")
        assert isinstance(runtime, AgentRuntime)
        with runtime.open_session(artifact) as session:
            loaded = session.loaded
        self._inputs = [_tensor(spec) for spec in loaded.inputs]
        self._outputs = [_tensor(spec) for spec in loaded.outputs]
        self.batch = loaded.batch or 1

    def stored(self, inputs: Tensors, first: int) -> list[Array]:
        """An inference's inputs in the file's order, with its batch, as the file stores them.

        `first` is the number of a sample; one after the last is the last again. Raises DataError for samples that do
        not fit.
        """
        found = []
        for tensor, given in zip(self._inputs, self._matched(inputs), strict=True):
            chosen = given[np.minimum(np.arange(first, first + self.batch), len(given) - 1)]
            try:
                found.append(np.ascontiguousarray(tensor.store(chosen)))
            except Fault as fault:
                raise from_wire({"type": fault.kind, "message": fault.message, "remedy": fault.remedy}) from fault
        return found

    def real(self, content: bytes) -> dict[str, Array]:
        """Outputs of an inference by name, real values, from what the tool wrote. Raises ArtifactError."""
        found: dict[str, Array] = {}
        place = 0
        for tensor in self._outputs:
            shape = [self.batch if size is None and axis == 0 else size for axis, size in enumerate(tensor.shape)]
            if None in shape:
                raise ArtifactError(f"output {tensor.name!r} has a shape {tensor.shape} that is not known beforehand")
            known = [int(size) for size in shape if size is not None]
            end = place + math.prod(known) * np.dtype(tensor.dtype).itemsize
            part = content[place:end]
            if len(part) < end - place:
                break
            found[tensor.name] = np.asarray(tensor.real(np.frombuffer(part, tensor.dtype).reshape(known)))
            place = end
        if place != len(content) or len(found) != len(self._outputs):
            raise ArtifactError(
                f"benchmark_model wrote {len(content)} bytes of outputs, which are not those of the file"
            )
        return found

    def _matched(self, inputs: Tensors) -> list[Array]:
        """What was given, in the file's order."""
        names = [tensor.name for tensor in self._inputs]
        wanted = ", ".join(f"{tensor.name} {tensor.shape} {tensor.dtype}" for tensor in self._inputs)
        if set(names) == set(inputs):
            found = [np.asarray(inputs[name]) for name in names]
        elif len(names) == len(inputs) == 1:
            found = [np.asarray(value) for value in inputs.values()]
        else:
            raise DataError(f"inputs are called {', '.join(inputs)}", remedy=f"The model has: {wanted}.")
        for tensor, array in zip(self._inputs, found, strict=True):
            if not len(array) or not tensor.accepts(array.shape):
                raise DataError(f"input {tensor.name!r} has shape {array.shape}", remedy=f"The model has: {wanted}.")
        return found


def _tensor(spec: TensorSpec) -> Tensor:
    tensor = Tensor(spec.name, spec.shape, spec.dtype)
    if spec.quantization is not None:
        tensor.scale, tensor.zero_point = spec.quantization.scale, spec.quantization.zero_point
    return tensor


def sizes_of(stored: Sequence[Array]) -> list[tuple[int, ...]]:
    """Shapes of an inference's inputs."""
    return [tuple(map(int, array.shape)) for array in stored]
