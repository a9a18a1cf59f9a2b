"""Float .onnx files as the start of ONNX files: the same graph, with the names of the Source."""

from __future__ import annotations

import hashlib
from typing import Any

from edgeship.errors import SourceError, UnsupportedModelError
from edgeship.source.onnx import read_onnx
from edgeship.source.onnx.file import fed, nodes
from edgeship.types import Source
from edgeship_converters.onnx.opsets import at_opset, opset

#: The first operator set with quantization by channel.
_BY_CHANNEL = 13


def to_onnx(source: Source, variant: str, wanted: int | None = None) -> Any:
    """The model, its inputs and outputs named as in the Source; weights from other files are in it.

    Args:
        source: an .onnx file.
        variant: that will be made of it.
        wanted: operator set; None for that of the file, or the nearest that can hold the variant.

    Raises:
        SourceError: the file has changed since it was looked at.
        UnsupportedModelError: one tensor is given out twice; an operator that the operator set cannot hold.
    """
    model = read_onnx(source.path)
    if hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest() != source.sha256:
        raise SourceError(f"{source.path.name} has changed since it was looked at", remedy="Run again.")
    _name(model, source)
    oldest = _BY_CHANNEL if variant == "int8" else 0
    return at_opset(model, wanted or max(opset(model), oldest))


def _name(model: Any, source: Source) -> None:
    values = [*fed(model), *model.graph.output]
    wanted = [spec.name for spec in (*source.inputs, *source.outputs)]
    own = [value.name for value in values]
    if len(set(own)) < len(own):
        raise UnsupportedModelError(
            f"{source.path.name} gives one tensor out twice, or an input as an output",
            remedy="Export the model with each output once.",
        )
    names = dict(zip(own, wanted, strict=True))
    # What is inside and has one of these names makes room for it.
    inner = {name for node in nodes(model.graph) for name in (*node.input, *node.output)} - set(own)
    names |= {name: f"{name}/inner" for name in inner & set(wanted)}
    for node in nodes(model.graph):
        node.name = node.name or node.output[0]  # layers are named by their nodes
        for side in (node.input, node.output):
            for index, name in enumerate(side):
                side[index] = names.get(name, name)
    graph = model.graph
    for item in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        item.name = names.get(item.name, item.name)
