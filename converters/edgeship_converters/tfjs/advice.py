"""What TF.js would do with the ops of a graph model from anywhere: by the table that our writer is tested with."""

from __future__ import annotations

from edgeship.inspection.description import Description, Op, OpNote, Support
from edgeship_converters.tfjs.ops import SUPPORTED, why_unsupported

#: Not computed by a kernel: parameters and names.
_NO_KERNEL = frozenset(("Placeholder", "Const", "NoOp"))


def advise(found: Description) -> Support | None:
    """What TF.js does with each op of a graph model; None for other files."""
    if found.format != "tfjs" or found.facts.get("kind") != "graph model":
        return None
    ops = tuple(_note(op) for op in found.ops if op.type not in _NO_KERNEL)
    odd = sorted({op.type for op in found.ops} - SUPPORTED.keys() - _NO_KERNEL)
    if not odd:
        return Support("tfjs ops", "runs", "predicted", "all ops are in the table that our files are tested with", ops)
    reason = f"not in the table of ops that our files are tested with: {', '.join(odd[:16])}"
    return Support("tfjs ops", "uncertain", "predicted", reason, ops)


def _note(op: Op) -> OpNote:
    if op.type in SUPPORTED:
        return OpNote(op.name, "runs")
    return OpNote(op.name, "uncertain", why_unsupported(op.type))
