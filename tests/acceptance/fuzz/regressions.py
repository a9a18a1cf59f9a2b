"""Failures that were found, each as its smallest model: data that tests replay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeship.codec import from_json, to_json
from edgeship.files import write_text
from edgeship.pipeline.exports import Export
from tests.acceptance.fuzz.description import Description
from tests.acceptance.fuzz.runner import Outcome, Runner
from tests.acceptance.fuzz.shrink import kind, shrink

FOLDER = Path(__file__).parent / "regressions"


@dataclass(frozen=True)
class Regression:
    """A model and what once went wrong with it.

    Attributes:
        found: the outcome at that time.
        expected: the status that it has to have: `agrees` once repaired, `refused` where the format cannot hold it;
            until then, what it still is.
    """

    description: Description
    export: str
    found: Outcome
    expected: str


def read(folder: Path = FOLDER) -> Iterator[tuple[str, Regression]]:
    """All of them with their names."""
    for file in sorted(folder.glob("*.json")):
        yield file.stem, from_json(Regression, file.read_text())


def keep(description: Description, export_id: str, found: Outcome, folder: Path = FOLDER) -> Path:
    """Write one, named after the file it was found with and the last layer."""
    layer = description.nodes[-1].layer if description.nodes else "input"
    name = re.sub(r"[^a-z0-9]+", "-", f"{export_id}-{layer}-{description.seed}".lower())
    path = folder / f"{name}.json"
    write_text(path, to_json(Regression(description, export_id, found, found.status)) + "\n")
    return path


def minimal(runner: Runner, description: Description, export_id: str, found: Outcome, limit: int) -> Description:
    """The smallest model found whose file of this export fails in the same way."""
    format_name, _, variant = export_id.partition("/")
    export = Export(format_name, variant, by_name=True)
    wanted = kind(found.status, found.message)

    def fails(candidate: Description) -> bool:
        outcome = runner.from_description(candidate, [export]).outcomes.get(export_id)
        return outcome is not None and kind(outcome.status, outcome.message) == wanted

    return shrink(description, fails, limit)
