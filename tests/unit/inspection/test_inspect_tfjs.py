"""Looking into TF.js models: graph models, layers models, from the file alone."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship.errors import ArtifactError
from edgeship.inspection.tfjs import open_tfjs

KERNEL = np.random.default_rng(2).integers(0, 256, (3, 3, 2, 4)).astype(np.uint8)


def weight(name: str, shape: list[int], dtype: str = "float32", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": shape, "dtype": dtype, **more}


def node(name: str, op: str, *inputs: str, **attrs: Any) -> dict[str, Any]:
    return {"name": name, "op": op, "input": list(inputs), "attr": attrs}


def integers(*values: int) -> dict[str, Any]:
    return {"list": {"i": [str(value) for value in values]}}


def graph_model(folder: Path) -> dict[str, Any]:
    """A convolution with 8-bit weights, flattened as Keras writes it (by the shape while running), a dense layer."""
    parts: list[tuple[dict[str, Any], np.ndarray]] = [
        (weight("kernel", [3, 3, 2, 4], quantization={"dtype": "uint8", "scale": 0.1, "min": -5.0}), KERNEL),
        (weight("dense", [100, 5]), np.ones((100, 5), np.float32)),
        (weight("begin", [1], "int32"), np.array([0], np.int32)),
        (weight("end", [1], "int32"), np.array([1], np.int32)),
        (weight("rest", [], "int32"), np.array(-1, np.int32)),
    ]
    nodes = [
        node(
            "x", "Placeholder", shape={"shape": {"dim": [{"size": "-1"}, {"size": "5"}, {"size": "5"}, {"size": "2"}]}}
        ),
        *(node(entry["name"], "Const") for entry, _ in parts),
        node("conv", "Conv2D", "x", "kernel", strides=integers(1, 1, 1, 1), padding={"s": "U0FNRQ=="}),
        node("shape", "Shape", "conv"),
        node("batch", "StridedSlice", "shape", "begin", "end", "end", shrink_axis_mask={"i": "1"}),
        node("sizes", "Pack", "batch", "rest"),
        node("flat", "Reshape", "conv", "sizes", "^x"),
        node("y", "MatMul", "flat:0", "dense"),
    ]
    (folder / "weights.bin").write_bytes(b"".join(array.tobytes() for _, array in parts))
    return {
        "format": "graph-model",
        "convertedBy": "somebody",
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": ["weights.bin"], "weights": [entry for entry, _ in parts]}],
        "userDefinedMetadata": {"labels": ["a", "b"], "scale": 0.5},
    }


def write(folder: Path, data: Any) -> Path:
    (folder / "model.json").write_text(json.dumps(data))
    return folder / "model.json"


def test_shapes_and_macs_follow_from_the_file(tmp_path: Path) -> None:
    opened = open_tfjs(write(tmp_path, graph_model(tmp_path)))
    found = opened.description
    by_name = {op.name: op for op in found.ops}
    flat = found.tensor("flat")
    assert flat is not None
    assert flat.shape == (None, 100)
    assert (by_name["conv"].macs, by_name["conv"].layout) == (72 * 25, "HWIO")
    assert (by_name["y"].macs, by_name["y"].kind) == (500, "dense")
    assert by_name["conv"].options == {"padding": "SAME", "strides": [1, 1, 1, 1]}
    assert (found.parameters, found.macs) == (72 + 500, 2300)
    assert [(spec.name, spec.shape) for spec in found.outputs] == [("y", (None, 5))]
    assert found.labels == ("a", "b")
    assert found.metadata["scale"] == "0.5"
    # TF.js: real = scale * stored + min
    np.testing.assert_allclose(opened.values("kernel"), KERNEL * 0.1 - 5.0, atol=1e-9)


def test_a_loop_of_nodes_ends(tmp_path: Path) -> None:
    data = graph_model(tmp_path)
    data["modelTopology"]["node"] += [node("p", "AddV2", "q", "x"), node("q", "AddV2", "p", "x")]
    found = open_tfjs(write(tmp_path, data)).description
    assert {"p", "q"} <= {op.name for op in found.ops}


def test_layers_models(tmp_path: Path) -> None:
    layers = [
        {"class_name": "Dense", "config": {"name": "one", "units": 3, "batch_input_shape": [None, 4]}},
        {"class_name": "Dense", "config": {"name": "two", "units": 2, "activation": "softmax"}},
    ]
    weights = [weight("one/kernel", [4, 3]), weight("one/bias", [3]), weight("two/kernel", [3, 2])]
    (tmp_path / "weights.bin").write_bytes(bytes(4 * 21))
    topology = {"model_config": {"class_name": "Sequential", "config": {"layers": layers}}}
    manifest = [{"paths": ["weights.bin"], "weights": weights}]
    data = {"format": "layers-model", "modelTopology": topology, "weightsManifest": manifest}
    found = open_tfjs(write(tmp_path, data)).description
    assert [(op.name, op.kernel, op.parameters) for op in found.ops] == [
        ("one", "one/kernel", 15),
        ("two", "two/kernel", 6),
    ]
    assert found.ops[1].inputs[0] == "one"
    assert found.inputs[0].shape == (None, 4)
    assert (found.macs, found.uncounted) == (None, ("Dense",))  # the file says no shapes
    assert found.facts["kind"] == "layers model"


@pytest.mark.parametrize(
    "change",
    [
        {"weightsManifest": [{"paths": ["weights.bin"], "weights": [weight("kernel", [10**6, 10**6])]}]},
        {"weightsManifest": [{"paths": ["weights.bin"], "weights": [weight("kernel", [-1])]}]},
        {"weightsManifest": [{"paths": ["../../etc/passwd"], "weights": []}]},
        {"weightsManifest": 5},
        {"modelTopology": {}},
        {"modelTopology": {"node": [{"op": "Conv2D"}]}},
    ],
)
def test_a_broken_model_json_is_an_error(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(ArtifactError):
        open_tfjs(write(tmp_path, {**graph_model(tmp_path), **change}))


def test_mutated_model_json_is_an_error_or_a_description(tmp_path: Path) -> None:
    content, draw, refused = write(tmp_path, graph_model(tmp_path)).read_bytes(), random.Random(4), 0
    for _ in range(200):
        changed = bytearray(content)
        changed[draw.randrange(len(changed))] = draw.choice(b'0129-"[]{}:,ax')
        (tmp_path / "model.json").write_bytes(changed)
        try:
            open_tfjs(tmp_path / "model.json").description.to_json()
        except ArtifactError:
            refused += 1
    assert 20 < refused < 190


def test_the_reference_model(shared_data: Path) -> None:
    found = open_tfjs(shared_data / "tfjs_reference" / "mnist_cnn" / "tfjs_model" / "model.json").description
    # 5 x 5 x 1 x 8 at 24 x 24 places, 5 x 5 x 8 x 16 at 8 x 8, 256 x 128 and 128 x 10.
    assert (found.parameters, found.macs) == (37_610, 200 * 576 + 3200 * 64 + 256 * 128 + 1280)
