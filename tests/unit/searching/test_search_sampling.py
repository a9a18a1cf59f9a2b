"""What samplers are told, and whose turn it is. Trials are a formula."""

from __future__ import annotations

from dataclasses import replace

import pytest
from optuna.trial import TrialState
from tests import search_proxy

from edgeship.searching.limits import Limits
from edgeship.searching.sampling import constraints, draw_widely
from edgeship.searching.study import Study
from edgeship.searching.trials import Job


def run(folder, *words):
    """A proxy search; returns its trials as Optuna has them, and its study's setting."""
    asked = search_proxy.arguments([str(folder), *map(str, words)])
    search_proxy.run(asked)
    with Study(search_proxy.setting(asked)) as study:
        return study._study.get_trials(), {t.number: t for t in study.trials()}, study.setting


def proxied(sparsity, bits):
    stages = [
        {"prune": {"sparsity": sparsity, "epochs": 30}},
        {"quantize-aware": {"bits": bits, "learning_rate": 7e-4}},
    ]
    recipe = {"name": "proxy", "stages": stages, "variants": ["int8"]}
    return search_proxy.trial(Job(0, recipe, far_beyond=7.5))


def test_a_recipe_without_settings_is_told_as_the_worst(tmp_path):
    told, _, _ = run(tmp_path, "--trials", 4)
    written, drawn = [t for t in told if not t.params], [t for t in told if t.params]
    assert len(written) == len(drawn) == 2
    assert all(t.state == TrialState.PRUNED and min(t.constraints.values()) > 1000 for t in written)
    assert all(t.constraints.keys() == {"max-drop"} for t in drawn)


def test_limits_are_told_as_they_are_and_what_was_given_up_as_far_beyond():
    kept, beyond = proxied(0.5, 6.0), proxied(0.5, 3.0)
    assert constraints(kept, Limits(0.5), settings=True) == {"max-drop": pytest.approx(kept.file.drop.value - 0.5)}
    assert constraints(beyond, Limits(0.5), settings=True)["max-drop"] > 0
    assert constraints(beyond, Limits(0.5).wide, settings=True)["max-drop"] < 0
    assert constraints(proxied(0.95, 1.0), Limits(0.5), settings=True)["max-drop"] > 7
    assert constraints(kept, Limits(0.5), settings=False) == {"settings": 1e6}


@pytest.mark.parametrize(("sampler", "wide"), [("tpe", 7), ("random", 0), ("nsga2", 0)])
def test_tpe_draws_every_other_trial_with_wide_limits(tmp_path, sampler, wide):
    told, _, _ = run(tmp_path, "--trials", 16, "--sampler", sampler)
    drawn = [t for t in told if t.params]
    assert len(drawn) == 14
    assert sum(bool(t.system_attrs.get("fixed_params")) for t in drawn) == wide


def test_wide_limits_look_at_smaller_files(tmp_path):
    """Beside 30 trials of chance, in the mean of draws that differ by their seed alone."""
    told, found, setting = run(tmp_path, "--trials", 32, "--sampler", "random")
    narrow = replace(setting, limits=Limits(0.1))  # of 0.5 points, times five

    entry = setting.space.entry("proxy")

    def size(of, seed):
        params = draw_widely(told, found, replace(of, seed=seed))
        recipe = entry.at({place: params[entry.parameter(place)] for place in entry.open})
        return search_proxy.figures(recipe.to_data())[1]

    sizes = [[size(of, seed) for seed in range(12)] for of in (setting, narrow)]
    assert sum(sizes[0]) < 0.9 * sum(sizes[1])
    assert draw_widely(told, found, setting) == draw_widely(told, found, setting)
