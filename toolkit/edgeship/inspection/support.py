"""What runtimes and devices would do with a file: by running it in each runtime, and from tables.

A place that says something about each op is a function `Description -> Support | None` (None: nothing to say about
files like this), named in `ADVISERS`. Prediction for a device is such a function; it runs no model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from edgeship import plugins
from edgeship.contracts import Runtime
from edgeship.errors import EdgeshipError, UnavailableError
from edgeship.inspection.description import Description, Op, OpNote, Support
from edgeship.types import Artifact, TensorSpec

if TYPE_CHECKING:
    from edgeship.types import Array

Adviser = Callable[[Description], Support | None]

#: `module:function` of everything that predicts op by op.
ADVISERS = (
    "edgeship_converters.tfjs.advice:advise",
    "edgeship.inspection.devices:edgetpu",
    "edgeship.inspection.devices:micro",
)
#: A file that needs more is opened, but not run.
_MAX_MACS, _MAX_NUMBERS = 5_000_000_000, 1 << 24


def predicted(found: Description) -> tuple[Support, ...]:
    """What is predicted by tables and rules."""
    return tuple(support for reference in ADVISERS if (support := _adviser(reference)(found)) is not None)


def asked(found: Description, artifact: Artifact) -> tuple[Support, ...]:
    """What each runtime for the file's format does with it."""
    return tuple(_ask(runtime, found, artifact) for runtime in plugins.runtimes_for(artifact.format))


def _adviser(reference: str) -> Adviser:
    module, _, name = reference.partition(":")
    function: Adviser = getattr(import_module(module), name)
    return function


def _ask(runtime: Runtime, found: Description, artifact: Artifact) -> Support:
    """Open the file in a runtime and run it on one sample of zeros: what it refuses ops by."""
    support = Support(runtime.name, "runs", "asked", "")
    missing = runtime.missing()
    if missing:
        return replace(support, state="unavailable", reason=f"needs {', '.join(missing)}: {runtime.remedy}")
    try:
        inputs = zeros(runtime.specs(artifact)[0])
        ran = inputs is not None and (found.macs or 0) <= _MAX_MACS
        if ran and inputs is not None:
            runtime.run(artifact, inputs)
    except UnavailableError as error:
        return replace(support, state="unavailable", reason=f"{error.message}: {error.remedy}")
    except EdgeshipError as error:
        return replace(support, state="refused", reason=error.message[:1000], ops=_blamed(error.message, found.ops))
    versions = ", ".join(f"{package} {version}" for package, version in runtime.versions().items())
    if not ran:
        reason = f"it opens with {versions}, but was not run: its inputs have no fixed size, or it is too large"
        return replace(support, state="uncertain", reason=reason)
    ops = tuple(OpNote(op.name, "runs") for op in found.ops)
    return replace(support, reason=f"ran on zeros with {versions}", ops=ops)


def zeros(specs: Sequence[TensorSpec]) -> dict[str, Array] | None:
    """One sample of zeros for each input, in the model's units; None where a size is not known."""
    import numpy as np

    found = {}
    for spec in specs:
        shape = (1 if size is None and axis == 0 else size for axis, size in enumerate(spec.shape))
        sizes = [size for size in shape if size is not None]
        if len(sizes) != len(spec.shape) or math.prod(sizes) > _MAX_NUMBERS or not spec.shape:
            return None
        dtype = "float32" if spec.quantization is not None else spec.dtype
        try:
            found[spec.name] = np.zeros(sizes, np.dtype(dtype))
        except TypeError:
            return None
    return found


def _blamed(message: str, ops: Sequence[Op]) -> tuple[OpNote, ...]:
    """The ops that a runtime's message is about."""
    return tuple(OpNote(op.name, "refused", message[:500]) for op in ops if _names(message, op.type, op.name))


def _names(message: str, op_type: str, name: str) -> bool:
    """Whether a runtime's message is about an op: it quotes its type or its name."""
    said = op_type.removeprefix("CUSTOM ")
    return (
        any(f"{quote}{word}{quote}" in message for quote in ("'", '"') for word in (said, name))
        or f"op: {said}" in message
    )
