"""Versions of ONNX's operator set: which are written, and how a model gets from one to another."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgeship.errors import UnsupportedModelError
from edgeship_converters.onnx.canonical import bodies

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

#: The newest that tf2onnx writes; ONNX's own version converter goes on from there.
WRITTEN = 18
#: From the first with quantization by channel to the newest that ONNX Runtime 1.31 has released.
OFFERED = range(13, 27)
#: Names of the standard set; any other belongs to somebody, and is carried over as it is.
_STANDARD = ("", "ai.onnx")


def opset(model: ModelProto) -> int:
    """The version of the standard operator set that a model is in; 0 where it says none."""
    return next((int(entry.version) for entry in model.opset_import if entry.domain in _STANDARD), 0)


def at_opset(model: ModelProto, wanted: int) -> ModelProto:
    """The model in another version of the operator set, with the oldest file format (IR) that goes with it.

    The model itself if it is in that version.

    Raises:
        UnsupportedModelError: naming the operators that the wanted version does not have, or those that ONNX's version
            converter cannot bring there.
    """
    from onnx import helper, version_converter

    own = opset(model)
    _refuse_newer(model, wanted)
    if own == wanted:
        return model
    try:
        made = version_converter.convert_version(model, wanted)
    except Exception as error:  # its exceptions have no common base
        named = ", ".join(_changed(model, own, wanted)) or "the model"
        raise UnsupportedModelError(
            f"onnx: {named} cannot be brought from opset {own} to {wanted}: {_said(error)}",
            remedy=f"Use --opset {own}, or export the model with opset {wanted}.",
        ) from error
    made.ir_version = helper.find_min_ir_version_for([helper.make_opsetid("", wanted)])
    return made


def _refuse_newer(model: ModelProto, wanted: int) -> None:
    """Raise UnsupportedModelError naming operators that are younger than the wanted operator set."""
    young, first = {}, _first()
    for node in _standard_nodes(model.graph):
        since = first.get(node.op_type, wanted)
        if since > wanted:
            young[f"{node.name or node.output[0]} ({node.op_type}, of opset {since})"] = since
    if young:
        raise UnsupportedModelError(
            f"onnx: opset {wanted} has no operator for {', '.join(young)}",
            remedy=f"Use --opset {max(young.values())} or newer, or replace the layer.",
        )


def _standard_nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """Nodes of ONNX's own operators, those in the bodies of control flow too."""
    for node in graph.node:
        if node.domain in _STANDARD:
            yield node
        for _, body in bodies(node):
            yield from _standard_nodes(body)


@functools.cache
def _first() -> dict[str, int]:
    """The first operator set that has an operator."""
    import onnx

    first: dict[str, int] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain in _STANDARD:
            first[schema.name] = min(schema.since_version, first.get(schema.name, schema.since_version))
    return first


def _changed(model: ModelProto, own: int, wanted: int) -> list[str]:
    """The kinds of operators that mean something else in the wanted version, each with the first node of it."""
    import onnx

    found: dict[str, str] = {}
    for node in _standard_nodes(model.graph):
        if onnx.defs.has(node.op_type):
            versions = {onnx.defs.get_schema(node.op_type, at).since_version for at in (own, wanted)}
            if len(versions) > 1:
                found.setdefault(node.op_type, f"{node.name or node.output[0]} ({node.op_type})")
    return list(found.values())


def _said(error: Exception) -> str:
    """What the version converter says, without the place in its source."""
    return str(error).rpartition("failed: ")[2].splitlines()[0][:300] if str(error) else type(error).__name__
