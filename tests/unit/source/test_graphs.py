"""SavedModels that would do more than compute are refused before they are loaded; real ones are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeship.errors import SourceError, UnsafeModelError
from edgeship.source import graphs, inspect
from edgeship.source.graphs import check_saved_model


def saved(folder: Path, function: Callable[[Any], Any]) -> Path:
    """A SavedModel whose signature computes `function` of a (None, 2) tensor, in a library function as Keras's."""
    import tensorflow as tf

    module = tf.Module()
    module.call = tf.function(function, input_signature=[tf.TensorSpec((None, 2), tf.float32)])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.call})
    return folder


def edited(folder: Path, edit: Callable[[Any], None]) -> Path:
    """Change the first meta graph of a SavedModel."""
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel()
    message.ParseFromString((folder / "saved_model.pb").read_bytes())
    edit(message.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())
    return folder


def attacks(target: Path) -> dict[str, Callable[[Any], Any]]:
    import tensorflow as tf

    raw, name = tf.raw_ops, str(target)
    tensors: Any = {"tensor_names": ["x"], "shape_and_slices": [""]}
    columns: Any = {"output_types": [tf.int32], "output_shapes": [[]]}

    def after(effect: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def call(x: Any) -> Any:
            made = effect(x)
            with tf.control_dependencies([made] if made is not None else []):
                return tf.identity(x)

        return call

    return {
        "EagerPyFunc": lambda x: tf.py_function(lambda v: v, [x], tf.float32),
        "SaveV2": after(lambda x: raw.SaveV2(prefix=name, tensors=[x], **tensors)),
        "ImmutableConst": lambda x: x + raw.ImmutableConst(dtype=tf.float32, shape=[2], memory_region_name=name),
        "WriteFile": after(lambda x: raw.WriteFile(filename=name, contents=tf.strings.as_string(x[0, 0]))),
        "RestoreV2": lambda x: x + raw.RestoreV2(prefix=name, dtypes=[tf.float32], **tensors)[0],
        "MergeV2Checkpoints": after(
            lambda _: raw.MergeV2Checkpoints(checkpoint_prefixes=[name], destination_prefix=name)
        ),
        "PrintV2": after(lambda _: raw.PrintV2(input="text", output_stream=f"file://{name}")),
        "TextLineDataset": after(lambda _: raw.TextLineDataset(filenames=name, compression_type="", buffer_size=0)),
        "DebugIdentityV2": lambda x: raw.DebugIdentityV2(input=x, debug_urls=[f"file://{name}"]),
        "SqlDataset": after(
            lambda _: raw.SqlDataset(driver_name="sqlite", data_source_name=name, query="select 1", **columns)
        ),
        "DecodeProtoV2": after(
            lambda x: (
                raw.DecodeProtoV2(
                    bytes=tf.strings.as_string(x[:, 0]),
                    message_type="m",
                    field_names=["f"],
                    output_types=[tf.int32],
                    descriptor_source=name,
                ).sizes
            )
        ),
    }


@pytest.mark.parametrize(
    "op",
    [
        "EagerPyFunc",
        "SaveV2",
        "ImmutableConst",
        "WriteFile",
        "RestoreV2",
        "MergeV2Checkpoints",
        "PrintV2",
        "TextLineDataset",
        "DebugIdentityV2",
        "SqlDataset",
        "DecodeProtoV2",
    ],
)
def test_a_graph_that_does_more_than_compute_is_refused(tmp_path: Path, op: str) -> None:
    target = tmp_path / "target"
    folder = saved(tmp_path / "model", attacks(target)[op])
    with pytest.raises(UnsafeModelError, match=rf"the graph holds the op {op} \(.+\)") as caught:
        inspect(folder)
    assert "--allow-unsafe" in caught.value.remedy
    assert list(tmp_path.iterdir()) == [folder]
    check_saved_model(folder, allow_unsafe=True)


def test_a_table_that_is_filled_from_a_file_while_loading_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    (tmp_path / "words.txt").write_text("a\t1\nb\t2\n")
    initializer = tf.lookup.TextFileInitializer(str(tmp_path / "words.txt"), tf.string, 0, tf.int64, 1, delimiter="\t")
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(initializer, -1)
    module.call = tf.function(module.table.lookup, input_signature=[tf.TensorSpec((None,), tf.string)])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"serving_default": module.call})
    with pytest.raises(UnsafeModelError, match="InitializeTableFromTextFileV2"):
        check_saved_model(tmp_path / "model", allow_unsafe=False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a variable, a table in memory, a loop, a branch, text and what is printed and asserted."""
    import tensorflow as tf

    module = tf.Module()
    module.weight = tf.Variable([1.0, 2.0])
    words = tf.lookup.KeyValueTensorInitializer(tf.constant(["1", "2"]), tf.constant([1.0, 2.0]))
    module.table = tf.lookup.StaticHashTable(words, 0.5)

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32)])
    def call(x: Any) -> Any:
        tf.debugging.assert_all_finite(x, "finite")
        tf.print("called")
        for _ in tf.range(3):
            x = x * module.weight
        x = tf.cond(tf.reduce_sum(x) > 0.0, lambda: x, lambda: -x)
        return x + module.table.lookup(tf.strings.as_string(tf.cast(x, tf.int32))) + tf.random.uniform((1, 2)) * 0.0

    module.call = call
    folder = tmp_path_factory.mktemp("plain") / "model"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": call})
    return folder


def test_models_that_compute_pass_with_the_saver_that_they_come_with(plain: Path) -> None:
    import tensorflow as tf

    assert b"SaveV2" in (plain / "saved_model.pb").read_bytes()
    check_saved_model(plain, allow_unsafe=False)
    result = tf.saved_model.load(str(plain)).signatures["serving_default"](tf.constant([[1.0, 1.0]]))
    assert np.allclose(next(iter(result.values())), [[2.0, 8.5]])


def test_models_of_keras_pass(tmp_path: Path) -> None:
    import keras
    import tf_keras

    x = keras.Input((6, 4))
    y = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))(keras.layers.Dropout(0.5)(x))
    model = keras.Model(x, keras.layers.GRU(2)(keras.layers.MultiHeadAttention(2, 3)(y, y)))
    model.export(tmp_path / "three", verbose=False)
    check_saved_model(tmp_path / "three", allow_unsafe=False)
    old = tf_keras.Sequential([tf_keras.Input((8, 8, 3)), tf_keras.layers.RandomFlip(), tf_keras.layers.Conv2D(2, 3)])
    old.save(tmp_path / "two", save_format="tf")
    check_saved_model(tmp_path / "two", allow_unsafe=False)


def saver_function(meta_graph: Any, name: str) -> Any:
    return next(f for f in meta_graph.graph_def.library.function if name in f.signature.name)


def reached_by_the_signature(meta_graph: Any) -> None:
    """The function that saves is called by the one that serves."""
    name = saver_function(meta_graph, "traced_save").signature.name
    node = saver_function(meta_graph, "signature_wrapper").node_def.add(name="more", op="StatefulPartitionedCall")
    node.attr["f"].func.name = name


def called_as_an_operation(meta_graph: Any) -> None:
    name = saver_function(meta_graph, "traced_save").signature.name
    saver_function(meta_graph, "signature_wrapper").node_def.add(name="more", op=name)


def named_by_an_object(meta_graph: Any) -> None:
    meta_graph.object_graph_def.concrete_functions[
        saver_function(meta_graph, "traced_save").signature.name
    ].SetInParent()


def swapped_in(meta_graph: Any) -> None:
    saver_function(meta_graph, "traced_save").attr["api_implements"].s = b"lstm"


def as_a_gradient(meta_graph: Any) -> None:
    gradient = meta_graph.graph_def.library.gradient.add()
    gradient.function_name = saver_function(meta_graph, "signature_wrapper").signature.name
    gradient.gradient_func = saver_function(meta_graph, "traced_save").signature.name


def while_restoring(meta_graph: Any) -> None:
    node = next(n for n in meta_graph.graph_def.node if n.name == meta_graph.saver_def.restore_op_name.split(":")[0])
    node.input.append("^" + meta_graph.saver_def.save_tensor_name.split(":")[0])


def as_an_initializer(meta_graph: Any) -> None:
    name = meta_graph.saver_def.save_tensor_name.split(":")[0]
    meta_graph.collection_def["saved_model_main_op"].node_list.value.append(name)


def behind_a_signature(meta_graph: Any) -> None:
    name = meta_graph.saver_def.save_tensor_name
    meta_graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].name = name


@pytest.mark.parametrize(
    "edit",
    [
        reached_by_the_signature,
        called_as_an_operation,
        named_by_an_object,
        swapped_in,
        as_a_gradient,
        while_restoring,
        as_an_initializer,
        behind_a_signature,
    ],
)
def test_what_saves_may_not_be_reached_otherwise(plain: Path, tmp_path: Path, edit: Callable[[Any], None]) -> None:
    (tmp_path / "saved_model.pb").write_bytes((plain / "saved_model.pb").read_bytes())
    with pytest.raises(UnsafeModelError, match=r"the op (SaveV2|ShardedFilename|MergeV2Checkpoints)"):
        check_saved_model(edited(tmp_path, edit), allow_unsafe=False)


def test_a_model_of_tensorflow_1_passes(tmp_path: Path) -> None:
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 2), "x")
        weight = v1.get_variable("w", initializer=[[1.0], [2.0]], use_resource=False)
        y = tf.matmul(x, weight)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "v1"), {"x": x}, {"y": y})
    assert b"SaveV2" in (tmp_path / "v1" / "saved_model.pb").read_bytes()
    source = inspect(tmp_path / "v1")
    assert [spec.name for spec in source.outputs] == ["y"]


def test_real_saved_models_pass(shared_data: Path) -> None:
    found = [file.parent for file in shared_data.rglob("saved_model.pb")]
    assert len(found) >= 8
    for folder in found:
        check_saved_model(folder, allow_unsafe=False)


def test_a_damaged_saved_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(SourceError, match=r"saved_model\.pb is damaged"):
        check_saved_model(tmp_path, allow_unsafe=False)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(SourceError, match=r"saved_model\.pb holds no graph"):
        check_saved_model(tmp_path, allow_unsafe=False)


def test_the_list_names_operations_that_exist_and_none_that_reach_out() -> None:
    from tensorflow.core.framework import op_def_pb2
    from tensorflow.python.client import pywrap_tf_session

    registry = op_def_pb2.OpList()
    registry.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    assert {op.name for op in registry.op} >= graphs.ALLOWED
    words = "File Dataset Iterator PyFunc Save Restore Summary Reader Rpc Remote Proto Debug Send Recv Queue Xla"
    reaching = [op for op in graphs.ALLOWED if any(word in op for word in words.split())]
    assert sorted(reaching) == ["XlaDynamicSlice", "XlaDynamicUpdateSlice"]  # which Keras's slice_update is made of
