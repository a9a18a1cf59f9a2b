"""The stages factorize and prune with their patterns and budgets, from the recipe to the written model."""

from __future__ import annotations

import pytest
from test_stages import given, recipe, run  # noqa: F401 - `given` is a fixture

from edgeship import source
from edgeship.compress.graph.kernels import prunable_layers
from edgeship.errors import RecipeError
from edgeship.recipe import Factorize, Prune, parse


def test_factorize_then_two_of_four(given, tmp_path):  # noqa: F811 - the fixture
    first = prunable_layers(source.load(given[0]))[0][0].name
    stages = (
        {"factorize": {"share": 0.7, "epochs": 2}},
        {"prune": {"pattern": "2:4", "layers": {first: 0}, "epochs": 2}},
    )
    with pytest.warns(UserWarning, match="2:4 leaves"):
        result = run(given, recipe(*stages), tmp_path / "out")
    base, small, pruned = result.stages
    assert [stage.name for stage in result.stages] == ["base", "factorize", "prune"]
    assert 0.6 * base.macs < small.macs <= 0.7 * base.macs
    assert small.parameters < base.parameters
    assert small.metric > base.metric - 0.06
    assert pruned.macs == small.macs
    kernels = prunable_layers(source.load(result.source))
    assert any(layer.name.endswith("_low") for layer, _ in kernels)
    fours = sum(kernel.shape[-2] % 4 == 0 for layer, kernel in kernels if layer.name != first)
    assert f"{fours} of {len(kernels)} kernels have 2 zeros in every 4" in pruned.notes


def test_settings_are_read_and_written():
    plan = parse(
        recipe(
            {"factorize": {"energy": 0.8}},
            {"prune": {"scope": "layer", "layers": {"stem": 0, "block*": 0.9}}},
        ),
        "test",
    )
    assert plan.stages == (Factorize(energy=0.8), Prune(scope="layer", layers={"stem": 0, "block*": 0.9}))
    assert parse(plan.to_data(), "again") == plan


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([{"prune": {"layers": ["stem"]}}], "layers is a mapping of names to numbers, not list"),
        ([{"prune": {"layers": {"stem": "all"}}}], "layers: stem is 'all', which is not of type float"),
        ([{"prune": {"layers": {"stem": 1.0}}}], r"layers is \{'stem': 1.0\}"),
        ([{"prune": {"layers": {3: 0.5}}}], "which is not of type str"),
        ([{"prune": {"pattern": "2:4", "sparsity": 0.6}}], "sparsity 0.6 with pattern 2:4"),
        ([{"prune": {"pattern": "2:4", "backend": "tfmot"}}], "with backend tfmot"),
        ([{"prune": {"pattern": "4:8"}}], "pattern is '4:8'"),
        (["prune", "factorize"], "factorize after prune would undo it"),
        (["cluster", "factorize"], "factorize after cluster would undo it"),
        ([{"factorize": {"share": 0.0}}], "share is 0.0"),
        ([{"factorize": {"energy": 1.0}}], "energy is 1.0"),
    ],
)
def test_wrong_settings_are_refused(stages, message):
    with pytest.raises(RecipeError, match=message) as caught:
        parse(recipe(*stages), "test")
    assert caught.value.remedy or "mapping" in message or "type" in message
