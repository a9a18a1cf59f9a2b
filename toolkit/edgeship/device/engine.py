"""A .tflite file in LiteRT, in this process, through the measuring agent's code: real values in, real values out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgeship.errors import ArtifactError, DataError, from_wire
from edgeship_benchmarks.agent.arrays import np
from edgeship_benchmarks.agent.faults import Fault
from edgeship_benchmarks.agent.litert import LiteRT

if TYPE_CHECKING:
    from edgeship.types import Array


class Engine:
    """One loaded file; not for several threads at a time.

    Args:
        path: of the file.
        inputs: names by which the caller knows the inputs, in the order of the manifest.
        outputs: names of the outputs.

    Raises ArtifactError where LiteRT cannot open it, MissingPackageError where there is no LiteRT.
    """

    def __init__(self, path: str, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        with _typed():
            self._lite = LiteRT(path, threads=1)
        self._inputs = _order(self._lite.inputs, inputs)
        self._outputs = _order(self._lite.outputs, outputs)
        self._size = self._lite.batch(1)

    def run(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs for N samples of each input, sample by sample as devices do (by the batch that a file fixes).

        Raises DataError where values do not fit the file, ArtifactError where it cannot be run.
        """
        count = len(next(iter(arrays.values())))
        parts = [self._outputs_of(arrays, start) for start in range(0, count, self._size)]
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in self._outputs}

    def feeds(self, arrays: Mapping[str, Array], start: int) -> list[Array]:
        """Stored values of one inference, in the file's order; the last sample fills up a fixed batch."""
        found = {}
        for name, tensor in self._inputs.items():
            part = arrays[name][start : start + self._size]
            if not tensor.accepts(part.shape):
                raise DataError(f"input {name!r} has samples of shape {part.shape[1:]}, not {tuple(tensor.shape[1:])}")
            with _typed():
                stored = tensor.store(part)
            if len(stored) < self._size:
                stored = np.concatenate([stored, np.repeat(stored[-1:], self._size - len(stored), axis=0)])
            found[tensor.index] = stored
        return [found[tensor.index] for tensor in self._lite.inputs]

    def infer(self, feeds: Sequence[Array]) -> list[Any]:
        """One inference. Raises ArtifactError."""
        with _typed():
            self._lite.prepare(feeds)
            found: list[Any] = self._lite.infer(feeds)
        return found

    def _outputs_of(self, arrays: Mapping[str, Array], start: int) -> dict[str, Array]:
        stored = self.infer(self.feeds(arrays, start))
        by_index = {tensor.index: value for tensor, value in zip(self._lite.outputs, stored, strict=True)}
        found = {name: tensor.real(np.asarray(by_index[tensor.index])) for name, tensor in self._outputs.items()}
        for name, value in found.items():
            if value.ndim == 0 or len(value) != self._size:
                raise ArtifactError(f"output {name!r} has shape {value.shape} for {self._size} samples")
        return found


def _order(tensors: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    """Name -> tensor of the file: by its names, by those of its graph, or in the file's order."""
    if len(tensors) != len(names):
        raise ArtifactError(f"the file has {len(tensors)} inputs or outputs, its manifest {len(names)}")
    for own in ([tensor.name for tensor in tensors], [tensor.alias for tensor in tensors]):
        if set(own) == set(names):
            found = dict(zip(own, tensors, strict=True))
            return {name: found[name] for name in names}
    return dict(zip(names, tensors, strict=True))


@contextmanager
def _typed() -> Iterator[None]:
    """The agent's and the runtime's errors as ours."""
    try:
        yield
    except Fault as fault:
        raise from_wire({"type": fault.kind, "message": fault.message, "remedy": fault.remedy}) from fault
    except (ValueError, RuntimeError, TypeError) as error:
        raise ArtifactError(f"LiteRT cannot run the file: {error}") from error
