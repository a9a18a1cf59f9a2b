"""What edgeship's own process does with a file, before and beside the children that take it apart.

`verify`, `predict` and `benchmark` read the labels of a file, `build` and `convert` its kind and its hashes too. Here
that is done in a child, whose memory and time are bounded as those of a user's program should not have to be.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgeship.artifact import read_artifact
from edgeship.errors import InputError
from edgeship.pipeline import snapshot
from edgeship.source import place_of
from edgeship.source.kinds import kind_of
from edgeship.usage import read


def open_all(path: Path) -> None:
    """Give a file to every door, whatever the others say of it; raises the last one's typed error [child]."""
    doors: tuple[Callable[[Path], object], ...] = (read_artifact, _as_source)
    said: InputError | None = None
    for door in doors:
        try:
            door(path)
        except InputError as error:
            said = error
    if said is not None:
        raise said


def _as_source(path: Path) -> None:
    place = place_of(path)
    kind = kind_of(place)
    snapshot.content(place)
    read(kind, place / "saved_model.pb" if kind == "savedmodel" else place)
