"""`lineage.json` of a build folder: from what, by what and with what result it was made, as an in-toto statement.

The same inputs, code and machine give the same statement but for what stands in `runDetails`: when, by which command,
and the digests of files that hold milliseconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edgeship import cache, statements
from edgeship.errors import ArtifactError
from edgeship.files import write_text
from edgeship.history.remembering import revision
from edgeship.pipeline.request import Request
from edgeship.references import is_reference
from edgeship.report import schema
from edgeship.report.store import LIMIT_BYTES
from edgeship.report.store import NAME as REPORT
from edgeship.statements import Making, Resource
from edgeship.usercode import code_sha256

NAME = "lineage.json"
#: Folders of results beside the delivered files.
_RESULTS = ("predictions", "golden", "measurements")
#: Of a request: what decides over results beside model, data and recipe.
_CHOSEN = (
    *("metric", "formats", "targets", "custom_objects", "allow_unsafe", "signature", "labels", "bake_preprocessing"),
    *("opset", "slices", "max_slice_drop", "min_slice", "occlusion"),
)
#: Of an entry of the report: what is no time.
_OF_GATES = ("name", "artifact", "runtime", "status", "accepted", "value", "limit", "unit", "n", "interval")


def write(request: Request) -> None:
    """Write the statement about the build in `request.out`, which has its report.

    Raises OutputError, StorageFullError.
    """
    text = json.dumps(statement(request), indent=1, allow_nan=False) + "\n"
    write_text(request.out / NAME, text)


def read(folder: Path) -> dict[str, Any] | None:
    """The statement of a build folder; None where there is none. Raises InputError for anything else of that name."""
    path = folder / NAME
    if not path.exists():
        return None
    found = schema.parse(schema.read_text(path, LIMIT_BYTES), str(path))
    schema.fits(found, "lineage", str(path))
    assert isinstance(found, dict)
    return found


def check(folder: Path) -> None:
    """Raise ArtifactError if a file that the statement of a build folder names is absent or another one now.

    A folder without a statement, which an earlier edgeship made, passes.
    """
    found = read(folder)
    if found is None:
        return
    named = [*found["subject"], *found["predicate"]["runDetails"]["byproducts"]]
    for entry in named:
        path = folder / entry["name"]
        if not path.is_file() or path.is_symlink():
            raise ArtifactError(f"{path} is missing, which {NAME} names", remedy="Run the build again.")
        if _sha256(path) != entry["digest"]["sha256"]:
            raise ArtifactError(
                f"{path} is not the file that {NAME} names: its SHA-256 is another one",
                remedy="Run the build again.",
            )


def statement(request: Request) -> dict[str, Any]:
    """The statement as plain data; everything in it that names a place is as in `report.json`."""
    out = request.out
    report: dict[str, Any] = json.loads((out / REPORT).read_text(encoding="utf-8"))
    seeds = {"recipe": request.recipe.seed, "data": request.data_options.seed, "measuring": request.plan.seed}
    making = Making(
        external={
            "recipe": report["recipe"],
            "data": report["data_options"],
            "measuring": asdict(request.plan),
            **{name: getattr(request, name) for name in _CHOSEN},
        },
        internal={"environment": report["environment"], "seeds": seeds},
        dependencies=_dependencies(request, report),
        byproducts=_byproducts(out),
        edgeship=report["environment"].get("edgeship", "unknown"),
        finished=report["created"],
    )
    made = statements.statement(_subjects(report), making)
    made["predicate"]["edgeship_results"] = _results(report)
    made["predicate"]["runDetails"]["edgeship_command"] = report["command"]
    # Tuples and the like become what a reader of the file finds.
    plain: dict[str, Any] = json.loads(json.dumps(made, allow_nan=False))
    return plain


def _subjects(report: Mapping[str, Any]) -> Iterator[Resource]:
    """What is delivered: the files of every artifact."""
    for artifact in report["artifacts"]:
        for entry in (*artifact["files"], *artifact.get("sources", ())):
            place = Path(artifact["path"]) / entry["name"]
            yield statements.file(place.as_posix(), entry["sha256"])


def _byproducts(out: Path) -> Iterator[Resource]:
    files = [path for name in _RESULTS for path in (out / name).rglob("*") if path.is_file()]
    names = [REPORT, *sorted(path.relative_to(out).as_posix() for path in files)]
    for name in names:
        yield statements.file(name, _sha256(out / name))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dependencies(request: Request, report: Mapping[str, Any]) -> Iterator[Resource]:
    source, data = report["source"], report["dataset"]
    yield statements.content(source["path"], source["sha256"], "source model")
    if data is not None:
        yield statements.content(data["name"], data["sha256"], "dataset")
    for path in request.snap_to:
        yield statements.file(path.name, _sha256(path), "file that devices have")
    yield statements.content("edgeship", cache.code_version(), "code")
    for reference in _references(request):
        digest = code_sha256([reference])
        if digest:
            yield statements.content(reference, digest, "code")
    if request.script is not None:
        yield statements.file(request.script.name, _sha256(request.script), "script")
    place = request.script.parent if request.script is not None else Path.cwd()
    found = revision(place)
    if found:
        clean = found.removesuffix("-dirty")
        yield statements.commit("repository", clean, "code", dirty=clean != found)
    yield from statements.packages(cache.versions())


def _references(request: Request) -> list[str]:
    """`module:name` of code of the user's that decides over results: layers, metric, augmentation, data."""
    words = (*request.custom_objects, request.metric, *request.data_options.augment, request.data)
    return list(dict.fromkeys(word for word in words if word is not None and is_reference(word)))


def _results(report: Mapping[str, Any]) -> dict[str, Any]:
    """What verification found, which is no matter of time."""
    baseline = report["baseline"]
    predictions = [
        {"file": key, "metric": found["metric"], "n": found["n"]} for key, found in report["predictions"].items()
    ]
    files = [
        {"artifact": f"{a['format']}/{a['variant']}", "verification": a["verification"],
         "size_bytes": sum(entry["size_bytes"] for entry in a["files"])}
        for a in report["artifacts"]
    ]  # fmt: skip
    return {
        "metric": report["metric"],
        "original": {"metric": baseline["metric"], "n": baseline["n"]} if baseline is not None else None,
        "files": files,
        "predictions": predictions,
        "gates": [{name: gate[name] for name in _OF_GATES} for gate in report["gates"]],
        "failures": [{name: f[name] for name in ("artifact", "stage", "type")} for f in report["failures"]],
    }
