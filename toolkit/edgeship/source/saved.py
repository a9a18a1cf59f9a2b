"""SavedModels: which of their signatures is the model, loaded, described and called [child]."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from edgeship.errors import SourceError, first_line
from edgeship.names import safe_names
from edgeship.source.graphdef import float_constants
from edgeship.source.hashing import check_weights, hash_graph
from edgeship.source.signature import Signature
from edgeship.types import Source, TensorSpec

#: Taken where nobody names another.
SIGNATURE = "serving_default"


def load_saved_model(path: Path, *, allow_unsafe: bool) -> Any:
    """The loaded folder. Raises SourceError, UnsafeModelError."""
    import tensorflow as tf

    from edgeship.source.graphs import check_saved_model

    check_saved_model(path, allow_unsafe=allow_unsafe)
    try:
        return tf.saved_model.load(str(path))
    except MemoryError:
        raise
    except Exception as error:
        raise SourceError(
            f"{path.name} cannot be loaded as a SavedModel: {first_line(error)}",
            remedy="Copy the whole folder again (saved_model.pb and variables/).",
        ) from error


def inspect_saved_model(path: Path, allow_unsafe: bool, wanted: str | None) -> Source:
    """Look at one signature of a SavedModel; `wanted` names it. Raises SourceError, UnsafeModelError."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    model = load_saved_model(path, allow_unsafe=allow_unsafe)
    key = choose(list(model.signatures), wanted, path.name)
    signature = saved_model_signature(model, key)
    if not signature.inputs:
        raise SourceError(f"{path.name}: the signature {key!r} takes no inputs", remedy=_others(model.signatures, key))
    function = model.signatures[key]
    try:
        frozen = convert_variables_to_constants_v2(function)
    except (ValueError, tf.errors.InvalidArgumentError) as error:
        raise SourceError(
            f"{path.name}: {key!r} changes variables when it runs: {first_line(error)}",
            remedy="Export it without state: random numbers with a seed that counts, stateful layers.",
        ) from error
    weights: Iterable[tuple[str, Any]] = ((v.name, v.numpy()) for v in function.variables)
    if not function.variables:  # it was frozen before it was saved
        weights = float_constants(frozen.graph.as_graph_def())
    return Source(
        path=path,
        kind="savedmodel",
        loader="savedmodel",
        sha256=hash_graph(
            frozen.graph.as_graph_def(), [t.op.name for t in frozen.outputs], signature.inputs, signature.outputs
        ),
        inputs=signature.inputs,
        outputs=signature.outputs,
        parameters=check_weights(path.name, weights),
        trainable=False,
        allow_unsafe=allow_unsafe,
        signature=key,
    )


def write_saved_model(signature: Signature, variables: Iterable[Any], folder: Path) -> None:
    """Write what a live model computes, with the names of its signature. Raises what TensorFlow raises."""
    import tensorflow as tf

    def serve(**inputs: Any) -> dict[str, Any]:
        results = signature.call(*(inputs[spec.name] for spec in signature.inputs))
        return {spec.name: result for spec, result in zip(signature.outputs, results, strict=True)}

    specs = {spec.name: tf.TensorSpec(spec.shape, spec.dtype, name=spec.name) for spec in signature.inputs}
    holder = tf.Module()
    # Keras 3 wraps TensorFlow's.
    holder.held = [v if isinstance(v, tf.Variable) else v.value for v in variables]
    function = tf.function(serve, autograph=False).get_concrete_function(**specs)
    tf.saved_model.save(holder, str(folder), signatures={SIGNATURE: function})


def choose(keys: list[str], wanted: str | None, where: str) -> str:
    """The signature that is meant: the one that was named, else `serving_default`, else the only one.

    Raises SourceError, with those that there are.
    """
    found = ", ".join(keys) or "none"
    if wanted is not None:
        if wanted not in keys:
            raise SourceError(
                f"{where} has no signature {wanted!r} (it has: {found})", remedy="Give one of them: --signature NAME"
            )
        return wanted
    if SIGNATURE in keys:
        return SIGNATURE
    if len(keys) == 1:
        return keys[0]
    if keys:
        raise SourceError(
            f"{where} has {len(keys)} signatures, none of them {SIGNATURE!r} (it has: {found})",
            remedy=f"Say which: --signature {keys[0]}",
        )
    raise SourceError(
        f"{where} has no signature",
        remedy=f"Export it with model.export(), or with signatures={{{SIGNATURE!r}: function}}.",
    )


def _others(keys: Mapping[str, Any], key: str) -> str:
    found = ", ".join(other for other in keys if other != key)
    return f"Choose another: --signature NAME ({found})." if found else "Export a function of the model's inputs."


def saved_model_signature(model: Any, key: str) -> Signature:
    """A signature of a loaded SavedModel."""
    function = model.signatures[key]
    # A file does not keep the order of its signature, so it is made: by name, `output_2` before `output_10`.
    takes, gives = (
        {name: tensors[name] for name in sorted(tensors, key=_natural)}
        for tensors in (function.structured_input_signature[1], function.structured_outputs)
    )

    def specs(tensors: Mapping[str, Any], fallback: str) -> tuple[TensorSpec, ...]:
        shapes = [(None,) if t.shape.rank is None else tuple(t.shape) for t in tensors.values()]
        names = safe_names(list(tensors), fallback)
        return tuple(
            TensorSpec(n, shape, t.dtype.name) for n, shape, t in zip(names, shapes, tensors.values(), strict=True)
        )

    def call(*tensors: Any) -> list[Any]:
        # Through the model: a signature alone does not keep the variables alive.
        results = model.signatures[key](**dict(zip(takes, tensors, strict=True)))
        return [results[name] for name in gives]

    return Signature(specs(takes, "input"), specs(gives, "output"), call)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]
