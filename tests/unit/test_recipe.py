"""Recipes are validated data: what is unknown, of the wrong type or out of bounds is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeship import recipe
from edgeship.errors import RecipeError
from edgeship.recipe import SCHEMA, Cluster, Distil, Prune, QuantizeAware, Recipe

_BASE = {"schema": SCHEMA, "name": "mine"}


@pytest.mark.parametrize("name", recipe.shipped())
def test_shipped_recipes_load_and_round_trip(name: str) -> None:
    found = recipe.load(name)
    assert found.name == name
    assert found.purpose
    assert recipe.parse(found.to_data(), "again") == found


def test_shipped_names_are_those_of_the_manual() -> None:
    assert set(recipe.shipped()) >= {"auto", "int8", "int8-qat", "float16", "small", "tiny"}


def test_stages_with_and_without_settings() -> None:
    data = {**_BASE, "stages": [{"prune": {"sparsity": 0.7}}, "cluster", {"distil": None}, "quantize-aware"]}
    assert recipe.parse(data, "x").stages == (Prune(sparsity=0.7), Cluster(), Distil(), QuantizeAware())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "edgeship.recipe/9"}, "schema is 'edgeship.recipe/9'"),
        ({"speed": 1}, "unknown key 'speed'"),
        ({5: 1}, "unknown key 5"),
        ({"name": ""}, "name is empty"),
        ({"name": 5}, "name is 5, which is not of type str"),
        ({"variants": "int8"}, "variants is a list, not str"),
        ({"variants": []}, "variants is empty"),
        ({"variants": ["int7"]}, "unknown variant 'int7'"),
        ({"variants": [["int8"]]}, "unknown variant ['int8']"),
        ({"variants": ["int8", "int8"]}, "names one twice"),
        ({"max_drop": float("nan")}, "max_drop is nan"),
        ({"max_drop": -1}, "max_drop is -1"),
        ({"max_drop": "1"}, "max_drop is '1', which is not of type float"),
        ({"seed": True}, "seed is True, which is not of type int"),
        ({"inconclusive": "maybe"}, "inconclusive is 'maybe'"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"stages": {"prune": {}}}, "stages is a list, not dict"),
        ({"stages": [{"prune": {}, "distil": {}}]}, "a stage is one word"),
        ({"stages": [[1]]}, "a stage is one word"),
        ({"stages": ["squeeze"]}, "unknown stage 'squeeze'"),
        ({"stages": [{("a", "b"): 1}]}, "unknown stage ('a', 'b')"),
        ({"stages": [{"prune": []}]}, "settings of prune are a mapping"),
        ({"stages": [{"prune": {"sparsity": 1.0}}]}, "sparsity is 1.0"),
        ({"stages": [{"prune": {"epochs": 2.0}}]}, "epochs is 2.0, which is not of type int"),
        ({"stages": [{"prune": {"schedule": ["cubic"]}}]}, "schedule is ['cubic']"),
        ({"stages": [{"prune": {"sparsitty": 0.5}}]}, "prune: unknown key 'sparsitty'"),
        ({"stages": [{"prune": {"word": "x"}}]}, "prune: unknown key 'word'"),
        ({"stages": [{"distil": {"student": "tiny"}}]}, "student is 'tiny'"),
        ({"stages": [{"distil": {"temperature": float("inf")}}]}, "temperature is inf"),
        ({"stages": [{"cluster": {"clusters": 3}}]}, "clusters is 3"),
        ({"stages": [{"cluster": {"clusters": 8.0}}]}, "clusters is 8.0, which is not of type int"),
        ({"stages": ["cluster", "distil", "prune"]}, "prune after cluster would undo it"),
        ({"stages": ["cluster", {"distil": {"student": "narrow"}}]}, "distil after cluster would undo it"),
        ({"stages": ["quantize-aware", "cluster"]}, "quantize-aware must be the last stage"),
        ({"stages": ["quantize-aware", "prune"]}, "quantize-aware must be the last stage"),
    ],
)
def test_what_is_refused(change: dict[Any, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.parse({**_BASE, **change}, "mine.yaml")
    assert caught.value.message.startswith("mine.yaml: ")
    assert message in caught.value.message


def test_a_recipe_needs_a_name() -> None:
    with pytest.raises(RecipeError, match="name is missing"):
        recipe.parse({"schema": SCHEMA}, "mine.yaml")


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_not_a_mapping(data: Any) -> None:
    with pytest.raises(RecipeError, match="a recipe is a mapping"):
        recipe.parse(data, "mine.yaml")


def test_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"schema: {SCHEMA}\nname: mine\nvariants: [int8]\n")
    assert recipe.load(str(path)) == Recipe(name="mine", variants=("int8",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [", "is not YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"!!python/object/apply:os.getcwd []", "is not YAML"),
        (b"", "a recipe is a mapping"),
        (b"name: a\nname: b", "'name' is written twice"),
    ],
)
def test_files_that_are_no_recipe(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        recipe.load(str(path))


@pytest.mark.parametrize("name", ["int9", "../recipes/int8", "no/such.yaml", ""])
def test_an_unknown_name_lists_the_shipped(name: str) -> None:
    with pytest.raises(RecipeError, match="no recipe is called") as caught:
        recipe.load(name)
    assert "int8-qat" in caught.value.remedy


def test_attempts_have_what_they_do_not_state_from_the_recipe_that_tries_them() -> None:
    own = {"name": "own", "stages": ["prune"], "batch_size": 8}
    data = {"schema": recipe.SCHEMA, "name": "mine", "attempts": ["int8-qat", own], "batch_size": 16, "max_growth": 0.2}
    found = recipe.parse(data, "mine")
    assert [(a.batch_size, a.max_growth) for a in found.attempts] == [(16, 0.2), (8, 0.2)]
    assert recipe.parse(found.to_data(), "again") == found
    assert recipe.load("safe").attempts[0].batch_size == 64


def test_data_are_divided_as_the_attempt_wants_it_that_takes_most_calibration_samples() -> None:
    data = {"schema": recipe.SCHEMA, "name": "mine", "attempts": ["int8", "small"]}

    assert recipe.parse(data, "mine").calibration_samples == recipe.load("small").calibration_samples == 500
    assert recipe.load("safe").calibration_samples == 500
    assert recipe.parse({**data, "calibration_samples": 30}, "mine").calibration_samples == 30


def test_attempts_are_recipes_by_name_or_written_out(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(f"schema: {recipe.SCHEMA}\nname: own\nstages: [quantize-aware]\nvariants: [int8]\n")
    inline = {"name": "pruned", "stages": [{"prune": {"sparsity": 0.5}}], "variants": ["int8"]}
    data = {"schema": recipe.SCHEMA, "name": "mine", "attempts": ["int8", str(file), inline]}
    found = recipe.parse(data, "here")
    assert [a.name for a in found.attempts] == ["int8", "own", "pruned"]
    assert [a.trains for a in found.attempts] == [False, True, True]
    assert found.variants == ()
    assert recipe.parse(found.to_data(), "again") == found


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"attempts": ["auto"]}, "attempts: auto: an attempt has no attempts itself"),
        ({"attempts": ["int8", "int8"]}, "names one twice: int8, int8"),
        ({"attempts": ["int8"], "stages": ["prune"]}, "attempts and stages"),
        ({"attempts": "int8"}, "attempts is a list, not str"),
        ({"attempts": [3]}, "name of a recipe or a mapping, not int"),
        ({"attempts": [{"stages": []}]}, "name is missing"),
        ({"attempts": ["nobody"]}, "no recipe is called 'nobody'"),
        ({"attempts": ["int8"], "undecided": "perhaps"}, "undecided is 'perhaps'"),
        ({"attempts": ["int8"], "minutes": -1}, "minutes is -1"),
        ({"attempts": [], "variants": []}, "variants is empty"),
    ],
)
def test_attempts_that_cannot_be_are_refused(keys: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe.parse({"schema": recipe.SCHEMA, "name": "mine", **keys}, "here")


def test_changes_hold_for_attempts_and_choose_among_them() -> None:
    auto = recipe.load("auto")
    only = auto.changed(max_drop=1.0, seed=7, variants=("int8", "dynamic"))
    assert (only.max_drop, only.seed) == (1.0, 7)
    assert {a.variants for a in only.attempts} == {("int8",)}
    assert "float16" not in {a.name for a in only.attempts}
    assert only.variants == ("dynamic",)
    assert auto.changed() == auto
    given = auto.changed(variants=("float32", "float16", "int8"))  # float16 also where another attempt is taken
    assert given.variants == ("float32", "float16")
    plain = auto.changed(variants=("float32",))
    assert (plain.attempts, plain.variants) == ((), ("float32",))
    with pytest.raises(RecipeError, match="unknown variant 'int9'"):
        auto.changed(variants=("int9",))


def test_safe_goes_from_small_to_large_and_auto_from_cheap_to_expensive() -> None:
    assert [a.name for a in recipe.load("safe").attempts][-1] == "float16"
    costs = [a.trains for a in recipe.load("auto").attempts]
    assert costs[0] is False
    assert costs.index(True) == len(costs) - 2  # training last, before what needs none and is larger


def test_files_that_lead_back_to_themselves_or_never_end(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(f"schema: edgeship.recipe/1\nname: mine\nattempts:\n- {path}\n")
    with pytest.raises(RecipeError, match="an attempt has no attempts itself"):
        recipe.load(str(path))
    path.write_text("[" * 5000)
    with pytest.raises(RecipeError, match=r"nested without end|is not YAML"):
        recipe.load(str(path))
