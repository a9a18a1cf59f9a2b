"""What a row says beside its numbers."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from edgeship.types import Artifact
from edgeship_benchmarks import measuring
from edgeship_benchmarks.answers import Loaded, Processing, WarmUp
from edgeship_benchmarks.plan import Session, Timing
from edgeship_benchmarks.ways import Way

_TIMES = (1.0,) * 600


def _notes(artifact: Artifact, processing: Processing | None, again: tuple[int, ...] = ()) -> tuple[str, ...]:
    session = cast("Session", SimpleNamespace(loaded=Loaded(1.0, 1.0, (), ()), label="litert", runtime="litert"))
    timing = Timing(_TIMES, (600,), 1, 1.0, 1.0, WarmUp(1.0, 20, True), 20, None, processing, again=again)
    return measuring.measurement(artifact, Way(), "local", session, timing, {}).notes


def test_times_before_and_after_that_cannot_be_had_are_noted(artifact_of: Callable[..., Artifact]) -> None:
    file = artifact_of("affine.tflite")
    assert _notes(file, Processing(0.1, 0.1)) == ()
    assert _notes(file, None) == ("no times before and after an inference: litert does not measure them here",)


@pytest.mark.parametrize(("again", "word"), [((2,), "round 2"), ((2, 4), "round 2, 4")])
def test_a_round_that_was_measured_again_is_noted(
    artifact_of: Callable[..., Artifact], again: tuple[int, ...], word: str
) -> None:
    """Of a file whose own process went on nothing else is said."""
    (note,) = _notes(artifact_of("affine.tflite"), Processing(0.1, 0.1), again)
    assert note == f"the connection was lost; {word} was measured again, whole, by all in it"
