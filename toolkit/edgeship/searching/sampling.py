"""Who draws the settings of a trial: Optuna's samplers, and what they are told of the trials before.

TPE draws by turns with the limits as they are and with wide ones. Held to its limits alone it knows little but the few
trials that keep them, and finds a front that is worse than what chance finds; with wide limits alone it seldom finds a
file that keeps them with certainty.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

from edgeship.errors import RecipeError
from edgeship.searching.limits import Limits
from edgeship.searching.trials import Trial

if TYPE_CHECKING:
    import optuna

    from edgeship.searching.database import Setting

Sampler = Literal["tpe", "nsga2", "random"]
SAMPLERS: tuple[Sampler, ...] = ("tpe", "nsga2", "random")
#: Between the seeds of two draws, or of two runs of one search.
_STRIDE = 7919
#: What a limit counts that cannot be kept at all; databases have no infinity.
_NEVER = 1e6


@contextmanager
def quiet() -> Iterator[None]:
    """Optuna warns that heartbeats, groups and constraints are experimental; that is known, and tested here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def sampler(name: Sampler, seed: int, drawn: int) -> optuna.samplers.BaseSampler:
    """The sampler for who goes on, or joins, after so many trials: it does not draw the same again."""
    import optuna

    seed += _STRIDE * drawn
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)


def constraints(found: Trial, limits: Limits, *, settings: bool) -> dict[str, float]:
    """How far a trial is beyond the limits, as samplers are told of it; 0 and below is within.

    A recipe without open settings has nothing to draw from. It is told as the worst: TPE draws from the best tenth,
    where it would take the place of one that has.
    """
    if not settings:
        return {"settings": _NEVER}
    excess = limits.excess(found)
    if found.outcome == "stopped":
        excess = {"max-drop": max(found.lost - limits.max_drop, 1.0)}
    return {name: min(value, _NEVER) for name, value in excess.items()}


def draw_widely(
    trials: Sequence[optuna.trial.FrozenTrial], found: Mapping[int, Trial], setting: Setting
) -> dict[str, Any]:
    """Settings that TPE draws with wide limits.

    Args:
        trials: all of the study.
        found: what came of those that ended, by number.
        setting: of the study.
    """
    import optuna
    from optuna.trial import TrialState as S

    with quiet():
        study = optuna.create_study(directions=["minimize"] * len(setting.objectives))
        study.sampler = sampler("tpe", setting.seed, len(trials))
        for trial in trials:
            if trial.params and (trial.state == S.RUNNING or trial.number in found):
                study.add_trial(_widened(trial, found.get(trial.number), setting.limits.wide))
        drawn = study.ask()
        with suppress(RecipeError):  # said when it is tried
            setting.space.suggest(drawn)
    return drawn.params


def _widened(trial: optuna.trial.FrozenTrial, found: Trial | None, limits: Limits) -> optuna.trial.FrozenTrial:
    import optuna

    return optuna.trial.create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        constraints=None if found is None else constraints(found, limits, settings=True),
    )
