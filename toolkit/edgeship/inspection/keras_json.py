"""Layers from the JSON that describes a Keras model, without Keras; shapes are known where the JSON says them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from edgeship.inspection.bounds import text
from edgeship.inspection.description import Op, Tensor
from edgeship.inspection.kinds import kind_of
from edgeship.inspection.macs import count
from edgeship.types import TensorSpec

#: Layer -> layout of its kernel.
LAYOUTS: Mapping[str, str] = {
    "Conv1D": "WIO",
    "Conv2D": "HWIO",
    "Conv3D": "DHWIO",
    "DepthwiseConv1D": "WCM",
    "DepthwiseConv2D": "HWCM",
    "Conv1DTranspose": "WOI",
    "Conv2DTranspose": "HWOI",
    "Conv3DTranspose": "DHWOI",
    "Dense": "IO",
}
_ASIDE = (
    "name",
    "trainable",
    "dtype",
    "batch_input_shape",
    "batch_shape",
    "build_config",
    "sparse",
    "ragged",
    "layers",
)


def layers_of(
    config: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> tuple[tuple[Op, ...], tuple[TensorSpec, ...], tuple[TensorSpec, ...], dict[str, Tensor]]:
    """Ops, inputs, outputs and computed tensors of a described model. Raises what reading a damaged JSON raises.

    Args:
        config: `class_name` and `config` of a functional or Sequential model.
        weights: constants, named `layer/kernel`.
    """
    inner = config["config"]
    layers = inner if isinstance(inner, list) else inner["layers"]
    ops, inputs, tensors = [], [], {}
    previous = ""
    for layer in layers:
        kind, settings = str(layer["class_name"]), dict(layer.get("config") or {})
        name = text(str(settings.get("name") or layer.get("name") or kind))
        shape = settings.get("batch_input_shape") or settings.get("batch_shape")
        if shape is not None:
            dtype = settings.get("dtype")
            inputs.append(TensorSpec(name, tuple(shape), dtype if isinstance(dtype, str) else "float32"))
        tensors[name] = Tensor(name, tuple(shape) if kind == "InputLayer" and shape else None, "float32")
        if kind != "InputLayer":
            read = tuple(dict.fromkeys(_inbound(layer.get("inbound_nodes")))) or ((previous,) if previous else ())
            ops.append(_op(name, kind, settings, read, weights))
        previous = name
    ends = [str(end[0]) for end in inner.get("output_layers") or ()] if isinstance(inner, dict) else []
    outputs = tuple(TensorSpec(text(name), (), "float32") for name in ends or [previous])
    return tuple(ops), tuple(inputs), outputs, tensors


def options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that matter: no initializers, no defaults that say nothing."""
    found = {}
    for key, value in settings.items():
        aside = key in _ASIDE or key.endswith(("_initializer", "_regularizer", "_constraint"))
        if not aside and isinstance(value, bool | int | float | str | list | tuple) and value not in ("", [], ()):
            found[text(str(key))] = text(value)[:200] if isinstance(value, str) else _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value[:64]]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float | None) else str(value)[:200]


def _op(name: str, kind: str, settings: Mapping[str, Any], read: tuple[str, ...], weights: Mapping[str, Tensor]) -> Op:
    mine = [weight for weight in weights if weight.startswith(f"{name}/")]
    kernel = next((weight for weight in mine if weight.endswith("kernel")), "") if kind in LAYOUTS else ""
    layout = LAYOUTS[kind] if kernel else ""
    shape = weights[kernel].shape if kernel else None
    word = kind_of(kind)
    known = (shape, layout) if shape is not None else None
    macs = count(word, kind, known, [None], None)
    return Op(name, kind, word, (*read, *mine), (name,), options(settings), None, kernel, layout, macs=macs)


def _inbound(value: Any) -> Iterator[str]:
    """Names of the layers that a layer reads, from Keras 2's lists or Keras 3's tensors."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            if item.get("class_name") == "__keras_tensor__":
                yield text(str(item["config"]["keras_history"][0]))
            else:
                stack += reversed(list(item.values()))
        elif isinstance(item, list):
            if len(item) >= 3 and isinstance(item[0], str) and isinstance(item[1], int):
                yield text(item[0])
            else:
                stack += reversed(item)
