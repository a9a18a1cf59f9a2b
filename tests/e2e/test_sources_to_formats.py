"""Every kind of source in every format that can hold it, verified against the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import edgeship
from edgeship import plugins
from edgeship.matrix import matrix
from edgeship.source.kinds import KINDS

#: A network of two outputs, small and with everything that layouts could confuse.
_MAKE = """
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import tensorflow as tf
import tf_keras
from onnx import TensorProto, helper, numpy_helper
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

folder = Path(sys.argv[1])
tf_keras.utils.set_random_seed(0)
layers = tf_keras.layers
image = layers.Input((9, 7, 2), name="image")
x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu", name="conv")(image)
x = layers.Flatten(name="flat")(x)
net = tf_keras.Model(image, [layers.Dense(3, activation="softmax", name="kind")(x), layers.Dense(2, name="place")(x)])

spec = tf.TensorSpec((None, 9, 7, 2), tf.float32, name="image")
function = tf.function(lambda image: dict(zip(("kind", "place"), net(image)))).get_concrete_function(image=spec)
other = tf.function(lambda image: {"twice": image * 2}).get_concrete_function(image=spec)
tf.saved_model.save(net, str(folder / "saved"), signatures={"net": function, "other": other})
graph = convert_variables_to_constants_v2(function)
(folder / "graph.pb").write_bytes(graph.graph.as_graph_def().SerializeToString())
(folder / "outputs.txt").write_text(",".join(tensor.op.name for tensor in graph.outputs))

(folder / "layers").mkdir()
weights = [w for layer in net.layers for w in layer.weights]
entries = [{"name": w.name[:-2], "shape": w.shape.as_list(), "dtype": "float32"} for w in weights]
(folder / "layers" / "w.bin").write_bytes(b"".join(w.numpy().tobytes() for w in weights))
topology = {"keras_version": "2.15.0", "model_config": json.loads(net.to_json())}
manifest = [{"paths": ["w.bin"], "weights": entries}]
model = {"format": "layers-model", "modelTopology": topology, "weightsManifest": manifest}
(folder / "layers" / "model.json").write_text(json.dumps(model))

arrays = {"k": np.transpose(net.get_layer("conv").kernel, (3, 2, 0, 1)), "b": net.get_layer("conv").bias.numpy()}
order = np.arange(5 * 4 * 6).reshape(5, 4, 6).transpose(2, 0, 1).reshape(-1)  # channels first
for name in ("kind", "place"):
    arrays[f"{name}_w"] = net.get_layer(name).kernel.numpy()[order]
    arrays[f"{name}_b"] = net.get_layer(name).bias.numpy()
node = helper.make_node
nodes = [
    node("Conv", ["image", "k", "b"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3]),
    node("Relu", ["c"], ["r"]),
    node("Flatten", ["r"], ["f"]),
    node("Gemm", ["f", "kind_w", "kind_b"], ["logits"]),
    node("Softmax", ["logits"], ["kind"]),
    node("Gemm", ["f", "place_w", "place_b"], ["place"]),
]
value = helper.make_tensor_value_info
ends = [value("kind", TensorProto.FLOAT, ["n", 3]), value("place", TensorProto.FLOAT, ["n", 2])]
held = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
graph = helper.make_graph(nodes, "net", [value("image", TensorProto.FLOAT, ["n", 2, 9, 7])], ends, held)
onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "net.onnx")

net.save(folder / "net.h5")
x = np.random.default_rng(0).random((64, 9, 7, 2)).astype("float32")
y = np.argmax(net(x)[0], axis=1)
np.savez(folder / "last.npz", x=x, y=y)
np.savez(folder / "first.npz", x=np.transpose(x, (0, 3, 1, 2)), y=y)
"""
FORMATS = [name for name in ("tflite", "onnx", "tfjs", "savedmodel") if not plugins.runtimes_for(name)[0].missing()]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("models")
    command = [sys.executable, "-c", _MAKE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


SOURCES: dict[str, tuple[str, dict[str, Any]]] = {
    "savedmodel": ("saved", {"signature": "net"}),
    "graphdef": ("graph.pb", {"signature": "outputs.txt"}),
    "tfjs": ("layers", {}),
    "onnx": ("net.onnx", {}),
    "h5": ("net.h5", {}),
}


def given(models: Path, kind: str) -> tuple[Path, dict[str, Any]]:
    name, options = SOURCES[kind]
    if kind == "graphdef":
        options = {"signature": (models / options["signature"]).read_text()}
    return models / name, options


@pytest.mark.parametrize("kind", SOURCES)
def test_every_format_computes_what_the_source_does(models: Path, kind: str, tmp_path: Path) -> None:
    path, options = given(models, kind)
    report = edgeship.convert(path, to=FORMATS, out=tmp_path / "out", **options)
    assert not report.failures
    assert {a.id: a.verification for a in report.artifacts} == {f"{name}/float32": "passed" for name in FORMATS}
    assert report.source.kind == kind
    report.raise_for_gates()
    for artifact in report.artifacts:
        assert len(artifact.outputs) == 2
        assert [spec.shape[1:] for spec in artifact.inputs] == [(2, 9, 7) if kind == "onnx" else (9, 7, 2)]


def test_an_onnx_file_is_quantized(models: Path, tmp_path: Path) -> None:
    data = str(models / "first.npz")
    report = edgeship.convert(
        models / "net.onnx",
        to=("onnx", "tflite"),
        quantize=("int8", "float16"),
        data=data,
        max_drop=50,
        out=tmp_path / "o",
    )
    assert not report.failures
    assert {a.id for a in report.artifacts} == {"onnx/int8", "onnx/float16", "tflite/int8", "tflite/float16"}
    sizes = {a.id: a.size_bytes for a in report.artifacts}
    assert sizes["tflite/int8"] < sizes["tflite/float16"]
    assert {a.verification for a in report.artifacts} <= {"passed", "inconclusive"}


def test_a_tflite_file_gives_every_format(models: Path, tmp_path: Path) -> None:
    report = edgeship.convert(models / "net.h5", to="tflite", out=tmp_path / "first")
    cells = [cell for cell in matrix().cells if cell.source == "tflite" and cell.variant == "float32"]
    assert {cell.state for cell in cells} == {"yes"}
    wanted = [cell.format for cell in cells if cell.format != "micro"]
    found = edgeship.convert(report.artifacts[0].entry, to=wanted, out=tmp_path / "second")
    assert not found.failures
    assert {(a.format, a.verification) for a in found.artifacts} == {(name, "passed") for name in wanted}


def test_the_matrix_has_a_cell_for_every_source_format_and_variant() -> None:
    from edgeship.types import VARIANTS

    found = matrix()
    assert len(found.cells) == len(KINDS) * len(plugins.names("converters")) * len(VARIANTS)
    for cell in found.cells:
        assert bool(cell.why) == (cell.state == "no")
        assert bool(cell.made) == (cell.state != "no")
        if cell.state == "yes":
            assert cell.variant in plugins.converter(cell.format).variants
            assert ("--data" in cell.needs) == (
                cell.variant not in ("float32", "float16", "dynamic", "int4", "uint8", "uint16")
            )
