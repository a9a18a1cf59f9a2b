"""Which operators the compiler puts into its one part of the graph.

The Edge TPU's documentation says that the compiler divides a model once: what comes after the first operator that
it cannot map stays on the CPU, even if it is supported. How far that reaches is a matter of what depends on what, and
a file may begin with operators on the CPU (CAST, QUANTIZE of floats) before the part for the Edge TPU: movenet in
google-coral/test_data does. That is TensorFlow Lite's own partitioning (PartitionGraphIntoIndependentNodeSubsets in
tensorflow/lite/graph_info.cc) with the first part for the delegate taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from edgeship.edgetpu.graph import Operator
from edgeship.edgetpu.placement import Place

#: Where a tensor stands: made by the CPU before the part for the Edge TPU, by that part, or by the CPU after it.
_BEFORE, _INSIDE, _AFTER = range(3)

#: All that may be, while some operators are uncertain.
_Stages = frozenset[int]


@dataclass(frozen=True)
class Part:
    """Where an operator goes, and the number of the operator that cuts it off or may do so."""

    place: Place
    cut_by: int | None = None


def partition(operators: Sequence[Operator], places: Sequence[Place]) -> list[Part]:
    """Where each operator goes, given where each would go alone.

    What is certain here is so however the uncertain operators turn out; what is uncertain may be so because an
    operator before it is.
    """
    if not operators:
        return []
    # The first operator says whether the part for the Edge TPU comes first.
    firsts: tuple[Place, ...] = ("tpu", "cpu") if places[0] == "uncertain" else (places[0],)
    found = [_from(operators, [first, *places[1:]]) for first in firsts]
    return [_either(parts) for parts in zip(*found, strict=True)]


def _either(parts: Sequence[Part]) -> Part:
    """What holds whatever the first operator is; where that decides, it is the one that cuts."""
    return parts[0] if len({part.place for part in parts}) == 1 else Part("uncertain", 0)


def _from(operators: Sequence[Operator], places: Sequence[Place]) -> list[Part]:
    """The partition where the first operator is certain."""
    start = _INSIDE if places[0] == "tpu" else _BEFORE
    stages: dict[int, _Stages] = {}
    cuts: dict[int, int] = {}
    found = []
    for operator, place in zip(operators, places, strict=True):
        given = [t.index for t in operator.inputs if t is not None and t.index in stages]
        before = _latest([stages[index] for index in given], start)
        cut = min((cuts[index] for index in given if index in cuts), default=None)
        found.append(_part(place, before, cut))
        after = frozenset(step for stage in before for step in _steps(place, stage))
        if cut is None and _AFTER in after:
            cut = operator.index
        for tensor in operator.outputs:
            stages[tensor.index] = after
            if cut is not None:
                cuts[tensor.index] = cut
    return found


def _latest(stages: Sequence[_Stages], start: int) -> _Stages:
    """The stages that the latest of some inputs may have."""
    options = {frozenset({start}), *stages}
    return frozenset(max(chosen) for chosen in product(*options))


def _steps(place: Place, stage: int) -> tuple[int, ...]:
    """The stages of an operator's results, given that of its inputs."""
    on_tpu = _AFTER if stage == _AFTER else _INSIDE
    on_cpu = _BEFORE if stage == _BEFORE else _AFTER
    return {"tpu": (on_tpu,), "cpu": (on_cpu,), "uncertain": (on_tpu, on_cpu)}[place]


def _part(place: Place, before: _Stages, cut: int | None) -> Part:
    if place == "cpu":
        return Part("cpu")
    if before == {_AFTER}:
        return Part("cpu", cut)
    if _AFTER in before:
        return Part("uncertain", cut)
    return Part(place)
