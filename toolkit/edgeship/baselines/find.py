"""What a user means by BASELINE: files that can be measured again, or results of another time."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgeship.codec import from_data
from edgeship.errors import InputError
from edgeship.history import store
from edgeship.history.records import Record, Session, condensed
from edgeship.history.remembering import LAST, commit_of
from edgeship.pipeline.results import ByProvenance
from edgeship.standalone import find_artifacts
from edgeship.types import Artifact, Report, Result
from edgeship_benchmarks.stats import summary

#: A results file keeps every sample.
_LIMIT_BYTES = 256 << 20
#: So many labels and commits are named to who asks for another.
_NAMED = 8
_HEXADECIMAL = re.compile(r"[0-9a-f]{7,40}")


@dataclass(frozen=True)
class Baseline:
    """What new results are held against: one of the two is empty.

    Attributes:
        said: what it is, in words.
        artifacts: files that can be measured again, side by side with the new ones.
        records: results of one earlier session, or of a results file (whose records have no name).
    """

    said: str
    artifacts: tuple[Artifact, ...] = ()
    records: tuple[Record, ...] = ()


def find(word: str, names: Sequence[str]) -> Baseline:
    """What BASELINE says.

    Args:
        word: a path (of a build folder, an exported file, or a results file); else `last`, a label, or what names a
            commit, of the history.
        names: of the builds and files that are compared (`edgeship.history.records.name_of`).

    Raises:
        InputError: it is none of these, or the history has nothing of these names.
    """
    path = Path(word)
    if word and path.exists():
        document = _document(path)
        if document is None:
            return Baseline(f"{path}, measured again side by side", artifacts=tuple(find_artifacts([path])))
        return Baseline(f"the results in {path}", records=_results(document, path))
    kept = store.read(names=names)
    session = _session(word, kept)
    if session is None:
        raise InputError(f"there is no baseline {word!r}: no such path, {_none_of(names, kept)}", remedy=_known(kept))
    told = ", ".join(filter(None, (session.created[:16].replace("T", " "), session.label, session.revision[:12])))
    return Baseline(f"the session of {told}", records=tuple(item for item in kept if item.session == session))


def _session(word: str, kept: Sequence[Record]) -> Session | None:
    """The newest session that a word names; a label before a commit."""
    sessions = list(dict.fromkeys(item.session for item in kept)) if word else []
    if word == LAST:
        return next(iter(sessions), None)
    labelled = next((session for session in sessions if session.label == word), None)
    if labelled is not None:
        return labelled
    wanted = word if _HEXADECIMAL.fullmatch(word) else commit_of(word)
    clean = [session for session in sessions if _clean(session)]
    return next((session for session in clean if wanted and session.revision.startswith(wanted)), None)


def _clean(session: Session) -> bool:
    """Whether it was called in a commit as it is: with changed files it is no result of that commit."""
    return bool(session.revision) and not session.revision.endswith("-dirty")


def _none_of(names: Sequence[str], kept: Sequence[Record]) -> str:
    whose = ", ".join(names)
    if not kept:
        return f"and the history has no results of {whose}"
    return f"and no session of {whose} in the history has that label or commit"


def _known(kept: Sequence[Record]) -> str:
    sessions = dict.fromkeys(item.session for item in kept)
    words = [session.label or session.revision[:12] for session in sessions if session.label or _clean(session)]
    there = ", ".join(list(dict.fromkeys(words))[:_NAMED])
    return (
        f"There are {LAST}{', ' if there else ''}{there}."
        if kept
        else "Measure once without --compare, or give a path."
    )


def _document(path: Path) -> dict[str, Any] | None:
    """A JSON file that holds results; None for anything else, which is taken for a model."""
    if path.suffix != ".json" or not path.is_file() or path.stat().st_size > _LIMIT_BYTES:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "measurements" in found and "emulations" in found else None


def _results(document: dict[str, Any], path: Path) -> tuple[Record, ...]:
    """Records of a file that `edgeship benchmark --json` or a build wrote."""
    kinds = ("measurements", "emulations", "estimates", "unmeasured")
    found = from_data(ByProvenance, {kind: document.get(kind, []) for kind in kinds})
    return _without_names(found, Session(str(document.get("created", "")), "benchmark", path.name, "", ""))


def records_of(report: Report) -> tuple[Record, ...]:
    """Results of a build as records of one session, without the name of the build."""
    found = ByProvenance(report.measurements, report.emulations, report.estimates, ())
    return _without_names(found, Session(report.created, "build", "", "", ""))


def _without_names(found: ByProvenance, session: Session) -> tuple[Record, ...]:
    records = [Record(session, "", condensed(row), summary(row)) for row in found.measurements]
    others: tuple[Result, ...] = (*found.emulations, *found.estimates)
    return (*records, *(Record(session, "", row, None) for row in others))
