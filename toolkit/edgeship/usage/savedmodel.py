"""SavedModel: `labels` and `preprocessing` as JSON in collections of the graph (`MetaGraphDef.collection_def`).

TensorFlow hands collections on and makes nothing of those that it does not know.
"""

from __future__ import annotations

import json
import mmap
from pathlib import Path

from edgeship.errors import ArtifactError
from edgeship.inspection.bounds import Budget
from edgeship.usage.values import MAX_TEXT, Usage, from_data, to_data
from edgeship.usage.wire import fields

_KEYS = ("labels", "preprocessing")
#: SavedModel.meta_graphs, MetaGraphDef.collection_def and its entries, CollectionDef.bytes_list and its values.
_META_GRAPHS, _COLLECTIONS, _KEY, _VALUE, _BYTES_LIST, _BYTES = 2, 4, 1, 2, 2, 1
_MAX_COLLECTIONS = 1000


def to_collections(given: Usage) -> dict[str, bytes]:
    """The collections, each of one value."""
    return {
        key: json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
        for key, value in to_data(given).items()
    }


def read(path: Path) -> Usage:
    """What a saved_model.pb says. Raises ArtifactError where it is damaged."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            return from_data(_collections(content))
        except (IndexError, ValueError, RecursionError) as error:
            raise ArtifactError(f"{path} is broken: {error}", remedy="Copy or convert it again.") from error


def _collections(content: mmap.mmap) -> dict[str, object]:
    found: dict[str, object] = {}
    count = 0
    budget = Budget(0)  # a graph is one field, whatever its size
    for graph, start, end in fields(content, 0, len(content), budget):
        if graph != _META_GRAPHS:
            continue
        for number, first, last in fields(content, start, end, budget):
            if number != _COLLECTIONS:
                continue
            count += 1
            if count > _MAX_COLLECTIONS:
                raise ValueError(f"it has more than {_MAX_COLLECTIONS:,} collections")
            entry = {n: (a, b) for n, a, b in fields(content, first, last, budget)}
            key = content[slice(*entry.get(_KEY, (0, 0)))].decode("utf-8", "replace")
            if key in _KEYS and _VALUE in entry:
                for text in _texts(content, *entry[_VALUE], budget)[:1]:
                    found[key] = json.loads(text)
    return found


def _texts(content: mmap.mmap, start: int, end: int, budget: Budget) -> list[bytes]:
    """The values of a collection of bytes, as far as they are not too long."""
    return [
        content[a:b]
        for kind, first, last in fields(content, start, end, budget)
        if kind == _BYTES_LIST
        for number, a, b in fields(content, first, last, budget)
        if number == _BYTES and b - a <= MAX_TEXT
    ]
