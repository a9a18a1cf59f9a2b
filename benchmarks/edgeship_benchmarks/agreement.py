"""Whether a device computes what the same file computes here: a fast backend that answers nonsense has no latency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgeship import plugins
from edgeship.errors import ArtifactError, EdgeshipError
from edgeship.types import Artifact
from edgeship_benchmarks.parity import parity

if TYPE_CHECKING:
    from edgeship.types import Array, Parity, Tensors

#: Samples that are compared.
SAMPLES = 8
#: Largest difference, as a share of what the inputs change in the outputs, that is still the same computation. GPUs
#: that compute in half precision stay below 1 %; zeros, or outputs that ignore the input, are at 50 % or more.
LIMIT = 0.05
#: Share above which a difference is worth a note: float32 in another order stays below.
WORTH_A_NOTE = 1e-3


class Runs(Protocol):
    """What is compared: a session, for instance."""

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Outputs by name for N samples of each input."""


class Expected:
    """What an artifact computes on this machine, for a few samples.

    Args:
        where: the file is compared, in words.

    Attributes:
        inputs: the first samples that are given; the first of them mirrored, so that there are always two inputs that
            differ; and the first once more, because a runtime may keep state.
        reference: the runtime that computed them; empty where none could, and `why` says why.
    """

    def __init__(self, artifact: Artifact, inputs: Tensors, where: str = "in the browser") -> None:
        self.where = where
        self.inputs = {name: _probes(np.asarray(value)) for name, value in inputs.items()}
        self.reference, self.why = "", "no runtime here opens it"
        self._outputs: dict[str, Array] = {}
        for runtime in plugins.runtimes_for(artifact.format):
            if runtime.missing():
                self.why = f"{runtime.name} needs {', '.join(runtime.missing())}"
                continue
            try:
                self._outputs = dict(runtime.run(artifact, self.inputs))
            except EdgeshipError as error:
                self.why = error.message
                continue
            self.reference = runtime.name
            return

    def compare(self, session: Runs) -> tuple[Parity | None, tuple[str, ...]]:
        """How the session's outputs compare, and notes. Raises ArtifactError where they are something else."""
        found = session.run(self.inputs)
        count = len(next(iter(self.inputs.values())))
        if any(value.ndim == 0 or len(value) != count for value in found.values()):
            raise ArtifactError(f"its outputs {self.where} are not those of {count} samples")
        _check_finite_and_sensitive(found, self.where)
        if not self.reference:
            if not any(map(_spread, found.values())):
                raise ArtifactError(f"its outputs {self.where} do not depend on its inputs")
            return None, (f"outputs were not compared with those of another runtime: {self.why}",)
        ordered = self._matched(found)
        share = max(_share(array, ordered[name]) for name, array in self._outputs.items())
        if not share <= LIMIT:  # NaN, where only the reference computes it, is no agreement
            raise ArtifactError(
                f"it computes something else than in {self.reference}: outputs differ by {100 * share:.0f} % of what "
                "the inputs change in them",
                remedy="Use another runtime: this backend has a kernel that is wrong for the file.",
            )
        return parity(ordered, self._outputs, f"{self.reference} on this machine"), self._notes(share)

    def _matched(self, found: Mapping[str, Array]) -> dict[str, Array]:
        """By the names of the reference. Raises ArtifactError where number or shapes differ."""
        if len(found) != len(self._outputs):
            raise ArtifactError(
                f"it has {len(found)} outputs {self.where} and {len(self._outputs)} in {self.reference}"
            )
        ordered = dict(zip(self._outputs, _in_order(found, self._outputs), strict=True))
        for name, array in self._outputs.items():
            if array.shape != ordered[name].shape:
                shapes = f"{ordered[name].shape} {self.where} and {array.shape} in {self.reference}"
                raise ArtifactError(f"an output has the shape {shapes}")
        return ordered

    def _notes(self, share: float) -> tuple[str, ...]:
        notes = []
        if share > WORTH_A_NOTE:
            changed = f"{100 * share:.1f} % of what the inputs change in them"
            notes.append(f"outputs differ from those in {self.reference} by up to {changed}")
        if not any(map(_spread, self._outputs.values())):
            notes.append("the samples change nothing in the outputs: that they agree says little; give other samples")
        return tuple(notes)


def _probes(value: Array) -> Array:
    first = value[:1]
    mirrored = first.reshape(1, -1)[:, ::-1].reshape(first.shape)
    probes: Array = np.concatenate([value[:SAMPLES], mirrored, first])
    return probes


def _check_finite_and_sensitive(found: Mapping[str, Array], where: str) -> None:
    """What can be said without any reference: outputs that are numbers and depend on the input and on nothing else."""
    if not all(np.isfinite(value).all() for value in found.values()):
        raise ArtifactError(f"it computes NaN or infinite values {where}")
    for value in found.values():
        spread = _spread(value)
        if float(np.abs(np.subtract(value[0], value[-1], dtype=np.float64)).max(initial=0.0)) > LIMIT * spread:
            raise ArtifactError(
                f"the same sample gives different outputs {where} the second time",
                remedy="The runtime keeps state between inferences; use another one for this file.",
            )


def _spread(value: Array) -> float:
    """The most that the inputs change in any element of an output."""
    wide = np.asarray(value, np.float64)
    return float((wide.max(axis=0) - wide.min(axis=0)).max(initial=0.0))


def _share(expected: Array, found: Array) -> float:
    difference = float(np.abs(np.subtract(expected, found, dtype=np.float64)).max(initial=0.0))
    scale = _spread(expected) or float(np.abs(expected).max(initial=0.0)) or 1.0
    return difference / scale


def _in_order(found: Mapping[str, Array], expected: Mapping[str, Array]) -> list[Array]:
    """By name where names are the same; else in the file's order, which all its runtimes keep."""
    return [found[name] for name in expected] if set(found) == set(expected) else list(found.values())
