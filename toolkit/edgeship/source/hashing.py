"""Canonical content of a model: equal for the same model saved twice, whatever the archive's bytes are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edgeship.data.arrays import update_hash
from edgeship.errors import SourceError
from edgeship.types import TensorSpec

#: What Keras writes beside the class and config of an object, and beside those of the model itself, and that differs
#: from one saving to the next or says nothing about what is computed. Keys of a layer's own config are never left out.
_BESIDE_OBJECTS = frozenset({"shared_object_id", "compile_config", "build_config"})
_BESIDE_THE_MODEL = _BESIDE_OBJECTS | {"keras_version", "backend"}


def _stable(value: Any, volatile: frozenset[str] = _BESIDE_OBJECTS) -> Any:
    if isinstance(value, Mapping):
        skipped = volatile if value.keys() >= {"class_name", "config"} else frozenset()
        return {str(key): _stable(item) for key, item in value.items() if key not in skipped}
    if isinstance(value, list | tuple):
        return [_stable(item) for item in value]
    return value


def hash_keras(description: Mapping[str, Any], weights: Iterable[tuple[str, Any]]) -> str:
    """SHA-256 of an architecture and its weights.

    Args:
        description: the model as its framework serializes it.
        weights: (name, array) in the model's order; names do not count.
    """
    text = json.dumps(["edgeship.source/2", _stable(description, _BESIDE_THE_MODEL)], sort_keys=True, default=str)
    digest = hashlib.sha256(text.encode())
    for _, array in weights:
        update_hash(digest, "", np.asarray(array))
    return digest.hexdigest()


def hash_graph(
    graph_def: Any, results: Iterable[str], inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> str:
    """SHA-256 of a frozen GraphDef as computed from its outputs: node names and their order do not count.

    Args:
        graph_def: without variables.
        results: nodes that give the outputs, in the order of the signature.
        inputs: of the signature; their names count.
        outputs: of the signature; their names count.
    """
    nodes = {node.name: node for node in graph_def.node}
    number: dict[str, int] = {}
    stack = list(results)[::-1]
    order = []
    while stack:
        name = stack.pop()
        if name in number:
            continue
        number[name] = len(number)
        order.append(nodes[name])
        stack.extend(_producer(edge)[0] for edge in reversed(nodes[name].input) if not edge.startswith("^"))
    digest = hashlib.sha256(f"edgeship.source/1{inputs}{outputs}".encode())
    for node in order:
        edges = [(number[_producer(e)[0]], _producer(e)[1]) for e in node.input if not e.startswith("^")]
        digest.update(f"{node.op}|{edges}|".encode())
        for key in sorted(k for k in node.attr if not k.startswith("_")):
            digest.update(key.encode() + b"=" + node.attr[key].SerializeToString(deterministic=True))
    for function in sorted(graph_def.library.function, key=lambda f: str(f.signature.name)):
        digest.update(function.SerializeToString(deterministic=True))
    return digest.hexdigest()


def _producer(edge: str) -> tuple[str, str]:
    name, _, index = edge.partition(":")
    return name, index or "0"


def check_weights(where: str, weights: Iterable[tuple[str, Any]]) -> int:
    """Number of values of all weights.

    Args:
        where: names the file in errors.
        weights: (name, array); the part of the name before the last `/` is the layer.

    Raises:
        SourceError: NaN or infinite values, naming the layer.
    """
    count = 0
    for name, values in weights:
        array = np.asarray(values)
        count += array.size
        if array.dtype.kind in "fV" and not np.isfinite(array.astype(np.float32)).all():
            layer = name.rpartition("/")[0] or name
            raise SourceError(
                f"{where}: layer {layer!r} has NaN or infinite weights ({name})",
                remedy="Training diverged there; give a checkpoint from before that.",
            )
    return count
