"""The one part of the graph that is compiled, held against TensorFlow Lite's own partitioning on random graphs."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest

from edgeship.edgetpu.graph import Operator, Tensor
from edgeship.edgetpu.partition import partition
from edgeship.edgetpu.placement import Place


def tensor(index: int) -> Tensor:
    return Tensor(index, f"t{index}", (1, 4), False, "INT8", True, 0, False, None, memoryview(b""))


def operators(inputs: Sequence[Sequence[int]]) -> list[Operator]:
    """Operator n makes tensor n; a negative input is one of the graph's own."""
    return [
        Operator(n, "ADD", 0, False, 1, tuple(tensor(i if i >= 0 else 100 - i) for i in given), (tensor(n),), {}, 0)
        for n, given in enumerate(inputs)
    ]


def mapped_by_epochs(inputs: Sequence[Sequence[int]], on_tpu: Sequence[bool]) -> set[int]:
    """The first part for the delegate, as graph_info.cc finds it: epochs of one kind, as large as they get."""
    epoch_of: dict[int, int] = {}
    kinds: list[bool] = []
    while len(epoch_of) < len(inputs):
        kind: bool | None = None
        grown = True
        while grown:
            grown = False
            for n, given in enumerate(inputs):
                ready = all(i < 0 or i in epoch_of for i in given)
                if n in epoch_of or not ready or kind not in (None, on_tpu[n]):
                    continue
                kind = on_tpu[n]
                epoch_of[n] = len(kinds)
                grown = True
        assert kind is not None
        kinds.append(kind)
    first = kinds.index(True) if True in kinds else -1
    return {n for n, epoch in epoch_of.items() if epoch == first}


def places(inputs: Sequence[Sequence[int]], words: str) -> list[str]:
    wanted: list[Place] = [{"t": "tpu", "c": "cpu", "u": "uncertain"}[word] for word in words]  # type: ignore[misc] # literals
    return [part.place[0] for part in partition(operators(inputs), wanted)]


CHAIN = [[-1], [0], [1], [2], [3]]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ttttt", "ttttt"),
        ("ttctt", "ttccc"),
        ("ccttt", "ccttt"),  # CPU work before the part is allowed
        ("cctct", "cctcc"),
        ("ttutt", "ttuuu"),
        ("utttt", "utttt"),  # whatever the first is, the others follow
        ("ccccc", "ccccc"),
        ("ttuct", "ttucc"),
    ],
)
def test_what_comes_after_the_first_cut_stays_on_the_cpu(given: str, expected: str) -> None:
    assert "".join(places(CHAIN, given)) == expected


def test_a_branch_without_the_cut_is_still_mapped() -> None:
    branches = [[-1], [0], [0], [1], [2], [3, 4]]
    assert "".join(places(branches, "tcttt" + "t")) == "tctctc"


def test_the_cut_is_named() -> None:
    parts = partition(operators(CHAIN), ["tpu", "tpu", "cpu", "tpu", "tpu"])
    assert [part.cut_by for part in parts] == [None, None, None, 2, 2]


def test_no_operators_no_parts() -> None:
    assert partition([], []) == []


@pytest.mark.parametrize("seed", range(60))
def test_certain_is_what_holds_however_the_uncertain_operators_turn_out(seed: int) -> None:
    choose = random.Random(seed)
    count = choose.randrange(2, 9)
    inputs = [
        sorted({choose.randrange(-1, n) for _ in range(choose.choice([1, 1, 2]))}) if n else [-1] for n in range(count)
    ]
    words = "".join(choose.choice("tttccu") for _ in range(count))
    uncertain = [n for n, word in enumerate(words) if word == "u"]
    outcomes = []
    for chosen in itertools.product([True, False], repeat=len(uncertain)):
        on_tpu = [word == "t" for word in words]
        for n, value in zip(uncertain, chosen, strict=True):
            on_tpu[n] = value
        outcomes.append(mapped_by_epochs(inputs, on_tpu))
    found = places(inputs, words)
    for n, place in enumerate(found):
        if place == "t":
            assert all(n in mapped for mapped in outcomes), (inputs, words, n)
        if place == "c":
            assert not any(n in mapped for mapped in outcomes), (inputs, words, n)
    if not uncertain:
        assert {n for n, place in enumerate(found) if place == "t"} == outcomes[0]
        assert "u" not in found
