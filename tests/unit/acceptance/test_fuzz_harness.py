"""The harness of differential fuzzing: draws, records, shrinking, the page. Nothing here needs TensorFlow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.acceptance.fuzz import records, table
from tests.acceptance.fuzz.catalogue import EXCLUDED, RULES
from tests.acceptance.fuzz.description import Description, Entry, Node
from tests.acceptance.fuzz.draw import Draw, generator
from tests.acceptance.fuzz.records import Record
from tests.acceptance.fuzz.runner import Outcome, Result
from tests.acceptance.fuzz.samples import draw_samples
from tests.acceptance.fuzz.shrink import kind, pruned, shrink

from edgeship.codec import from_json, to_json

INPUT = Entry("input_0", (6, 4))
CHAIN = Description(
    3,
    (INPUT, Entry("input_1", (6, 4))),
    (
        Node("conv", "Conv1D", {"filters": 8, "kernel_size": [3]}, ("input_0",)),
        Node("relu", "ReLU", {"max_value": 6.0}, ("conv",)),
        Node("dense", "Dense", {"units": 7}, ("relu",)),
        Node("other", "Dense", {"units": 7}, ("input_1",)),
    ),
    ("dense", "other"),
)


def test_a_description_survives_json() -> None:
    wrapped = Node("td", "TimeDistributed", {"layer": {"layer": "Dense", "settings": {"units": 3}}}, ("other",))
    given = replace(CHAIN, nodes=(*CHAIN.nodes, wrapped))
    assert from_json(Description, to_json(given)) == given
    assert given.layers() == ("Conv1D", "Dense", "ReLU", "TimeDistributed")


def test_draws_depend_on_seed_and_name_alone() -> None:
    assert [Draw(5, "a").number(0, 10**6) for _ in range(2)] == [Draw(5, "a").number(0, 10**6)] * 2
    assert Draw(5, "a").number(0, 10**6) != Draw(5, "b").number(0, 10**6) != Draw(6, "b").number(0, 10**6)
    assert generator(0).integers(1 << 30) == 99245245  # this must not change: seeds name models


@pytest.mark.parametrize(
    ("values", "dtype", "shape"),
    [
        ("normal", "float32", (5,)),
        ("unit", "float32", (7, 6, 3)),
        ("pixels", "uint8", (7, 6, 3)),
        ("padded", "float32", (9, 2)),
        ("signal", "float32", (64,)),
        ("ids", "int64", (3,)),
    ],
)
def test_samples_differ_and_keep_to_their_range(values: str, dtype: str, shape: tuple[int, ...]) -> None:
    entry = Entry("x", shape, dtype, values, high=12)
    found = draw_samples(entry, 0, "test", 32)
    assert found.dtype == dtype
    assert found.shape == (32, *shape)
    assert np.isfinite(found.astype(float)).all()
    assert (found[1:] != found[:-1]).reshape(31, -1).any(axis=1).all()
    low, high = {"unit": (0, 1), "pixels": (0, 255), "ids": (0, 11)}.get(values, (-20, 20))
    assert low <= found.min() < found.max() <= high
    assert not np.array_equal(found, draw_samples(entry, 0, "validation", 32))
    if values == "padded":
        assert (found[:, -1] == 0).all(axis=-1).any()


def test_shrinking_keeps_what_fails_and_drops_the_rest() -> None:
    tried: list[Description] = []

    def fails(candidate: Description) -> bool:
        tried.append(candidate)
        return any(node.layer == "ReLU" for node in candidate.nodes)

    found = shrink(CHAIN, fails)
    assert found.nodes == (Node("relu", "ReLU", {}, ("input_0",)),)
    assert found.outputs == ("relu",)
    assert found.entries == (replace(INPUT, shape=(1, 1)),)
    assert len(tried) == len(set(map(repr, tried)))


def test_shrinking_stops_at_its_limit() -> None:
    count = 0

    def fails(candidate: Description) -> bool:
        nonlocal count
        count += 1
        return False

    assert shrink(CHAIN, fails, limit=4) == CHAIN
    assert count == 4


def test_pruning_keeps_shared_layers() -> None:
    again = Node("again", "Conv1D", {}, ("input_1",), shares="conv")
    found = pruned(replace(CHAIN, nodes=(*CHAIN.nodes, again), outputs=("again",)))
    assert [node.name for node in found.nodes] == ["conv", "again"]


def test_failures_of_one_cause_are_of_one_kind() -> None:
    assert kind("mismatch", "error 0.79 (0.5) in litert") == kind("mismatch", "error 1.2e-3 (0.5) in litert")
    assert kind("mismatch", "error 0.79") != kind("refused", "error 0.79")


def test_records_are_replaced_resumed_and_sharded(tmp_path) -> None:
    result = Result(7, ("Dense",), {"a/b": Outcome("agrees"), "a/c": Outcome("refused", "dense_1: no")}, "", 2.0, CHAIN)
    records.write(records.of(result, "old"), tmp_path)
    records.write(replace(records.of(result, "new"), seconds=3.0), tmp_path)
    records.write(Record(60, "new"), tmp_path)
    kept = records.read(tmp_path)
    bad = {"a/c": Outcome("refused", "dense_1: no")}
    assert kept == [Record(7, "new", ("Dense",), ("a/b",), bad, "", 3.0), Record(60, "new")]
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["00000.jsonl", "00050.jsonl"]
    assert records.due(100, (0, 2), "new", kept) == [s for s in range(50) if s != 7]
    assert records.due(100, (1, 2), "new", kept) == [s for s in range(50, 100) if s != 60]
    assert 7 in records.due(100, (0, 1), "newer", kept)


def test_the_page_counts_everything_that_does_not_agree() -> None:
    good = [Record(s, "k", ("Dense",), ("onnx/float32", "tflite/int8")) for s in range(3)]
    why = "UnsupportedModelError: tflite/int8: conv_12 has 3 dimensions | no"
    bad = Record(3, "old", ("Dense", "LSTM"), ("onnx/float32",), {"tflite/int8": Outcome("refused", why)})
    found = table.page([*good, bad, Record(4, "k", invalid="no head")], "k")
    assert "4 models; 1 seeds gave none; 1 records are of older code" in found
    assert "| onnx/float32 | 4 | 100.0% | 99% |" in found
    assert "| tflite/int8 | 4 | 75.0% | 97% |  |  |  |  | 1 |" in found
    assert "| tflite/int8 | refused | 1 | 3 | UnsupportedModelError: FILE: LAYER has # dimensions / no |" in found
    assert "| LSTM | 1 (fewer than 20) |" in found
    assert all(f"| {name} | {why} |" in found for name, why in EXCLUDED.items())


def test_goals_that_are_missed_are_named() -> None:
    whole = Record(0, "k", tuple(RULES), tuple(table.GOALS))
    enough = [replace(whole, seed=seed) for seed in range(table.LEAST)]
    assert table.missed([*enough, Record(99, "k", invalid="no head")]) == []
    refused = {"tflite/int8": Outcome("unnamed", "it does not work")}
    short = replace(whole, good=("tflite/float32", "onnx/float32", "tfjs/float32"), bad=refused)
    assert table.missed([*enough[1:], short]) == [
        "tflite/int8: 19 of 20 models agree, the goal is 97%",
        "1 files are unnamed",
    ]
    assert table.missed(enough[1:])[0].startswith("fewer than 20 models have ")


def test_each_rule_is_of_a_layer_that_is_not_left_out() -> None:
    assert not RULES.keys() & EXCLUDED.keys()
    assert not {rule.layer for rule in RULES.values() if rule.layer} & EXCLUDED.keys()
