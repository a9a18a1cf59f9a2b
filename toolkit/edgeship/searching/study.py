"""The trials of a search in a database, and who proposes the next: Optuna, told of everything that was found.

SQLite in the folder of the search, or PostgreSQL for several machines, which all run the same command. What is finished
is in the database; a trial that runs shows it by a heartbeat, and is begun again by whoever sees that it has none.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from edgeship import codec
from edgeship.errors import ChildCrashed, EdgeshipError, RecipeError, UnavailableError
from edgeship.recipe import Recipe, parse
from edgeship.searching.database import Setting, check_address, open_study, patiently, require, wait_again
from edgeship.searching.limits import value_of
from edgeship.searching.sampling import constraints, draw_widely, quiet
from edgeship.searching.space import same
from edgeship.searching.trials import Trial

if TYPE_CHECKING:
    import optuna

T = TypeVar("T")

#: How often a trial is begun whose machine was lost.
_RETRIES = 3
#: Proposals in a row that were tried before, after which a space counts as exhausted.
_MOST_REPEATS = 50
#: How long who made a study is waited for, which has only to write down what it knows; and between two looks.
_MAKER_SECONDS, _PAUSE_SECONDS = 10.0, 0.1
#: Outcomes after which a recipe is not tried again.
_TRIED = ("finished", "stopped")


@dataclass(frozen=True)
class Proposal:
    """A trial that this process has begun."""

    number: int
    recipe: Recipe


class _Exhausted(Exception):
    """The space has nothing open, and all else was tried."""


class Study:
    """The shared memory of a search. Use as a context manager: leaving it ends the heartbeats.

    Every method raises StorageFullError where the disk is full, and UnavailableError where the storage does not answer
    for `patience_seconds`.
    """

    def __init__(self, setting: Setting) -> None:
        require()
        check_address(setting.address)
        self.setting = setting
        self._running: dict[int, optuna.Trial] = {}
        self._read: dict[int, Trial] = {}
        self._digests: dict[int, str] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._patience = setting.patience_seconds
        self._study = self._patiently(lambda: open_study(setting))
        self._patiently(self._seed)
        self._beats = threading.Thread(target=self._beat, name="edgeship-heartbeat", daemon=True)
        self._beats.start()

    def __enter__(self) -> Study:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._beats.join()
        with suppress(Exception):  # what is written is written
            self._storage.remove_session()
            getattr(self._storage, "_backend", self._storage).engine.dispose()

    # What there is

    def trials(self) -> tuple[Trial, ...]:
        """All that came to an end, in the order of their numbers."""
        from optuna.trial import TrialState as S

        found = self._patiently(lambda: self._study.get_trials(deepcopy=False, states=(S.COMPLETE, S.PRUNED, S.FAIL)))
        told = {t.number: t.user_attrs for t in found if "trial" in t.user_attrs and "same_as" not in t.user_attrs}
        for number in told.keys() - self._read.keys():  # what came to an end never changes
            self._read[number] = codec.from_json(Trial, told[number]["trial"])
        return tuple(self._read[number] for number in sorted(told))

    def count(self) -> tuple[int, int]:
        """How many trials are finished or stopped or failed, and how many run, here and elsewhere."""
        from optuna.trial import TrialState as S

        running = self._patiently(lambda: self._study.get_trials(deepcopy=False, states=(S.RUNNING,)))
        ended = [t for t in self.trials() if t.outcome != "cut"]
        return len(ended), sum("owner" in t.user_attrs for t in running)

    def waiting(self) -> bool:
        """Whether a trial waits for somebody to begin it."""
        from optuna.trial import TrialState as S

        return bool(self._patiently(lambda: self._study.get_trials(deepcopy=False, states=(S.WAITING,))))

    def note(self, name: str, value: Any) -> Any:
        """A fact of the whole search, the same for all who ask: `value` of who made it, for whom the others wait.

        Where that one is gone, somebody else notes it.
        """
        until = time.monotonic() + _MAKER_SECONDS
        while name not in (known := self._patiently(lambda: self._study.user_attrs)):
            if known.get("maker") == self.setting.owner or time.monotonic() > until:
                self._patiently(lambda: self._study.set_user_attr(name, value))
            else:
                self._ended.wait(_PAUSE_SECONDS)
        return known[name]

    # What is next

    def next(self) -> Proposal | None:
        """Begin a trial: one that waits (a recipe of the space, or one that was lost), else one that is proposed.

        What was tried before is not tried again. None where nothing new is found.
        """
        from optuna.exceptions import UpdateFinishedTrialError

        for _ in range(_MOST_REPEATS):
            trial = self._patiently(self._ask)
            try:
                found = self._begun(trial)
            except _Exhausted:
                return None
            except UpdateFinishedTrialError:  # others gave it up for lost meanwhile
                self._forget(trial.number)
                continue
            if found is not None:
                return found
        return None

    def _begun(self, trial: optuna.Trial) -> Proposal | None:
        """None for what is no recipe of the space, and for what was tried before or runs here just now."""
        try:
            recipe = self._recipe(trial)
        except UnavailableError:
            raise
        except EdgeshipError as error:
            told = trial.user_attrs
            named = told.get("recipe", {"name": told.get("entry", "?"), "stages": []})
            self._end(trial, Trial("failed", named, trial.number, error.message, type(error).__name__, error.remedy))
            return None
        if recipe is None:
            self._drop(trial)
            raise _Exhausted
        digest = same(recipe)
        if digest in self._digests.values():
            self._drop(trial)
            return None
        known = self._known(digest)
        if known is not None:
            self._end(trial, known, same_as=known.number)
            return None
        self._claim(trial, recipe)
        self._digests[trial.number] = digest
        return Proposal(trial.number, recipe)

    def _drop(self, trial: optuna.Trial) -> None:
        self._patiently(lambda: self._tell(trial, "FAIL"))
        self._forget(trial.number)

    def _forget(self, number: int) -> optuna.Trial | None:
        self._digests.pop(number, None)
        with self._lock:
            return self._running.pop(number, None)

    def _ask(self) -> optuna.Trial:
        trials = self._study.get_trials(deepcopy=False)
        with quiet():
            if self._draws_widely(trials):
                found = {trial.number: trial for trial in self.trials()}
                self._study.enqueue_trial(draw_widely(trials, found, self.setting))
            trial = self._study.ask()
        with suppress(Exception):  # the thread does it again
            self._storage.record_heartbeat(trial._trial_id)
        with self._lock:
            self._running[trial.number] = trial
        return trial

    def _draws_widely(self, trials: Sequence[optuna.trial.FrozenTrial]) -> bool:
        """Whether it is the turn of wide limits, and nothing waits."""
        from optuna.trial import TrialState

        turn = self.setting.sampler == "tpe" and bool(self.setting.space.open) and len(trials) % 2 == 0
        return turn and all(trial.state != TrialState.WAITING for trial in trials)

    def _recipe(self, trial: optuna.Trial) -> Recipe | None:
        """What a trial stands for; None where the space has nothing open."""
        space, told = self.setting.space, trial.user_attrs
        if told.get("tries", 1) > _RETRIES:
            raise ChildCrashed(f"it was begun {_RETRIES} times, and each time who did it was lost")
        if "recipe" in told:
            recipe = parse(told["recipe"], f"trial {trial.number}")
            if not any(entry.holds(recipe) is not None for entry in space.entries):
                raise RecipeError(f"trial {trial.number}: what the storage has is no recipe of this space")
            return recipe
        if "entry" in told:
            return space.entry(told["entry"]).at({})
        if not space.open:
            return None

        def suggest() -> Recipe:
            with quiet():
                return space.suggest(trial)

        return self._patiently(suggest)

    def _known(self, digest: str) -> Trial | None:
        for trial in self.trials():
            if trial.outcome in _TRIED and same(parse(dict(trial.recipe), "trial")) == digest:
                return trial
        return None

    def _claim(self, trial: optuna.Trial, recipe: Recipe) -> None:
        self._patiently(lambda: trial.set_user_attr("recipe", recipe.to_data()))
        self._patiently(lambda: trial.set_user_attr("owner", self.setting.owner))

    # What came of it

    def record(self, found: Trial) -> bool:
        """Keep the result of a trial; False where it had been given up for lost, and another has it.

        Where nobody has it yet, it is kept under a number of its own: who begins that trial again finds it there.
        """
        with self._lock:
            trial = self._running.get(found.number)
        if trial is None:
            return False
        known = self._known(same(parse(dict(found.recipe), "trial")))
        if known is not None:
            self._end(trial, known, same_as=known.number)
            return False
        if self._end(trial, found):
            return True
        if found.outcome not in _TRIED:
            return False
        late = self._patiently(lambda: self._added(trial))
        return self._end(late, replace(found, number=late.number))

    def _added(self, lost: optuna.Trial) -> optuna.Trial:
        """A new trial with the settings of one that was given up."""
        import optuna

        old = self._storage.get_trial(lost._trial_id)
        new = optuna.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=old.params,
            distributions=old.distributions,
            user_attrs={key: value for key, value in old.user_attrs.items() if key in ("recipe", "owner")},
        )
        return optuna.Trial(self._study, self._storage.create_new_trial(self._study._study_id, template_trial=new))

    def again(self, number: int) -> None:
        """Let a trial that was cut, or whose worker is lost, wait for somebody who has time."""
        trial = self._forget(number)
        if trial is not None:
            self._patiently(lambda: self._lost(trial._trial_id, more=0))

    def _end(self, trial: optuna.Trial, found: Trial, same_as: int | None = None) -> bool:
        """Tell what came of a trial; False where others had given it up before."""
        from optuna.exceptions import UpdateFinishedTrialError

        told = False
        with suppress(UpdateFinishedTrialError):
            told = self._told(trial, found, same_as)
        self._forget(trial.number)
        return told

    def _told(self, trial: optuna.Trial, found: Trial, same_as: int | None) -> bool:
        text = codec.to_json(found)
        self._patiently(lambda: trial.set_user_attr("trial", text))
        if same_as is not None:
            self._patiently(lambda: trial.set_user_attr("same_as", same_as))
        settings = bool(self._patiently(lambda: trial.params))
        for name, value in constraints(found, self.setting.limits, settings=settings).items():
            self._patiently(lambda name=name, value=value: _constrain(trial, name, value))  # type: ignore[misc] # bound now
        states = {"finished": "COMPLETE" if settings else "PRUNED", "stopped": "PRUNED"}
        values = [value_of(found, objective) for objective in self.setting.objectives]
        return self._patiently(lambda: self._tell(trial, states.get(found.outcome, "FAIL"), values))

    def _tell(self, trial: optuna.Trial, state: str, values: Sequence[float] | None = None) -> bool:
        """False where the trial had come to an end before; a second try after a lost answer is none of that."""
        from optuna.trial import TrialState

        wanted = TrialState[state]
        frozen = self._storage.get_trial(trial._trial_id)
        if frozen.state.is_finished():
            return bool(frozen.state == wanted and frozen.state != TrialState.FAIL)
        with quiet():
            self._study.tell(trial, values if state == "COMPLETE" else None, state=wanted)
        return True

    # Who is alive

    def adopt(self, results: Mapping[int, Trial]) -> int:
        """Take care of what this folder's last run left: results it could not tell, and trials that it did not end.

        Returns how many trials wait again.
        """
        import optuna
        from optuna.trial import TrialState as S

        running = self._patiently(lambda: self._study.get_trials(deepcopy=False, states=(S.RUNNING,)))
        mine = [t for t in running if t.user_attrs.get("owner") == self.setting.owner]
        for frozen in mine:
            if frozen.number in results and results[frozen.number].outcome != "cut":
                self._end(optuna.Trial(self._study, frozen._trial_id), results[frozen.number])
            else:
                self._patiently(lambda frozen=frozen: self._lost(frozen._trial_id))  # type: ignore[misc] # bound now
        return len(mine)

    def revive(self) -> None:
        """Let trials wait again whose machines give no sign of life; ours do, however long this machine slept."""
        import optuna

        self._sign()

        def look() -> None:
            with quiet():
                optuna.storages.fail_stale_trials(self._study)

        self._patiently(look)

    def _lost(self, trial_id: int, more: int = 1) -> None:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            self._storage.set_trial_state_values(trial_id, TrialState.FAIL)
        except UpdateFinishedTrialError:
            return
        wait_again(self._study, self._storage.get_trial(trial_id), more)

    def _beat(self) -> None:
        while not self._ended.wait(self.setting.heartbeat_seconds):
            self._sign()

    def _sign(self) -> None:
        with self._lock:
            ids = [trial._trial_id for trial in self._running.values()]
        for trial_id in ids:
            with suppress(Exception):  # the next beat tries again; a trial that misses too many is begun elsewhere
                self._storage.record_heartbeat(trial_id)

    # The database

    @property
    def _storage(self) -> Any:
        return self._study._storage

    def _seed(self) -> None:
        """Let every recipe without open settings wait, once; what an open one can be, as values of that.

        Who made the study does it, in a later run if it was stopped.
        """
        if self._study.user_attrs.get("maker", self.setting.owner) != self.setting.owner or self._study.user_attrs.get(
            "seeded"
        ):
            return
        space = self.setting.space
        there = {trial.user_attrs.get("entry") for trial in self._study.get_trials(deepcopy=False)}
        for entry in (entry for entry in space.fixed if entry.name not in there):
            recipe = entry.at({})
            matches = ((other, other.holds(recipe)) for other in space.open)
            other, values = next(((o, v) for o, v in matches if v is not None), (None, None))
            params: dict[str, Any] = {}
            if other is not None and values is not None:
                params = {"recipe": other.name, **other.parameters(values)}
            with quiet():
                self._study.enqueue_trial(params, user_attrs={"entry": entry.name})
        self._study.set_user_attr("seeded", True)

    def _patiently(self, action: Callable[[], T]) -> T:
        try:
            return patiently(action, self.setting, self._ended, self._patience)
        except UnavailableError:
            self._patience = 0.0  # the search ends: what it still tries is not waited for again
            raise


def _constrain(trial: optuna.Trial, name: str, value: float) -> None:
    with quiet():
        trial.set_constraint(name, value)
