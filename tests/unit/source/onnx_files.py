"""ONNX files as other exporters write them, and what ONNX Runtime computes for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

RNG = np.random.default_rng(11)


def weights(**arrays: Any) -> dict[str, Any]:
    return {name: np.asarray(a, np.float32 if np.asarray(a).dtype.kind == "f" else None) for name, a in arrays.items()}


def write(
    path: Path,
    nodes: Sequence[Any],
    inputs: Mapping[str, Any],
    outputs: Mapping[str, Any],
    held: Mapping[str, Any],
    opset: int = 17,
) -> Path:
    """A file of float32 inputs and outputs, given by their shapes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def values(shapes: Mapping[str, Any]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    tensors = [numpy_helper.from_array(array, name) for name, array in held.items()]
    graph = helper.make_graph(list(nodes), "model", values(inputs), values(outputs), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def network(path: Path, batch: Any = "batch") -> Path:
    """As PyTorch exports a small residual network: channels first, names with dots, and numbers for outputs."""
    from onnx import helper

    node = helper.make_node
    nodes = [
        node("Conv", ["input.1", "w1", "b1"], ["c1"], "/stem/Conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c1", "scale", "shift", "mean", "variance"], ["n1"], "/stem/norm"),
        node("Relu", ["n1"], ["r1"]),
        node("Conv", ["r1", "depth"], ["d1"], "/depth/Conv", group=8, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        node("Add", ["d1", "r1"], ["a1"]),
        node("MaxPool", ["a1"], ["p1"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Conv", ["p1", "w2"], ["c2"], "/body/Conv", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("HardSwish", ["c2"], ["h2"]),
        node("GlobalAveragePool", ["h2"], ["g"]),
        node("Shape", ["g"], ["s"]),
        node("Gather", ["s", "zero"], ["size"], axis=0),
        node("Unsqueeze", ["size", "axes"], ["sizes"]),
        node("Concat", ["sizes", "rest"], ["target"], axis=0),
        node("Reshape", ["g", "target"], ["flat"]),
        node("Gemm", ["flat", "fw", "fb"], ["logits"], "/head/Gemm", transB=1),
        node("Softmax", ["logits"], ["473"], axis=1),
    ]
    held = weights(
        w1=RNG.normal(0, 0.4, (8, 3, 3, 3)),
        b1=RNG.normal(0, 0.1, 8),
        scale=RNG.uniform(0.5, 2, 8),
        shift=RNG.normal(0, 0.1, 8),
        mean=RNG.normal(0, 0.1, 8),
        variance=RNG.uniform(0.5, 2, 8),
        depth=RNG.normal(0, 0.4, (8, 1, 3, 3)),
        w2=RNG.normal(0, 0.3, (16, 8, 3, 3)),
        fw=RNG.normal(0, 2, (5, 16)),
        fb=RNG.normal(0, 0.1, 5),
        zero=np.int64(0),
        axes=np.array([0]),
        rest=np.array([-1]),
    )
    return write(path, nodes, {"input.1": [batch, 3, 16, 16]}, {"473": [batch, 5]}, held)


def computed(path: Path, *arrays: Any) -> list[Any]:
    """Outputs by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return list(session.run(None, dict(zip(names, arrays, strict=True))))
