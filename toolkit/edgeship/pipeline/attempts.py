"""Chooses among the attempts of a recipe: in order, on the validation split, the first that is good enough.

An attempt is judged by its leading file (TFLite int8 where it makes one) as exported, held against the original on the
same samples. The test split plays no part: whether what was chosen keeps its promise is for the gates to say.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import Literal

from edgeship.child import Worker
from edgeship.compress.run import Compressed
from edgeship.errors import EdgeshipError, OutputError, RecipeError, StorageFullError, TimeSpent
from edgeship.pipeline import exports, precision, steps
from edgeship.pipeline.request import Request, convert_options
from edgeship.pipeline.validation import Validation, leading, weigh
from edgeship.recipe import Recipe, Training
from edgeship.source import why_not_trainable
from edgeship.types import Attempt, Change, Dataset, Progress, ProgressCallback, Source
from edgeship.verify import signed

#: Before this many seconds of training nothing is said about how long it will take.
_SETTLING_SECONDS = 30.0

Outcome = Literal["good", "undecided", "bad"]


@dataclass(frozen=True)
class Choice:
    """What a build does.

    Attributes:
        recipe: the one that was asked for, or the attempt that was chosen.
        compressed: what its stages made.
        attempts: what was tried; empty for a recipe without attempts.
        notes: that none was good enough.
    """

    recipe: Recipe
    compressed: Compressed
    attempts: tuple[Attempt, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scene:
    """What all attempts share."""

    worker: Worker
    request: Request
    source: Source
    dataset: Dataset
    validation: Validation | None


def choose(scene: Scene, progress: ProgressCallback) -> Choice:
    """Run the recipe's stages, or try its attempts until one is good enough.

    Where none is, the one with the least drop that cannot be excluded is taken, and fails its gates or passes them.
    Raises RecipeError where no attempt can be made at all, and what the stages of a plain recipe raise.
    """
    recipe = scene.request.recipe
    if not recipe.attempts:
        return Choice(recipe, _compress(scene, recipe, progress))
    until = time.monotonic() + 60 * recipe.minutes
    tried: list[_Tried] = []
    chosen: _Tried | None = None
    for number, attempt in enumerate(recipe.attempts):
        plan = replace(attempt, seed=recipe.seed, max_drop=recipe.max_drop, inconclusive=recipe.inconclusive)
        reason = f"not needed: {chosen.recipe.name} is taken" if chosen else _why_not(scene, plan, until)
        found = _nothing(plan, "skipped", reason) if reason else _timed(scene, plan, _until(progress, plan, until))
        tried.append(found)
        if found.compressed is not None and _enough(scene, found.attempt):
            chosen = found
        progress(Progress("attempts", number + 1, len(recipe.attempts), f"{plan.name}: {found.attempt.reason}"))
    best = chosen or _best(tried)
    assert best.compressed is not None  # `_best` takes no other
    attempts = tuple(replace(t.attempt, chosen=t is best) for t in tried)
    text = f"no attempt of {recipe.name!r} was good enough on the validation samples; {best.recipe.name} came nearest"
    return Choice(best.recipe, best.compressed, attempts, () if chosen else (text,))


@dataclass(frozen=True)
class _Tried:
    recipe: Recipe
    attempt: Attempt
    compressed: Compressed | None = None


def _nothing(plan: Recipe, outcome: Literal["skipped", "failed"], reason: str) -> _Tried:
    return _Tried(plan, Attempt(plan.name, outcome, False, reason, 0.0))


def _timed(scene: Scene, plan: Recipe, progress: ProgressCallback) -> _Tried:
    """One attempt, with its wall time; what goes wrong costs only this one."""
    start = time.monotonic()
    try:
        found = _try(scene, plan, progress)
    except (StorageFullError, OutputError):
        raise
    except EdgeshipError as error:
        found = _nothing(plan, "failed", error.message)
    return replace(found, attempt=replace(found.attempt, seconds=time.monotonic() - start))


def _why_not(scene: Scene, plan: Recipe, until: float) -> str:
    """Why an attempt cannot be made; empty if it can."""
    if plan.stages and not scene.source.trainable:
        return f"its stages need the layers: {why_not_trainable(scene.source)}"
    if plan.stages and scene.validation is None:
        return "there are no labelled validation samples to judge it by"
    if plan.trains and "train" not in scene.dataset.counts:
        return "it trains, and there are no training samples"
    if plan.trains and time.monotonic() > until:
        return f"it trains, and the {scene.request.recipe.minutes:g} minutes of the recipe are spent"
    return ""


def _try(scene: Scene, plan: Recipe, progress: ProgressCallback) -> _Tried:
    compressed = _compress(scene, plan, progress)
    export = leading(exports.plan(scene.request.formats, plan.variants).exports)
    if scene.validation is None or export is None:
        lacking = "labelled validation samples" if scene.validation is None else "a runtime here for its files"
        reason = f"taken unseen, because judging it needs {lacking}"
        return _Tried(plan, Attempt(plan.name, "undecided", False, reason, 0.0), compressed)
    options = convert_options(scene.request, scene.dataset)
    wanted = (plan, scene.request.metric)
    options, _ = precision.resolve(scene.worker, compressed.source, export, options, wanted, progress)
    file = weigh(scene.worker, scene.validation, compressed.source, export, options, progress).file
    limit = scene.request.recipe.max_drop
    outcome = _outcome(file.drop, limit)
    attempt = Attempt(plan.name, outcome, False, _reason(scene, file.drop, outcome), 0.0, file)
    return _Tried(plan, attempt, compressed)


def _compress(scene: Scene, plan: Recipe, progress: ProgressCallback) -> Compressed:
    return steps.compress(scene.worker, scene.source, scene.dataset, plan, scene.request.metric, progress)


def _outcome(drop: Change, limit: float) -> Outcome:
    """As of a gate, but where the interval spans the limit the drop itself must be within it."""
    if drop.interval[1] <= limit:
        return "good"
    return "undecided" if drop.value <= limit else "bad"


def _telling(scene: Scene) -> bool:
    """Whether there are enough validation samples to clear any file at all: one that decides as the original does."""
    assert scene.validation is not None
    rows = scene.validation.original
    return scene.validation.change(rows, rows).interval[1] <= scene.request.recipe.max_drop


def _enough(scene: Scene, attempt: Attempt) -> bool:
    if attempt.file is None:  # it could not be judged, and so can no other
        return True
    accepted = attempt.outcome == "undecided" and scene.request.recipe.undecided == "accept"
    return attempt.outcome == "good" or (accepted and not _telling(scene))


def _reason(scene: Scene, drop: Change, outcome: Outcome) -> str:
    assert scene.validation is not None
    limit, n = scene.request.recipe.max_drop, len(scene.validation.original)
    text = f"drop {signed(drop.value)} [{signed(drop.interval[0])}, {signed(drop.interval[1])}] {drop.unit}"
    if outcome == "good":
        return f"{text}: all of the interval is within {limit:g}"
    if outcome == "bad":
        return f"{text}: more than {limit:g}"
    if _telling(scene):
        return f"{text}: {signed(drop.interval[1])} cannot be excluded, {limit:g} is allowed"
    word = "accepted" if scene.request.recipe.undecided == "accept" else "not accepted"
    return f"{text}: within {limit:g} as far as {n} samples can tell, which is {word}"


def _best(tried: list[_Tried]) -> _Tried:
    """Of attempts that were not good enough, the one with the least drop that cannot be excluded."""
    made = [t for t in tried if t.compressed is not None]
    if not made:
        reasons = "; ".join(f"{t.recipe.name}: {t.attempt.reason}" for t in tried)
        raise RecipeError(f"none of the attempts could be made: {reasons}")
    return min(made, key=lambda t: t.attempt.file.drop.interval[1] if t.attempt.file else math.inf)


def _until(progress: ProgressCallback, plan: Recipe, until: float) -> ProgressCallback:
    """Progress that raises TimeSpent once training is past its time, or will be at the speed so far."""
    total = sum(stage.epochs for stage in plan.stages if isinstance(stage, Training))
    words = {stage.word for stage in plan.stages}
    start = time.monotonic()
    before = last = 0.0

    def told(event: Progress) -> None:
        nonlocal before, last
        progress(replace(event, message=f"{plan.name}: {event.message}"))
        if event.stage not in words:
            return
        if event.done < last:
            before += round(last)  # the next stage has begun
        last = event.done
        now, share = time.monotonic(), (before + last) / total
        if now > until or (now - start > _SETTLING_SECONDS and start + (now - start) / max(share, 1e-9) > until):
            raise TimeSpent(f"training takes longer than is left of the recipe's minutes: {share:.0%} is done")

    return told
