"""ONNX files: what is read and refused, and TensorFlow's outputs against ONNX Runtime's and ONNX's own test cases."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx_files
import pytest
from source_models import run

from edgeship import source
from edgeship.errors import SourceError, UnsupportedModelError
from edgeship.types import TensorSpec

#: Test cases of ONNX for operators that have a rule, by the beginning of their names, that are refused; every other one
#: must agree. What the runtimes of exported files lack anyway: training, text, sequences, types of 4 and 8 bits.
REFUSED = (
    "averagepool_3d_dilations_large",  # strides and dilations together
    "batchnorm_epsilon_training",
    "batchnorm_example_training",
    "convtranspose_3d",
    "dropout_default_mask",
    "equal_string",
    "gru_batchwise",
    "lstm_batchwise",
    "lstm_with_peepholes",
    "maxpool_3d_dilations_use_ref_impl_large",
    "maxpool_with_argmax",
    "not_",  # of operator set 1
    "reduce_max_bool",
    "reduce_max_empty_set_bool",
    "reduce_min_bool",
    "resize_downsample_scales_cubic_A_n0p5_exclude_outside",
    "resize_downsample_scales_cubic_antialias",
    "resize_downsample_scales_linear_antialias",
    "resize_downsample_sizes_cubic_antialias",
    "resize_downsample_sizes_linear_antialias",
    "resize_downsample_sizes_nearest_not",
    "resize_tf_crop_and_resize",
    "resize_upsample_scales_cubic_A_n0p5_exclude_outside",
    "resize_upsample_sizes_nearest_not",
    "scatternd_add",
    "scatternd_max",
    "scatternd_min",
    "scatternd_multiply",
    "simple_rnn_batchwise",
    "training_dropout",
    "wrap_pad",
)
#: Not compared: types that NumPy lacks, sequences, half precision of an operator that TensorFlow has no kernel for, and
#: corners aligned over a fraction of a pixel, where ONNX Runtime, our reference, differs from the case too.
ASIDE = (
    "cast_",
    "castlike_",
    "identity_opt",
    "identity_sequence",
    "mod_mixed_sign_float16",
    "resize_downsample_scales_cubic_align_corners",
    "resize_downsample_scales_linear_align_corners",
)


@functools.cache
def cases() -> list[Any]:
    """ONNX's own test cases (`onnx.backend.test`) of operators that we compute."""
    from onnx.backend.test.case.node import collect_testcases

    from edgeship.source.onnx.rules import RULES

    found = [c for c in collect_testcases(None) if c.model is not None]
    return [c for c in found if {node.op_type for node in c.model.graph.node} <= set(RULES)]


def agree(case: Any) -> None:
    """Compute a case with its first input fed and the others (axes, shapes, weights) known; compare."""
    import onnx
    import tensorflow as tf

    from edgeship.source.onnx.graph import Computation

    for inputs, outputs in case.data_sets:
        model = onnx.ModelProto()
        model.CopyFrom(case.model)
        for value, array in list(zip(model.graph.input, inputs, strict=False))[1:]:
            model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), value.name))
        fed = [tf.constant(array) for array in inputs[:1]]
        found = tf.function(Computation(model).call, autograph=False)(*fed)
        for result, wanted in zip(found, map(np.asarray, outputs), strict=True):
            assert result.shape == wanted.shape, case.name
            pair = [np.asarray(result), wanted]
            if wanted.dtype.kind in "fV":
                pair = [array.astype(np.float64) for array in pair]
            np.testing.assert_allclose(*pair, rtol=1e-3, atol=1e-5, err_msg=case.name)


def check(chosen: list[Any]) -> tuple[int, int]:
    """How many cases agree, and how many are refused as they should be."""
    agreed = refused = 0
    for case in chosen:
        name = case.name.removeprefix("test_")
        if name.startswith(ASIDE):
            continue
        if name.startswith(REFUSED):
            with pytest.raises(UnsupportedModelError, match="cannot be computed in TensorFlow"):
                agree(case)
            refused += 1
        else:
            agree(case)
            agreed += 1
    return agreed, refused


@pytest.mark.filterwarnings("ignore")  # of NumPy, over what the cases are made of
def test_a_share_of_the_test_cases_of_onnx() -> None:
    agreed, _ = check(cases()[::29])
    assert agreed > 25


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of NumPy, over what the cases are made of
def test_all_test_cases_of_onnx() -> None:
    agreed, refused = check(cases())
    assert agreed > 850
    assert refused > 50


def test_a_network_as_pytorch_exports_it(tmp_path: Path) -> None:
    path = onnx_files.network(tmp_path / "net.onnx")
    found = source.inspect(path)
    assert (found.kind, found.loader, found.trainable) == ("onnx", "onnxruntime", False)
    assert found.inputs == (TensorSpec("input_1", (None, 3, 16, 16), "float32"),)
    assert found.outputs == (TensorSpec("output_473", (None, 5), "float32"),)
    x = onnx_files.RNG.random((4, 3, 16, 16)).astype("float32")
    expected = onnx_files.computed(path, x)[0]
    assert np.ptp(expected) > 0.1
    assert np.allclose(run(found, x)[0], expected, atol=1e-5)


def test_few_transpositions_are_needed(tmp_path: Path) -> None:
    import tensorflow as tf

    found = source.inspect(onnx_files.network(tmp_path / "net.onnx", 1))
    call = tf.function(source.forward(source.load(found), found), autograph=False)
    graph = call.get_concrete_function(tf.TensorSpec((1, 3, 16, 16))).graph
    assert sum(op.type == "Transpose" for op in graph.get_operations()) == 1, "one at the start; the end is of size 1"


def test_weights_in_another_file_of_the_folder(tmp_path: Path) -> None:
    import onnx

    path = onnx_files.network(tmp_path / "net.onnx")
    x = onnx_files.RNG.random((2, 3, 16, 16)).astype("float32")
    options = {"save_as_external_data": True, "location": "net.bin", "size_threshold": 100}
    onnx.save(onnx.load(path), tmp_path / "two.onnx", **options)
    found = source.inspect(tmp_path / "two.onnx")
    assert found.sha256 == source.inspect(path).sha256
    assert np.allclose(run(found, x)[0], onnx_files.computed(path, x)[0], atol=1e-5)
    assert [p.name for p in source.files_of(tmp_path / "two.onnx")] == ["two.onnx", "net.bin"]
    (tmp_path / "net.bin").write_bytes((tmp_path / "net.bin").read_bytes()[:-4])
    with pytest.raises(SourceError, match=r"net\.bin does not hold the .* bytes of"):
        source.inspect(tmp_path / "two.onnx")
    model = onnx.load(tmp_path / "two.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "../../etc/passwd" if entry.key == "location" else entry.value
    (tmp_path / "out.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(SourceError, match="is no file of its folder"):
        source.inspect(tmp_path / "out.onnx")


def test_what_cannot_be_a_source(tmp_path: Path) -> None:
    from onnx import helper

    node = helper.make_node
    scale, zero = np.float32(0.1), np.uint8(3)
    quantized = [node("QuantizeLinear", ["x", "s", "z"], ["q"]), node("DequantizeLinear", ["q", "s", "z"], ["y"])]
    ends: Any = ({"x": ["n", 4]}, {"y": ["n", 4]})
    onnx_files.write(tmp_path / "q.onnx", quantized, *ends, {"s": scale, "z": zero})
    with pytest.raises(SourceError, match=r"q\.onnx is quantized \(QuantizeLinear|q\.onnx is quantized \(Dequant"):
        source.inspect(tmp_path / "q.onnx")
    nan = onnx_files.weights(w=[1.0, np.nan, 1, 1])
    onnx_files.write(tmp_path / "nan.onnx", [node("Add", ["x", "w"], ["y"])], *ends, nan)
    with pytest.raises(SourceError, match="has NaN or infinite weights"):
        source.inspect(tmp_path / "nan.onnx")
    for content, message in ((b"no model", "is not an ONNX file|holds no ONNX graph"), (b"", "is empty")):
        (tmp_path / "m.onnx").write_bytes(content)
        with pytest.raises(SourceError, match=message):
            source.inspect(tmp_path / "m.onnx")


def test_an_operator_without_a_rule_is_named(tmp_path: Path) -> None:
    from onnx import helper

    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Det", ["r"], ["y"], "/head/Det")]
    path = onnx_files.write(tmp_path / "det.onnx", nodes, {"x": ["n", 3, 3]}, {"y": ["n"]}, {})
    found = source.inspect(path)
    with pytest.raises(UnsupportedModelError, match=r"/head/Det \(Det\) of the ONNX file cannot be computed") as caught:
        run(found, np.eye(3, dtype="float32")[None])
    assert "--to onnx" in caught.value.remedy


def test_damaged_weights_and_types_are_named(tmp_path: Path) -> None:
    import onnx

    model = onnx.load(onnx_files.network(tmp_path / "net.onnx"))
    name = model.graph.initializer[0].name
    model.graph.initializer[0].dims[:] = [7, 7, 7]
    onnx.save(model, tmp_path / "weights.onnx")
    with pytest.raises(SourceError, match=rf"weights\.onnx.*{name}"):
        source.inspect(tmp_path / "weights.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    model.graph.input[0].type.tensor_type.elem_type = -1
    onnx.save(model, tmp_path / "type.onnx")
    with pytest.raises(SourceError, match=f"{model.graph.input[0].name} is no tensor of numbers"):
        source.inspect(tmp_path / "type.onnx")


def test_damaged_files_are_typed_errors(tmp_path: Path) -> None:
    content = onnx_files.network(tmp_path / "net.onnx").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, min(len(content), 2000), 3):
            damaged[place] = rng.integers(0, 256)
        (tmp_path / "damaged.onnx").write_bytes(damaged)
        try:
            source.inspect(tmp_path / "damaged.onnx")
        except SourceError:
            refused += 1
    assert refused > 10


def _sparse(path: Path, values: list[float], places: list[int] | list[list[int]], shape: tuple[int, ...]) -> Path:
    """A product with a sparse matrix."""
    import onnx
    from onnx import helper, numpy_helper

    held = numpy_helper.from_array(np.array(values, np.float32), "w")
    indices = numpy_helper.from_array(np.array(places, np.int64), "w_places")
    ends = [helper.make_tensor_value_info(n, 1, ["batch", size]) for n, size in zip("xy", shape, strict=True)]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"], "product")],
        "sparse",
        ends[:1],
        ends[1:],
        sparse_initializer=[helper.make_sparse_tensor(held, indices, list(shape))],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("places", [[1, 5, 6], [[0, 1], [2, 1], [3, 0]]])
def test_sparse_weights_are_read_dense(tmp_path: Path, places: Any) -> None:
    from edgeship.source.onnx import read_onnx

    path = _sparse(tmp_path / "sparse.onnx", [1.0, -2.0, 3.0], places, (4, 2))
    found = source.inspect(path)
    assert found.parameters == 8
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    matrix = np.array([[0, 1], [0, 0], [0, -2], [3, 0]], np.float32)
    np.testing.assert_allclose(run(found, x)[0], x @ matrix, rtol=1e-6)
    model = read_onnx(path)
    assert not model.graph.sparse_initializer
    assert [tensor.name for tensor in model.graph.initializer] == ["w"]


def test_sparse_weights_are_checked(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="NaN"):
        source.inspect(_sparse(tmp_path / "nan.onnx", [1.0, float("nan")], [1, 5], (4, 2)))
    with pytest.raises(SourceError, match="w unpacks to 4,000,000,000,000 bytes"):
        source.inspect(_sparse(tmp_path / "large.onnx", [1.0], [5], (1_000_000, 1_000_000)))
    with pytest.raises(SourceError, match="no valid ONNX model"):
        source.inspect(_sparse(tmp_path / "outside.onnx", [1.0], [8], (4, 2)))
