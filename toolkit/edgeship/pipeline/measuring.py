"""What was measured on targets: kept in the build folder, by all that it depends on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from edgeship import cache, codec, plugins
from edgeship.data import load as load_split
from edgeship.errors import ArtifactError, ChildError, InputError, UnavailableError, from_wire
from edgeship.files import write_text
from edgeship.names import artifact_slug
from edgeship.types import (
    CHANGING_FACTS,
    Artifact,
    Dataset,
    NotMeasured,
    Plan,
    ProgressCallback,
    Result,
)
from edgeship.usercode import code_of

#: How many test samples a benchmark cycles through.
BENCHMARK_SAMPLES = 16


@dataclass(frozen=True)
class _Kept:
    """The rows of one artifact on one target, as they lie in a build folder; `key` as that of a `Measurement`."""

    key: str
    results: tuple[Result, ...]
    unmeasured: tuple[NotMeasured, ...]


#: Holds the target of an address while it is measured.
Turn = Callable[[str], AbstractContextManager[object]]

Rows = tuple[Result | NotMeasured, ...]


def measure(
    out: Path,
    artifacts: Sequence[Artifact],
    target: str,
    dataset: Dataset,
    plan: Plan,
    progress: ProgressCallback,
    names: Sequence[str] = (),
) -> tuple[Rows, ...]:
    """Rows of each artifact on a target; all that it runs are measured side by side.

    What the build folder holds, taken under the same conditions, is not measured again. An artifact that the target
    cannot run does not cost the others. Raises TargetUnavailable if the target is not there.

    Args:
        out: the build folder.
        artifacts: what to measure.
        target: its address.
        dataset: whose test inputs are run.
        plan: how.
        progress: told meanwhile.
        names: under which the folder holds them, where the id of an artifact is not unique.
    """
    names = names or [artifact_slug(a.id, target) for a in artifacts]
    paths = [out / "measurements" / f"{name}.json" for name in names]
    keys = _measurement_keys(artifacts, target, dataset, plan)
    rows = [_kept_rows(path, key) for path, key in zip(paths, keys, strict=True)]
    if any(rows):  # one that joins is looked at first: if it cannot run, the others stand
        rows = [found or _why_not(a, target, dataset) for a, found in zip(artifacts, rows, strict=True)]
    if all(rows):
        return tuple(rows)
    inputs = {k: v[:BENCHMARK_SAMPLES] for k, v in load_split(dataset, "test").inputs.items()}
    # All that may run: what is compared was measured side by side.
    together = [n for n, found in enumerate(rows) if not found or any(isinstance(row, Result) for row in found)]
    asked = _told_apart([artifacts[n] for n in together])
    measured = plugins.target(target).measure(asked, inputs, plan, progress)
    for n, artifact in zip(together, asked, strict=True):
        mine = [replace(row, artifact=artifacts[n].id) for row in measured if row.artifact == artifact.id]
        rows[n] = tuple(replace(row, key=keys[n]) if isinstance(row, Result) else row for row in mine)
        _keep_rows(paths[n], keys[n], rows[n])
    return tuple(rows)


def _told_apart(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """With ids of which none is there twice."""
    ids = [a.id for a in artifacts]
    return [
        replace(a, variant=f"{a.variant}#{n}") if ids.count(a.id) > 1 else a for n, a in enumerate(artifacts, start=1)
    ]


def _why_not(artifact: Artifact, target: str, dataset: Dataset) -> Rows:
    """The row of an artifact that the target cannot run; none if it can."""
    inputs = {k: v[:1] for k, v in load_split(dataset, "test").inputs.items()}
    try:
        plugins.target(target).check(artifact, inputs)
    except (ArtifactError, ChildError, UnavailableError) as error:
        return (NotMeasured(artifact.id, target, "", error.message, error.remedy, type(error).__name__),)
    return ()


def _measurement_keys(artifacts: Sequence[Artifact], target: str, dataset: Dataset, plan: Plan) -> list[str]:
    """What measurements depend on: the file, the samples, the plan, the runtime, the machine and its settings."""
    place = plugins.target(target)
    facts = {k: v for k, v in place.probe().facts.items() if k not in CHANGING_FACTS}
    keys = []
    for artifact in artifacts:
        runtimes = plugins.runtimes_for(artifact.format)
        key = cache.key_with_code(
            "measurement",
            code_of(place, *runtimes),
            file=artifact.sha256,
            runtimes=[(r.name, r.versions()) for r in runtimes],
            target=target,
            facts=facts,
            samples=[dataset.sha256, BENCHMARK_SAMPLES],
            plan=asdict(plan),
        )
        keys.append(key)
    return keys


def _keep_rows(path: Path, key: str, rows: Rows) -> None:
    results = tuple(row for row in rows if isinstance(row, Result))
    write_text(path, codec.to_json(_Kept(key, results, tuple(row for row in rows if isinstance(row, NotMeasured)))))


def _kept_rows(path: Path, key: str) -> Rows:
    """What was kept under a key; none where something broke, which is tried again."""
    try:
        found = codec.from_json(_Kept, path.read_text())
    except (OSError, InputError):
        return ()
    broke = any(not isinstance(from_wire({"type": row.type}), UnavailableError) for row in found.unmeasured)
    return () if found.key != key or broke or not found.results else (*found.results, *found.unmeasured)
