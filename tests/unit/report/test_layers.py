import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import tiny_tflite

from edgeship.errors import ArtifactError
from edgeship.report.layers import STRUCTURE, layer_bytes
from edgeship.types import Artifact, FileEntry


def artifact(folder: Path, format_name: str, *names: str) -> Artifact:
    files = tuple(FileEntry(name, "0" * 64, (folder / name).stat().st_size) for name in names)
    return Artifact(folder, format_name, "float32", files, (), (), "0" * 64)


def written(folder: Path, content: bytes) -> Artifact:
    (folder / "model.tflite").write_bytes(content)
    return artifact(folder, "tflite", "model.tflite")


def test_tflite_constants_belong_to_the_layer_that_uses_them(tmp_path):
    content = tiny_tflite.model_bytes()
    weights = tiny_tflite.WEIGHTS.nbytes + tiny_tflite.BIAS.nbytes
    assert layer_bytes(written(tmp_path, content)) == [
        ("net/hidden", weights),
        (STRUCTURE, len(content) - weights),
    ]


def test_names_that_a_converter_invented_are_not_layers(tmp_path):
    names = ("x", "tfl.pseudo_qconst", "tfl.pseudo_qconst1", "net/block/dense_3/Add;net/block/dense_3/MatMul", "p")
    (layer, _), (structure, _) = layer_bytes(written(tmp_path, tiny_tflite.model_bytes(names)))
    assert (layer, structure) == ("net/block/dense_3", STRUCTURE)


def test_nothing_but_invented_names_falls_back_to_the_operation(tmp_path):
    names = ("x", "arith.constant", "arith.constant1", "StatefulPartitionedCall:0", "p")
    assert layer_bytes(written(tmp_path, tiny_tflite.model_bytes(names)))[0][0] == "FULLY_CONNECTED 0"


def test_onnx_constants_are_followed_through_quantization(tmp_path):
    from onnx import TensorProto, helper, numpy_helper, save

    weight = numpy_helper.from_array(np.ones((4, 3), np.int8), "model/dense_7/MatMul/ReadVariableOp:0_quantized")
    scale = numpy_helper.from_array(np.array(0.5, np.float32), "s")
    nodes = [
        helper.make_node("DequantizeLinear", [weight.name, "s"], ["w"], "dq"),
        helper.make_node("MatMul", ["x", "w"], ["y"], "model/dense_7/MatMul"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [weight, scale],
    )
    save(helper.make_model(graph), str(tmp_path / "model.onnx"))
    made = artifact(tmp_path, "onnx", "model.onnx")
    sizes = dict(layer_bytes(made))
    assert sizes["model/dense_7"] >= 12
    assert sum(sizes.values()) == made.size_bytes


def tfjs(folder: Path, **changes: object) -> Artifact:
    weights = [
        {
            "name": "net/conv_1/Conv2D/weights",
            "shape": [3, 3, 1, 8],
            "dtype": "float32",
            "quantization": {"dtype": "uint8"},
        },
        {"name": "net/conv_1/bias", "shape": [8], "dtype": "float32"},
        {"name": "net/dense/MatMul/ReadVariableOp", "shape": [8, 2], "dtype": "float32", **changes},
    ]
    nodes = [
        {"name": "net/conv_1/Relu", "op": "_FusedConv2D", "input": ["x", weights[0]["name"], weights[1]["name"]]},
        {"name": "net/dense/MatMul", "op": "MatMul", "input": ["net/conv_1/Relu", f"{weights[2]['name']}:0", "^x"]},
    ]
    data = {
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": ["group1-shard1of1.bin"], "weights": weights}],
    }
    (folder / "model.json").write_text(json.dumps(data))
    (folder / "group1-shard1of1.bin").write_bytes(bytes(72 + 32 + 64))
    return artifact(folder, "tfjs", "model.json", "group1-shard1of1.bin")


def test_tfjs_weights_count_as_stored(tmp_path):
    made = tfjs(tmp_path)
    assert layer_bytes(made)[:2] == [("conv_1", 72 + 32), ("dense", 64)]
    assert sum(size for _, size in layer_bytes(made)) == made.size_bytes


@pytest.mark.parametrize(
    "changes", [{"shape": [10**9, 10**9]}, {"dtype": "string"}, {"shape": "8"}, {"shape": [-8, 2]}]
)
def test_a_manifest_that_lies_is_an_error(tmp_path, changes):
    with pytest.raises(ArtifactError):
        layer_bytes(tfjs(tmp_path, **changes))


@pytest.mark.parametrize("cut", [0, 4, 8, 20, 100, 300])
def test_truncated_files_are_errors(tmp_path, cut):
    with pytest.raises(ArtifactError, match="broken"):
        layer_bytes(written(tmp_path, tiny_tflite.model_bytes()[:cut]))


def test_any_corrupted_byte_gives_an_error_or_sizes_that_add_up(tmp_path):
    content = tiny_tflite.model_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for position in rng.permutation(len(content))[:200]:
        broken = bytearray(content)
        broken[position] ^= 0xFF
        made = written(tmp_path, bytes(broken))
        try:
            sizes = layer_bytes(made)
        except ArtifactError:
            refused += 1
        else:
            assert sum(size for _, size in sizes) == made.size_bytes
    assert 0 < refused < 200


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"{", b"[" * 100_000])
@pytest.mark.parametrize("format_name", ["onnx", "tfjs"])
def test_other_broken_files_are_errors(tmp_path, format_name, content):
    (tmp_path / "m").write_bytes(content)
    made = artifact(tmp_path, format_name, "m")
    if format_name == "onnx" and not content:
        assert layer_bytes(made) == [(STRUCTURE, 0)]  # an empty file is an empty message
        return
    with pytest.raises(ArtifactError):
        layer_bytes(made)


def test_absent_files_and_other_formats_are_errors(tmp_path):
    made = written(tmp_path, tiny_tflite.model_bytes())
    with pytest.raises(ArtifactError, match="tflite, micro, onnx, tfjs"):
        layer_bytes(replace(made, format="other"))
    (tmp_path / "model.tflite").unlink()
    with pytest.raises(ArtifactError, match="cannot read"):
        layer_bytes(made)


def test_real_models(shared_data):
    folder = shared_data / "mlperf_tiny" / "image_classification"
    sizes = dict(layer_bytes(artifact(folder, "tflite", "pretrainedResnet_quant.tflite")))
    # conv2d_7: 3 x 3 x 64 x 64 int8 kernel and 64 int32 biases.
    assert sizes["conv2d_7"] == 3 * 3 * 64 * 64 + 64 * 4
    assert sum(sizes.values()) == 98_496
