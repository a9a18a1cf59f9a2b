"""What the TF.js writer puts on disk: model.json, shards, stored precision; and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfjs_graphs import frozen, numbers

from edgeship.errors import UnsupportedModelError
from edgeship.types import Array
from edgeship_converters.tfjs import weights
from edgeship_converters.tfjs.optimize import optimize
from edgeship_converters.tfjs.read import read
from edgeship_converters.tfjs.write import write

IMAGE = tf.TensorSpec((None, 8, 8, 3), tf.float32)
MADE_BY = {"tensorflow": "2.21.0", "edgeship": "0.1.0"}


def network(x: Any) -> dict[str, Any]:
    """Two outputs, neither in alphabetical order nor in the order of the nodes."""
    y = tf.nn.relu(tf.nn.conv2d(x, numbers(3, 3, 3, 16, seed=1), 2, "SAME") + numbers(16, seed=2))
    z = tf.nn.depthwise_conv2d(y, numbers(3, 3, 16, 1, seed=3), [1, 1, 1, 1], "SAME")
    return {"zebra": tf.nn.softmax(tf.reduce_mean(z, [1, 2])), "apple": tf.nn.tanh(y)}


def written(folder: Path, function: Callable[..., Any] = network, variant: str = "float32", **specs: Any) -> Any:
    folder.mkdir(exist_ok=True)
    files = write(optimize(read(frozen(function, **(specs or {"image": IMAGE})))), variant, folder, MADE_BY)
    assert sorted(files) == sorted(p.name for p in folder.iterdir())
    return json.loads((folder / files[0]).read_text())


def restored(folder: Path, model: Any) -> dict[str, Array]:
    """Weights as TF.js decodes them."""
    group = model["weightsManifest"][0]
    data = b"".join((folder / name).read_bytes() for name in group["paths"])
    found, position = {}, 0
    for spec in group["weights"]:
        quantization = spec.get("quantization", {"dtype": spec["dtype"]})
        count = int(np.prod(spec["shape"]))
        stored = np.frombuffer(data, np.dtype(quantization["dtype"]).newbyteorder("<"), count, position)
        position += stored.nbytes
        value = stored.astype(np.float64) * quantization.get("scale", 1) + quantization.get("min", 0)
        found[spec["name"]] = value.astype(spec["dtype"]).reshape(spec["shape"])
    assert position == len(data)
    return found


def test_model_json_is_a_graph_model_with_the_models_names(tmp_path: Path) -> None:
    model = written(tmp_path)
    assert model["format"] == "graph-model"
    assert model["generatedBy"] == "2.21.0"
    assert model["convertedBy"] == "edgeship 0.1.0"
    assert list(model["signature"]["inputs"]) == ["image"]
    assert list(model["signature"]["outputs"]) == ["zebra", "apple"]
    assert model["signature"]["inputs"]["image"] == {
        "name": "image:0",
        "dtype": "DT_FLOAT",
        "tensorShape": {"dim": [{"size": -1}, {"size": 8}, {"size": 8}, {"size": 3}]},
    }
    assert model["userDefinedMetadata"] == {"structuredOutputKeys": ["zebra", "apple"]}


def test_nodes_come_after_their_inputs_and_outputs_are_nodes(tmp_path: Path) -> None:
    model = written(tmp_path)
    seen: set[str] = set()
    for node in model["modelTopology"]["node"]:
        assert {name.partition(":")[0] for name in node.get("input", [])} <= seen
        assert node["name"] not in seen
        seen.add(node["name"])
    assert {"image", "zebra", "apple"} <= seen
    constants = [node["name"] for node in model["modelTopology"]["node"] if node["op"] == "Const"]
    assert constants == [spec["name"] for spec in model["weightsManifest"][0]["weights"]]


def test_equal_graphs_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        written(tmp_path / name)
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


def test_an_input_that_is_also_an_output(tmp_path: Path) -> None:
    model = written(tmp_path, lambda x: {"same": x, "twice": x, "sum": x + 1.0}, x=tf.TensorSpec((None, 2), tf.float32))
    nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
    assert nodes["same"]["op"] == nodes["twice"]["op"] == "Identity"
    assert nodes["sum"]["op"] == "AddV2"


def test_outputs_of_one_node_get_nodes_of_their_own(tmp_path: Path) -> None:
    def halves(x: Any) -> dict[str, Any]:
        left, right = tf.split(x, 2, axis=1)
        return {"left": left, "right": right}

    model = written(tmp_path, halves, x=tf.TensorSpec((None, 4), tf.float32))
    nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
    assert nodes["right"]["op"] == "Identity"
    assert nodes["right"]["input"][0].endswith(":1")


def test_a_constant_output(tmp_path: Path) -> None:
    model = written(
        tmp_path, lambda x: {"y": x * 2.0, "c": tf.constant([1.0, 2.0])}, x=tf.TensorSpec((None, 2), tf.float32)
    )
    assert restored(tmp_path, model)


def test_integer_inputs_are_those_of_tfjs(tmp_path: Path) -> None:
    model = written(tmp_path, lambda x: tf.cast(x, tf.float32) / 255.0, x=tf.TensorSpec((None, 4), tf.uint8))
    assert model["signature"]["inputs"]["x"]["dtype"] == "DT_INT32"
    nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
    assert nodes["x"]["attr"]["dtype"] == {"type": "DT_INT32"}


def test_float32_weights_are_exact(tmp_path: Path) -> None:
    model = written(tmp_path)
    found = restored(tmp_path, model)
    kernel = next(value for value in found.values() if value.shape == (3, 3, 3, 16))
    np.testing.assert_array_equal(kernel, numbers(3, 3, 3, 16, seed=1))


@pytest.mark.parametrize(("variant", "limit"), [("float16", 5e-4), ("uint16", 2e-5), ("uint8", 4e-3)])
def test_reduced_precision_stays_within_half_a_step(tmp_path: Path, variant: str, limit: float) -> None:
    exact = restored(tmp_path / "a", written(tmp_path / "a"))
    model = written(tmp_path / "b", variant=variant)
    reduced = restored(tmp_path / "b", model)
    assert list(exact) == list(reduced)
    for name, value in exact.items():
        assert np.abs(reduced[name] - value).max() <= limit
    sizes = {folder: sum(p.stat().st_size for p in (tmp_path / folder).glob("*.bin")) for folder in "ab"}
    assert sizes["b"] < 0.6 * sizes["a"]


def test_uint8_keeps_what_is_small_and_matters_in_16_bits(tmp_path: Path) -> None:
    entries = written(tmp_path, variant="uint8")["weightsManifest"][0]["weights"]
    stored = {tuple(w["shape"]): w["quantization"]["dtype"] for w in entries if "quantization" in w}
    assert stored == {(3, 3, 3, 16): "uint8", (16,): "uint16", (3, 3, 16, 1): "uint16"}


@pytest.mark.parametrize("levels", [255, 65535])
@pytest.mark.parametrize(
    "array",
    [
        numbers(50),
        numbers(50, low=0.5),
        numbers(50, high=-0.5),
        np.zeros(50, np.float32),
        np.full(50, 1e-30, np.float32),
    ],
    ids=["mixed", "positive", "negative", "zeros", "tiny"],
)
def test_quantization_keeps_zero_and_rounds_to_the_nearest_step(levels: int, array: Array) -> None:
    array = np.concatenate([array, np.zeros(1, np.float32)])
    stored, scale, minimum = weights.quantize(array, levels)
    restored_values = stored * scale + minimum
    assert restored_values[-1] == 0.0
    assert np.abs(restored_values - array).max() <= scale / 2 * (1 + 1e-6)
    assert stored.min() >= 0
    assert stored.max() <= levels


def test_half_precision_is_not_used_where_it_would_overflow() -> None:
    array = numbers(50, high=1e6)
    stored, quantization = weights.encode(array, "float16", precise=False)
    assert quantization is None
    np.testing.assert_array_equal(stored, array)


@pytest.mark.parametrize("variant", ["float16", "uint8", "uint16"])
def test_masks_of_infinities_stay_as_they_are(variant: str) -> None:
    mask = np.triu(np.full((6, 6), -np.inf, np.float32), 1)
    stored, quantization = weights.encode(mask, variant, precise=False)
    assert (stored.dtype, quantization) == (np.float32, None)


def test_shards_are_4_mib(tmp_path: Path) -> None:
    data = np.random.default_rng(0).bytes(weights.SHARD_BYTES * 2 + 5)
    names = weights.write_shards(data, tmp_path)
    assert names == [f"group1-shard{k}of3.bin" for k in (1, 2, 3)]
    assert [(tmp_path / n).stat().st_size for n in names] == [weights.SHARD_BYTES, weights.SHARD_BYTES, 5]
    assert b"".join((tmp_path / n).read_bytes() for n in names) == data


@pytest.mark.parametrize(
    ("function", "op"),
    [
        (lambda x: tf.reduce_sum(tf.signal.rfft(tf.reshape(x, (-1, 192))) * 0 + 1, -1), "RFFT"),
        (lambda x: tf.while_loop(lambda y: tf.reduce_sum(y) < 1, lambda y: y + 1, [x])[0], "While|LoopCond|Exit|Merge"),
        (lambda x: tf.cast(tf.where(x > 0), tf.float32), "Where"),
        (lambda x: x + tf.random.normal((8, 8, 3), seed=1), "RandomStandardNormal"),
        (tf.quantization.fake_quant_with_min_max_args, "FakeQuantWithMinMaxArgs"),
        (lambda x: tf.nn.local_response_normalization(tf.math.lgamma(x)), "Lgamma"),
        (lambda x: tf.cast(tf.cast(x, tf.uint8) + 1, tf.float32), "uint8"),
        (lambda x: tf.one_hot(tf.cast(x, tf.int32), 4, axis=1), "last axis"),
        (lambda x: tf.nn.max_pool2d(x, 2, 2, [[0, 0], [1, 1], [1, 1], [0, 0]]), "explicit padding"),
    ],
)
def test_refuses_what_tfjs_would_not_run_right(tmp_path: Path, function: Any, op: str) -> None:
    with pytest.raises(UnsupportedModelError, match=op) as caught:
        written(tmp_path, function)
    assert caught.value.remedy
    assert not list(tmp_path.iterdir())


def test_the_refusal_names_the_layer() -> None:
    with pytest.raises(UnsupportedModelError, match=r"strange_layer: TF\.js cannot run Lgamma"):
        optimize(read(frozen(lambda x: tf.math.lgamma(x, name="strange_layer") * 2, x=IMAGE)))
