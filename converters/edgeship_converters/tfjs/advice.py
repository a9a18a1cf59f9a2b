"""What the backends of TF.js do with the ops of a graph model: by the table that our writer is tested with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgeship.inspection.description import Description, Op, OpNote, Support
from edgeship_converters.tfjs.ops import BACKENDS, DATA, OPS, data_dtype, why_unsupported
from edgeship_converters.tfjs.workarounds import REDUCTIONS, along_last

if TYPE_CHECKING:
    from edgeship_converters.tfjs.ir import Graph

#: Not computed by a kernel: parameters and names.
_NO_KERNEL = frozenset(("Placeholder", "Const", "NoOp"))
_MOST_NAMES = 4


def advise(found: Description) -> Support | None:
    """What TF.js does with each op of a graph model; None for other files."""
    if found.format != "tfjs" or found.facts.get("kind") != "graph model":
        return None
    dtypes = {tensor.name: tensor.dtype for tensor in found.tensors}
    whole = [op for op in found.ops if "int" in _data(op, dtypes)]
    faulty = {op.name: faults for op in whole if (faults := _faults(op.type))}
    ops = tuple(_note(op, faulty.get(op.name, "")) for op in found.ops if op.type not in _NO_KERNEL)
    odd = sorted({op.type for op in found.ops} - OPS.keys() - _NO_KERNEL)
    said = [f"not in the table of ops that our files are tested with: {', '.join(odd[:16])}"] if odd else []
    said += where_it_is_right((op.type, op.name) for op in whole)
    if said:
        return Support("tfjs ops", "uncertain", "predicted", "; ".join(said), ops)
    return Support("tfjs ops", "runs", "predicted", "all ops are in the table that our files are tested with", ops)


def notes(graph: Graph) -> tuple[str, ...]:
    """What a person should know of a graph that is written: on which backends it is not right."""
    whole = (node for node in graph.ordered() if "INT" in (data_dtype(graph, node) or ""))
    wrong = (node for node in whole if node.op not in REDUCTIONS or not along_last(graph, node))
    return tuple(where_it_is_right((node.op, node.name) for node in wrong))


def where_it_is_right(whole: Iterable[tuple[str, str]]) -> list[str]:
    """What the table says of ops on integers, given by type and name; nothing where all backends are right."""
    found: dict[str, list[str]] = {}
    for op, name in whole:
        for backend, why in (OPS[op].faults if op in OPS else {}).items():
            found.setdefault(backend, []).append(f"{op} of integers ({name}): {why}")
    if not found:
        return []
    right = ", ".join(backend for backend in BACKENDS if backend not in found)
    reasons = (
        f"{backend}: {'; '.join(said[:_MOST_NAMES])}{' ...' if len(said) > _MOST_NAMES else ''}"
        for backend, said in found.items()
    )
    return [f"runs right on {right}; not on {', not on '.join(reasons)}"]


def _data(op: Op, dtypes: dict[str, str]) -> str:
    place = DATA.get(op.type, 0)
    return dtypes.get(op.inputs[place].partition(":")[0], "") if place < len(op.inputs) else ""


def _faults(op_type: str) -> str:
    faults = OPS[op_type].faults if op_type in OPS else {}
    return "; ".join(f"on {backend}, {why}" for backend, why in faults.items())


def _note(op: Op, faults: str) -> OpNote:
    if op.type in OPS:
        return OpNote(op.name, "uncertain" if faults else "runs", faults)
    return OpNote(op.name, "uncertain", why_unsupported(op.type))
