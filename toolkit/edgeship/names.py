"""Names that are safe as file names (of inputs, outputs and slices, in every format, and of artifacts) or unique."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote


def safe_names(names: Sequence[str], fallback: str, taken: Iterable[str] = ()) -> tuple[str, ...]:
    """Names of [A-Za-z0-9_] that do not begin with a digit, made unique by `_1`, `_2`, ... in the given order.

    Case alone does not make a name unique: file systems may ignore it.

    Args:
        names: as the model has them.
        fallback: what stands for a name of which nothing is left.
        taken: names that others have already.
    """
    used = {name.lower() for name in taken}
    found = []
    for name in names:
        base = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:64] or fallback
        base = f"{fallback}_{base}" if base[0].isdigit() else base
        unique, number = base, 0
        while unique.lower() in used:
            number += 1
            unique = f"{base}_{number}"
        used.add(unique.lower())
        found.append(unique)
    return tuple(found)


def artifact_slug(*parts: str) -> str:
    """A folder name for an artifact (and runtime): `tflite/int8`, `litert` -> `tflite__int8__litert`.

    What some file systems refuse is written as in addresses of pages: `browser:chromium` -> `browser%3Achromium`.
    """
    return "__".join(quote(part.replace("/", "__"), safe="@+=,#() ") for part in parts)


def unique(name: str, taken: set[str], *, ignore_case: bool = False) -> str:
    """A name that is not taken yet, which it then is: `name`, else `name__2`, `name__3`, ...

    Two underscores, because Keras numbers layers with one: `conv_2` may be another layer than `conv`. With
    `ignore_case`, what is taken is written in lower case.
    """
    found, number = name, 1
    while (found.lower() if ignore_case else found) in taken:
        number += 1
        found = f"{name}__{number}"
    taken.add(found.lower() if ignore_case else found)
    return found
