"""Search spaces: what a file may say, and which recipes come of it."""

from __future__ import annotations

import pytest

from edgeship import recipe as recipes
from edgeship.errors import RecipeError
from edgeship.recipe import Prune, QuantizeAware
from edgeship.searching import space
from edgeship.searching.space import SCHEMA, Range

QAT = {
    "name": "qat",
    "stages": [{"quantize-aware": {"bits": {"from": 1.5, "to": 8.0}, "epochs": {"from": 2, "to": 30, "log": True}}}],
    "variants": ["int8"],
}


class First:
    """Chooses the first end of everything, and notes what it was asked."""

    def __init__(self):
        self.asked = {}

    def suggest_int(self, name, low, high, *, step=1, log=False):
        self.asked[name] = (low, high, step, log)
        return low

    def suggest_float(self, name, low, high, *, step, log=False):
        self.asked[name] = (low, high, step, log)
        return low + (high - low) / 3

    def suggest_categorical(self, name, choices):
        self.asked[name] = tuple(choices)
        return choices[-1]


def parsed(*entries):
    return space.parse({"schema": SCHEMA, "recipes": list(entries)}, "test")


def test_a_point_is_a_recipe_with_readable_numbers():
    chooser = First()
    recipe = parsed("int8", QAT).entry("qat").suggest(chooser)
    (stage,) = recipe.stages
    assert isinstance(stage, QuantizeAware)
    assert (stage.bits, stage.epochs) == (3.67, 2)
    assert chooser.asked == {
        "qat/stages/0/quantize-aware/bits": (1.5, 8.0, None, False),
        "qat/stages/0/quantize-aware/epochs": (2, 30, 1, True),
    }


def test_what_is_open_may_be_lists_and_layers():
    entry = parsed({
        "name": "layers", "variants": {"any": [["int8"], ["mixed"]]},
        "precision": {"stem": {"any": ["int8", "float32"]}, "head": "int16x8"},
    }).entries[0]  # fmt: skip
    recipe = entry.suggest(First())
    assert recipe.variants == ("mixed",)
    assert recipe.precision == {"stem": "float32", "head": "int16x8"}
    assert entry.at({}).precision == {"head": "int16x8"}  # a layer that is int8 is not named


def test_fixed_recipes_are_told_from_open_ones():
    found = parsed("int8", "float16", QAT)
    assert [e.name for e in found.fixed] == ["int8", "float16"]
    assert [e.name for e in found.open] == ["qat"]
    assert found.sha256 == parsed("int8", "float16", QAT).sha256 != parsed("int8", QAT).sha256


def test_a_written_recipe_is_found_on_the_ranges():
    entry = parsed(QAT).entries[0]
    inside = recipes.parse(
        {"schema": recipes.SCHEMA, "name": "other", "max_drop": 2.0, "variants": ["int8"],
         "stages": [{"quantize-aware": {"bits": 2.9, "epochs": 28}}]}, "test")  # fmt: skip
    values = entry.holds(inside)
    assert values is not None
    assert space.same(entry.at(values)) == space.same(inside)
    assert entry.parameters(values) == {
        "qat/stages/0/quantize-aware/bits": 2.9, "qat/stages/0/quantize-aware/epochs": 28
    }  # fmt: skip
    assert entry.holds(recipes.load("small")) is None  # which learns from a teacher
    assert entry.holds(recipes.load("int8")) is None


def test_layers_on_a_choice_are_found_too():
    entry = parsed({
        "name": "layers", "variants": ["mixed"],
        "precision": {"stem": {"any": ["int8", "float32"]}, "head": "int16x8"},
    }).entries[0]  # fmt: skip
    for word in ("int8", "float32"):
        values = {("precision", "stem"): word}
        assert entry.holds(entry.at(values)) == values
    assert entry.holds(recipes.load("mixed")) is None


def test_seeds_and_settings_tell_recipes_apart_names_do_not():
    one = recipes.parse({"schema": recipes.SCHEMA, "name": "a", "stages": ["prune"], "variants": ["int8"]}, "a")
    other = recipes.parse({"schema": recipes.SCHEMA, "name": "b", "stages": ["prune"], "variants": ["int8"]}, "b")
    assert space.same(one) == space.same(other)
    assert space.same(one) != space.same(one.changed(seed=1))
    assert isinstance(one.stages[0], Prune)


@pytest.mark.parametrize(("value", "rounded"), [(0.000513427, 0.000513), (3.66666, 3.67), (1.5, 1.5), (7.9999, 8.0)])
def test_numbers_have_three_digits_and_stay_on_the_range(value, rounded):
    assert Range(0.0001, 8.0).rounded(value) == rounded
    assert Range(1.2345678, 2.0).rounded(1.2345678) == 1.2345678


BAD = [
    ([], "mapping"),
    ({"schema": "edgeship.search/9", "recipes": ["int8"]}, "schema"),
    ({"schema": SCHEMA, "recipes": []}, "list of 1"),
    ({"schema": SCHEMA, "recipes": "int8"}, "list of 1"),
    ({"schema": SCHEMA, "recipes": ["int8"], "more": 1}, "unknown key 'more'"),
    ({"schema": SCHEMA, "recipes": ["int8", "int8"]}, "twice"),
    ({"schema": SCHEMA, "recipes": ["auto"]}, "tries others"),
    ({"schema": SCHEMA, "recipes": [7]}, "a name or a mapping"),
    ({"schema": SCHEMA, "recipes": ["../../etc/passwd"]}, "no recipe is called"),
    ({"schema": SCHEMA, "recipes": [{"variants": ["int8"]}]}, "needs a name"),
    ({"schema": SCHEMA, "recipes": [{"name": "x", "variants": ["int8", "float16"]}]}, "one file"),
    ({"schema": SCHEMA, "recipes": [{"name": "x", "variants": ["int7"]}]}, "unknown variant"),
]
BAD_RANGES = [
    ({"from": 0.9, "to": 0.1}, "no range"),
    ({"from": 0, "to": 1, "log": True}, "no range"),
    ({"from": 0.1, "to": 0.9, "step": 5}, "no range"),
    ({"from": 0.1, "to": float("nan")}, "finite"),
    ({"from": 0.1, "to": True}, "finite"),
    ({"from": 0.1, "to": 0.9, "by": 1}, "a range has"),
    ({"from": 0.1, "to": 0.9, "log": "yes"}, "log is"),
    ({"from": 0.1, "to": 2.0}, "sparsity is 2"),
    ({"any": [0.5]}, "2 to"),
    ({"any": [0.5, "much"]}, "not of type float"),
    ({"form": 0.5}, "not of type float"),
]


@pytest.mark.parametrize(("data", "words"), BAD)
def test_a_space_that_is_none_is_refused(data, words):
    with pytest.raises(RecipeError, match=words):
        space.parse(data, "test")


@pytest.mark.parametrize(("what", "words"), BAD_RANGES)
def test_a_range_that_is_none_is_refused(what, words):
    with pytest.raises(RecipeError, match=words):
        parsed({"name": "x", "stages": [{"prune": {"sparsity": what}}], "variants": ["int8"]})


@pytest.mark.parametrize("text", ["{", "a: 1\na: 2", "[" * 3000, "!!python/object/apply:os.system ['x']", "\x00"])
def test_files_that_are_no_yaml_are_refused(tmp_path, text):
    path = tmp_path / "space.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError):
        space.load(path)
    with pytest.raises(RecipeError, match="cannot be read"):
        space.load(tmp_path / "none.yaml")
