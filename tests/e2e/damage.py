"""Exported files, damaged on purpose in one place each: what verification is there to catch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
from ai_edge_litert import schema_py_generated as schema
from onnx import numpy_helper

#: Copies the artifact folder `source` to `place` with one thing wrong.
Damage = Callable[[Path, Path], Path]


def _tflite(change: Callable[[Any], None]) -> Damage:
    def damage(source: Path, place: Path) -> Path:
        model = schema.ModelT.InitFromPackedBuf((source / "model.tflite").read_bytes(), 0)
        change(model)
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), b"TFL3")
        place.mkdir()
        (place / "model.tflite").write_bytes(bytes(builder.Output()))
        return place / "model.tflite"

    return damage


def _onnx(change: Callable[[Any], None]) -> Damage:
    def damage(source: Path, place: Path) -> Path:
        model = onnx.load(source / "model.onnx")
        change(model.graph)
        place.mkdir()
        onnx.save(model, place / "model.onnx")
        return place / "model.onnx"

    return damage


def _tfjs(change: Callable[[dict[str, Any], bytearray], None]) -> Damage:
    def damage(source: Path, place: Path) -> Path:
        shutil.copytree(source, place)
        (place / "artifact.json").unlink()
        model = json.loads((place / "model.json").read_text())
        (shard,) = model["weightsManifest"][0]["paths"]
        weights = bytearray((place / shard).read_bytes())
        change(model, weights)
        (place / shard).write_bytes(weights)
        (place / "model.json").write_text(json.dumps(model))
        return place / "model.json"

    return damage


def _constants(model: Any, dtype: Any, rank: int) -> list[tuple[Any, Any]]:
    """Constant tensors of a TFLite model with their buffers, the largest first."""
    graph = model.subgraphs[0]
    found = [(t, model.buffers[t.buffer]) for t in graph.tensors if t.type == dtype and len(t.shape) == rank]
    return sorted((p for p in found if p[1].data is not None), key=lambda p: -len(p[1].data))


def _tflite_weight(model: Any) -> None:
    _, buffer = _constants(model, schema.TensorType.FLOAT32, 4)[0]
    values = np.asarray(buffer.data, np.uint8).view(np.float32).copy()
    values[len(values) // 2] = 50.0
    buffer.data = values.view(np.uint8)


def _tflite_swapped(model: Any) -> None:
    """The last layer's first two outputs change places."""
    for rank in (2, 1):
        for tensor, buffer in _constants(model, schema.TensorType.FLOAT32, rank):
            if tensor.shape[0] == 10:
                values = np.asarray(buffer.data, np.uint8).view(np.float32).reshape(10, -1).copy()
                values[[0, 1]] = values[[1, 0]]
                buffer.data = values.reshape(-1).view(np.uint8)


def _tflite_dropped(model: Any) -> None:
    fused = [
        o.builtinOptions for o in model.subgraphs[0].operators if hasattr(o.builtinOptions, "fusedActivationFunction")
    ]
    relu = [o for o in fused if o.fusedActivationFunction == schema.ActivationFunctionType.RELU]
    relu[1].fusedActivationFunction = schema.ActivationFunctionType.NONE


def _tflite_scale(model: Any) -> None:
    tensor, _ = _constants(model, schema.TensorType.INT8, 4)[0]
    tensor.quantization.scale = np.asarray(tensor.quantization.scale) * 3


def _initializer(graph: Any, wanted: Callable[[Any], bool]) -> tuple[Any, Any]:
    """The largest initializer that is wanted, and its values."""
    found = [(i, numpy_helper.to_array(i).copy()) for i in graph.initializer]
    return max((p for p in found if wanted(p[1])), key=lambda p: p[1].size)


def _onnx_weight(graph: Any) -> None:
    tensor, values = _initializer(graph, lambda a: a.dtype == np.float32 and a.ndim == 4)
    values.reshape(-1)[values.size // 2] = 50.0
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _onnx_swapped(graph: Any) -> None:
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if values.dtype == np.float32 and values.ndim in (1, 2) and values.shape[-1] == 10:
            values[..., [0, 1]] = values[..., [1, 0]]
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _onnx_dropped(graph: Any) -> None:
    relu = [n for n in graph.node if n.op_type == "Relu"][1]
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == relu.output[0]:
                node.input[i] = relu.input[0]
    graph.node.remove(relu)


def _onnx_scale(graph: Any) -> None:
    weights = {i.name for i in graph.initializer if numpy_helper.to_array(i).dtype == np.int8}
    scales = {n.input[1] for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in weights}
    found = [(i, numpy_helper.to_array(i).copy()) for i in graph.initializer if i.name in scales]
    tensor, values = max(found, key=lambda p: p[1].size)
    tensor.CopyFrom(numpy_helper.from_array(values * np.float32(3), tensor.name))


def _offsets(model: dict[str, Any]) -> list[tuple[dict[str, Any], int, int]]:
    """Weights of a TF.js model with their place in the shard: (entry, first byte, number of values)."""
    size = {"float32": 4, "int32": 4, "uint8": 1, "uint16": 2, "float16": 2, "bool": 1}
    found, start = [], 0
    for entry in model["weightsManifest"][0]["weights"]:
        count = int(np.prod(entry["shape"]))
        found.append((entry, start, count))
        start += count * size[entry.get("quantization", entry)["dtype"]]
    return found


def _tfjs_weight(model: dict[str, Any], weights: bytearray) -> None:
    _, start, count = max((o for o in _offsets(model) if len(o[0]["shape"]) == 4), key=lambda o: o[2])
    at = start + count // 2 * 4
    weights[at : at + 4] = np.float32(50).tobytes()


def _tfjs_swapped(model: dict[str, Any], weights: bytearray) -> None:
    for entry, start, count in _offsets(model):
        if entry["dtype"] == "float32" and entry["shape"][-1:] == [10]:
            values = np.frombuffer(bytes(weights[start : start + count * 4]), np.float32).reshape(-1, 10).copy()
            values[:, [0, 1]] = values[:, [1, 0]]
            weights[start : start + count * 4] = values.tobytes()


def _tfjs_dropped(model: dict[str, Any], weights: bytearray) -> None:
    relu = [
        n for n in model["modelTopology"]["node"] if "UmVsdQ==" in json.dumps(n.get("attr", {}).get("fused_ops", ""))
    ]
    relu[1]["attr"]["fused_ops"]["list"]["s"].remove("UmVsdQ==")


def _tfjs_scale(model: dict[str, Any], weights: bytearray) -> None:
    entry = max((o for o in _offsets(model) if "quantization" in o[0]), key=lambda o: o[2])[0]
    entry["quantization"]["scale"] *= 3
    entry["quantization"]["min"] *= 3


#: (artifact that is damaged, what is wrong with it, how).
CASES: list[tuple[str, str, Damage]] = [
    ("tflite/float32", "one weight", _tflite(_tflite_weight)),
    ("tflite/float32", "swapped outputs", _tflite(_tflite_swapped)),
    ("tflite/float32", "a dropped layer", _tflite(_tflite_dropped)),
    ("tflite/int8", "a wrong scale", _tflite(_tflite_scale)),
    ("onnx/float32", "one weight", _onnx(_onnx_weight)),
    ("onnx/float32", "swapped outputs", _onnx(_onnx_swapped)),
    ("onnx/float32", "a dropped layer", _onnx(_onnx_dropped)),
    ("onnx/int8", "a wrong scale", _onnx(_onnx_scale)),
    ("tfjs/float32", "one weight", _tfjs(_tfjs_weight)),
    ("tfjs/float32", "swapped outputs", _tfjs(_tfjs_swapped)),
    ("tfjs/float32", "a dropped layer", _tfjs(_tfjs_dropped)),
    ("tfjs/uint8", "a wrong scale", _tfjs(_tfjs_scale)),
]
