"""Names of tensors and nodes that are each their own."""

from __future__ import annotations


def unique(name: str, taken: set[str]) -> str:
    """A name that is not taken yet, which it then is: `name`, else `name__2`, `name__3`, ...

    Two underscores, because Keras numbers layers with one: `conv_2` may be another layer than `conv`.
    """
    found, number = name, 1
    while found in taken:
        number += 1
        found = f"{name}__{number}"
    taken.add(found)
    return found
