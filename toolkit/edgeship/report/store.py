"""`report.json`: a Report as it lies in a build folder, and back.

A build folder may be moved and shown to others, so the file knows no place on the machine that made it:

- Paths into the build folder are written relative to it (`./artifacts/tflite/int8`); reading makes them absolute again.
- Paths to anything else (the model, the cached dataset) become bare names; their SHA-256 says what they were.
- The same places inside sentences (commands, messages, notes) are shortened in the same way, and the user's home to
  `~`. Other absolute paths that a library put into its message are kept: we cannot know what they are.

Numbers that JSON does not have are written as the words "NaN", "Infinity" and "-Infinity", as in the JSON mapping of
Protocol Buffers: a model that gives NaN must be reportable. Latencies are always finite.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeship.artifact import read_artifact
from edgeship.codec import from_data, to_data
from edgeship.errors import ArtifactError, InputError
from edgeship.report import schema
from edgeship.types import Artifact, Report

SCHEMA = "edgeship.report/1"
#: A list of two numbers or more, as json.dumps indents it (no line break can be part of a JSON string).
_NUMBERS = re.compile(r"\[\n(?:\s*-?[\d.eE+-]+,\n)+\s*-?[\d.eE+-]+\n\s*\]")
NAME = "report.json"

#: A report keeps every latency sample; a hundred variants with 100,000 samples each still fit.
LIMIT_BYTES = 256 << 20


def to_document(report: Report, folder: Path) -> dict[str, Any]:
    """The content of `report.json` for a report whose build folder is `folder`.

    Raises InputError if a value is outside the schema, an artifact outside the folder, or a verdict without its gates.
    """
    check_verdicts(report, NAME)
    base = _absolute(folder)
    for artifact in report.artifacts:
        if not _absolute(artifact.path).is_relative_to(base):
            raise InputError(f"{NAME}: {artifact.id} lies outside the build folder")
    data = to_data(report)
    for holder in _path_holders(data):
        holder["path"] = _portable(Path(holder["path"]), base)
    data = _plain({"schema": SCHEMA, **data}, _shortener(_places(report, base)))
    schema.check(data, SCHEMA, NAME)
    assert isinstance(data, dict)
    return data


def dumps(document: dict[str, Any]) -> str:
    """The text of `report.json`, each number list on one line so that the file can be read."""
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False)
    return _NUMBERS.sub(lambda match: re.sub(r"\s+", " ", match.group()), text) + "\n"


def loads(text: str, folder: Path, where: str = NAME) -> Report:
    """The report that `dumps` wrote, for a build folder that lies at `folder` now. Raises InputError."""
    data = schema.parse(text, where)
    schema.check(data, SCHEMA, where)
    del data["schema"]
    for holder in _path_holders(data):
        if holder["path"].startswith("./"):
            holder["path"] = str(_absolute(folder) / holder["path"])
    _read_words(data)
    report = from_data(Report, data)
    check_verdicts(report, where)
    return report


def read(path: Path) -> Report:
    """The report of a build, given its folder or its `report.json`. Raises InputError naming the offending value."""
    file = path / NAME if path.is_dir() else path
    return loads(schema.read_text(file, LIMIT_BYTES), file.parent, str(file))


def check_verdicts(report: Report, where: str) -> None:
    """Raise InputError for a report that contradicts itself: a passed file with a gate that was not accepted."""
    ids = [a.id for a in report.artifacts]
    if len(set(ids)) != len(ids):
        raise InputError(f"{where}: an artifact is listed twice")
    for artifact in report.artifacts:
        gates = [g for g in report.gates if g.artifact == artifact.id]
        if artifact.verification == "passed" and not (gates and all(g.accepted for g in gates)):
            raise InputError(f"{where}: {artifact.id} is said to have passed, but its gates do not say so")


def check_files(artifacts: Iterable[Artifact]) -> None:
    """Raise ArtifactError if an artifact's files, or its `artifact.json`, are not (any more) what the report says."""
    for artifact in artifacts:
        if replace(read_artifact(artifact.path), path=artifact.path) != artifact:
            raise ArtifactError(
                f"{artifact.path} is not what the report says about {artifact.id}", remedy="Run the build again."
            )


def _absolute(path: Path) -> Path:
    # Not resolve(): a link inside the path is the user's own name for the place.
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute() keeps "..", which must not hide a place


def _path_holders(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a report's plain data whose `path` is a place on disk."""
    single = (data["source"], data["dataset"], data["baseline"])
    yield from (holder for holder in (*single, *data["predictions"].values(), *data["artifacts"]) if holder)


def _portable(path: Path, base: Path) -> str:
    if len(path.parts) == 1 and not path.exists():
        return path.name  # a name outside, from a report that was read and is written again
    absolute = _absolute(path)
    return f"./{absolute.relative_to(base).as_posix()}" if absolute.is_relative_to(base) else absolute.name


def _places(report: Report, base: Path) -> dict[str, str]:
    """Places on this machine that sentences may name -> how they are written instead."""
    places = {str(base): "."}
    for path in (report.source.path, report.dataset.path if report.dataset else None):
        if path is not None:
            places[str(_absolute(path))] = _portable(path, base)
    if len(Path.home().parts) > 1:  # "/" is the home of some containers
        places.setdefault(str(Path.home()), "~")
    return places


def _shortener(places: Mapping[str, str]) -> Callable[[str], str]:
    longest_first = sorted(places, key=len, reverse=True)
    # A place must stand alone: "/home/ann" is not in "/home/anna", nor in "/mnt/home/ann".
    pattern = re.compile(rf"(?<![\w./~-])({'|'.join(map(re.escape, longest_first))})(?![\w-]|\.\w)")
    return lambda text: pattern.sub(lambda match: places[match.group()], text)


def _read_words(data: dict[str, Any]) -> None:
    """Turn the words for numbers that JSON does not have into numbers again, where the schema allows them."""
    files = [file for stage in data["stages"] for file in stage.get("files", ())]
    files += [attempt["file"] for attempt in data.get("attempts", ()) if attempt["file"]]
    changes = [file[name] for file in files for name in ("drop", "step")]
    single = (data["baseline"] or {},)
    for holder in (*data["gates"], *data["stages"], *files, *changes, *data["predictions"].values(), *single):
        for name in holder.keys() & {"value", "limit", "metric"}:
            if isinstance(holder[name], str):
                holder[name] = float(holder[name])
        if holder.get("interval"):
            holder["interval"] = [float(end) for end in holder["interval"]]


def _plain(value: Any, shorten: Callable[[str], str]) -> Any:
    """A copy of plain data with shortened sentences, and words for the numbers that JSON does not have."""
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {key: _plain(item, shorten) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, shorten) for item in value]
    return value
