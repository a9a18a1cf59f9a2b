"""Differential fuzzing, the part that every change passes: fixed and fresh models, and what was found before.

Run a seed again with `python -m tests.acceptance.fuzz --seeds SEED`; shrink it with `--shrink SEED FORMAT/VARIANT`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from edgeship.child import Worker
from edgeship.errors import UnavailableError
from edgeship.pipeline.exports import Export
from tests.acceptance.fuzz import catalogue, regressions
from tests.acceptance.fuzz.runner import Runner, all_exports, runner

#: Models in a test; neighbouring seeds ask for different layers.
BLOCK = 8


@pytest.fixture(scope="module")
def run() -> Iterator[Runner]:
    try:
        with runner() as found:
            yield found
    except UnavailableError as error:
        pytest.skip(str(error))


def _exports(seed: int) -> list[Export]:
    """The float files, and one of the others by turns."""
    exports = all_exports()
    others = [e for e in exports if e.variant != "float32"]
    return [e for e in exports if e.variant == "float32"] + [others[seed % len(others)]]


@pytest.mark.parametrize("block", [0, 1, 2, 3, "fresh"])
def test_no_file_is_silently_wrong_and_every_error_is_typed(run: Runner, block: int | str) -> None:
    fresh = [secrets.randbelow(2**31) for _ in range(BLOCK)]
    seeds = range(BLOCK * block, BLOCK * (block + 1)) if isinstance(block, int) else fresh
    found = [run.from_seed(seed, _exports(seed)) for seed in seeds]
    wrong = [
        f"seed {result.seed} {name}: {outcome.status}: {outcome.message}"
        for result in found
        for name, outcome in result.outcomes.items()
        if outcome.status in ("silent", "broken")
    ]
    assert not wrong, "\n".join(wrong)
    models = [result for result in found if not result.invalid]
    # Some seeds give no model that could be judged. Of those that nobody has seen there may be several by chance.
    enough = BLOCK // 2 if block == "fresh" else BLOCK - 1
    assert len(models) >= enough, [f"seed {result.seed}: {result.invalid}" for result in found if result.invalid]
    files = [outcome.status for result in models for outcome in result.outcomes.values()]
    assert files.count("agrees") >= 0.6 * len(files), files


@pytest.mark.parametrize("name", [name for name, _ in regressions.read()])
def test_what_was_found_before(run: Runner, name: str) -> None:
    kept = dict(regressions.read())[name]
    format_name, _, variant = kept.export.partition("/")
    found = run.from_description(kept.description, [Export(format_name, variant, by_name=True)])
    assert not found.invalid
    outcome = found.outcomes[kept.export]
    assert outcome.status == kept.expected, outcome.message


def test_every_layer_of_keras_is_covered_or_left_out_with_a_reason() -> None:
    with Worker() as worker:
        assert worker.call(catalogue.uncovered) == []
