"""Float .onnx files as the start of ONNX files: the same graph, with the names of the Source."""

from __future__ import annotations

import hashlib
from typing import Any

from edgeship.errors import SourceError, UnsupportedModelError
from edgeship.source.onnx import read_onnx
from edgeship.source.onnx.file import fed, nodes
from edgeship.types import Source

#: The first operator set with quantization by channel.
_BY_CHANNEL = 13


def to_onnx(source: Source, variant: str) -> Any:
    """The model, its inputs and outputs named as in the Source; weights from other files are in it.

    Raises:
        SourceError: the file has changed since it was looked at.
        UnsupportedModelError: one tensor is given out twice; an operator set too old for the variant.
    """
    model = read_onnx(source.path)
    if hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest() != source.sha256:
        raise SourceError(f"{source.path.name} has changed since it was looked at", remedy="Run again.")
    _name(model, source)
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    return _newer(model) if variant == "int8" and opset < _BY_CHANNEL else model


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


def _newer(model: Any) -> Any:
    import onnx

    try:
        return onnx.version_converter.convert_version(model, _BY_CHANNEL)
    except Exception as error:  # its exceptions have no common base
        raise UnsupportedModelError(
            f"onnx/int8: the operator set of the file is older than {_BY_CHANNEL} and cannot be raised: {error}",
            remedy=f"Export the model with opset {_BY_CHANNEL} or newer.",
        ) from error
