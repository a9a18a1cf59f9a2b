"""What is right by the rules when a release is published, and probably not meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgeship.publish import versions
from edgeship.publish.draft import Draft
from edgeship.releases.names import Line, Version
from edgeship.types import Manifest


@dataclass(frozen=True)
class Caution:
    """Something to look at before devices get a release.

    Attributes:
        kind: `new-line`, `older`, `fewer-variants`, or `not-run` (its golden samples were not run here).
        message: what, and what to do if it was not meant.
    """

    kind: str
    message: str


def of(draft: Draft, model: str, release: Version, variants: Iterable[str], given: Manifest) -> tuple[Caution, ...]:
    """What is odd about a release that is not there yet, among those that are.

    Args:
        draft: before the release is added.
        model: its name.
        release: its version.
        variants: that are about to be added to it.
        given: the manifest of one of them.
    """
    there = versions.releases(draft, model)
    if not there:
        return ()
    return tuple(_cautions(draft, Line(model, release.major), release, there, (set(variants), given)))


def _cautions(
    draft: Draft, line: Line, release: Version, there: dict[Version, tuple[str, ...]], added: tuple[set[str], Manifest]
) -> Iterator[Caution]:
    newest = max(there)
    if release < newest:
        yield Caution(
            "older",
            f"{release} is lower than {newest}, the newest release of {line.model}: right for a hotfix of an older one",
        )
    if line.major not in {found.major for found in there}:
        before = versions.read_manifest(draft, line.model, newest, there[newest][0])
        yield Caution("new-line", f"{release} begins the line {line}: {_why(before, added[1], newest)}")
    earlier = [found for found in there if found.major == line.major and found < release]
    if earlier:
        lacking = sorted(set(there[max(earlier)]) - set(there.get(release, ())) - added[0])
        if lacking:
            yield Caution(
                "fewer-variants",
                f"{release} has no {' and no '.join(lacking)}, which {max(earlier)} has: devices that run nothing else "
                f"stay behind; add it: edgeship publish BUNDLE --version {release}",
            )


def _why(before: Manifest, given: Manifest, newest: Version) -> str:
    """What a new line means, and where it may come from."""
    whom = f"no device that follows v{newest.major} gets it"
    differs = versions.difference(before, given)
    if not differs:
        return f"inputs, outputs and labels are those of {newest}, and {whom}"
    if not versions.only_names_differ(before, given):
        return f"it has other {differs} than {newest}, and {whom}"
    old, new = ((*(i.name for i in m.inputs), *(o.name for o in m.outputs)) for m in (before, given))
    changed = ", ".join(f"{one} is {other} now" for one, other in zip(old, new, strict=True) if one != other)
    return (
        f"only names are others than in {newest} ({changed}), and {whom}. Keras numbers layers as they are made: give "
        "those of inputs and outputs a name, and build again"
    )
