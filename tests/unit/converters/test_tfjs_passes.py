"""Every rewriting pass of the TF.js writer computes what the original graph computes, and removes what it should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tfjs_graphs import frozen, numbers, ops, run

from edgeship.errors import UnsupportedModelError
from edgeship.types import Array
from edgeship_converters.tfjs.ir import Graph
from edgeship_converters.tfjs.optimize import optimize
from edgeship_converters.tfjs.read import read

IMAGE = tf.TensorSpec((None, 9, 9, 4), tf.float32)
SAMPLES = {"x": numbers(3, 9, 9, 4, seed=99, low=-2, high=2)}
ROWS = tf.TensorSpec((None, 12), tf.float32)


def optimized(function: Callable[..., Any], spec: tf.TensorSpec = IMAGE, feeds: Mapping[str, Array] = SAMPLES) -> Graph:
    """Optimize the graph of a function of `x` and check that it still computes the same."""
    given = frozen(function, x=spec)
    graph = optimize(read(given))
    expected = given.function()(tf.constant(feeds["x"]))
    for (name, found), wanted in zip(run(graph, feeds).items(), expected, strict=True):
        assert found.shape == tuple(wanted.shape), name
        np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-5, atol=1e-5)
    return graph


def conv(x: Any, out: int = 5, padding: str = "SAME", seed: int = 1, **options: Any) -> Any:
    return tf.nn.conv2d(x, numbers(3, 3, 4, out, seed=seed), options.pop("strides", 1), padding, **options)


def keras_normalization(x: Any, channels: int) -> Any:
    """As Keras 3 traces it in inference."""
    parts = [numbers(channels, seed=s, low=0.5, high=2) for s in (2, 3, 4, 5)]
    return tf.nn.batch_normalization(x, *parts, 1e-3)


def fused_normalization(x: Any, channels: int) -> Any:
    parts = [tf.constant(numbers(channels, seed=s, low=0.5, high=2)) for s in (2, 3, 4, 5)]
    return tf.raw_ops.FusedBatchNormV3(
        x=x, scale=parts[0], offset=parts[1], mean=parts[2], variance=parts[3], epsilon=1e-3, is_training=False
    ).y


@pytest.mark.parametrize("normalization", [keras_normalization, fused_normalization])
@pytest.mark.parametrize("activation", [tf.nn.relu, tf.nn.relu6, tf.nn.elu, tf.nn.sigmoid, tf.nn.leaky_relu])
def test_normalization_and_activation_fold_into_a_convolution(normalization: Any, activation: Any) -> None:
    graph = optimized(lambda x: activation(normalization(tf.nn.bias_add(conv(x), numbers(5, seed=7)), 5)))
    assert ops(graph) == {"_FusedConv2D": 1}


@pytest.mark.parametrize("normalization", [keras_normalization, fused_normalization])
def test_normalization_folds_into_a_depthwise_convolution(normalization: Any) -> None:
    kernel = numbers(3, 3, 4, 2, seed=1)
    graph = optimized(lambda x: tf.nn.relu6(normalization(tf.nn.depthwise_conv2d(x, kernel, [1, 2, 2, 1], "SAME"), 8)))
    assert ops(graph) == {"FusedDepthwiseConv2dNative": 1}


def test_leaky_relu_stays_apart_from_a_depthwise_convolution() -> None:
    """The executor of FusedDepthwiseConv2dNative does not read its slope."""
    kernel = numbers(3, 3, 4, 1, seed=1)
    graph = optimized(lambda x: tf.nn.leaky_relu(tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME"), 0.3))
    assert ops(graph) == {"DepthwiseConv2dNative": 1, "LeakyRelu": 1}


def test_normalization_folds_into_a_transposed_convolution() -> None:
    kernel = numbers(3, 3, 6, 4, seed=1)

    def function(x: Any) -> Any:
        up = tf.nn.conv2d_transpose(x, kernel, tf.stack([tf.shape(x)[0], 18, 18, 6]), 2)
        return tf.nn.relu(keras_normalization(tf.nn.bias_add(up, numbers(6, seed=8)), 6))

    found = ops(optimized(function))
    assert found["Conv2DBackpropInput"] == found["AddV2"] == found["Relu"] == 1
    assert "Mul" not in found


@pytest.mark.parametrize("transpose", [False, True])
def test_dense_layer_folds(transpose: bool) -> None:
    matrix = numbers(7, 12, seed=1) if transpose else numbers(12, 7, seed=1)
    graph = optimized(
        lambda x: tf.nn.elu(tf.matmul(x, matrix, transpose_b=transpose) * 2.0 - numbers(7, seed=2)),
        ROWS,
        {"x": numbers(5, 12, seed=3)},
    )
    assert ops(graph) == {"_FusedMatMul": 1}


def test_scaling_of_the_input_folds_into_the_weights() -> None:
    assert ops(optimized(lambda x: conv(x / 127.5))) == {"Conv2D": 1}


def test_an_offset_of_the_input_folds_only_without_padding() -> None:
    assert ops(optimized(lambda x: conv(x / 127.5 - 1.0, padding="VALID"))) == {"_FusedConv2D": 1}
    # With zero padding the border would be wrong: the offset stays, as one depthwise op.
    assert ops(optimized(lambda x: conv(x / 127.5 - 1.0))) == {"FusedDepthwiseConv2dNative": 1, "Conv2D": 1}


def test_zero_padding_moves_into_the_convolution() -> None:
    amounts = [[0, 0], [0, 1], [2, 1], [0, 0]]
    graph = optimized(lambda x: tf.nn.relu(conv(tf.pad(x, amounts), padding="VALID", strides=2)))
    assert ops(graph) == {"_FusedConv2D": 1}
    assert next(n for n in graph.ordered() if n.op == "_FusedConv2D").attrs["padding"] == "EXPLICIT"


@pytest.mark.parametrize(
    "pad",
    [
        lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0),
        lambda x: tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="REFLECT"),
    ],
)
def test_other_padding_stays(pad: Any) -> None:
    found = ops(optimized(lambda x: conv(pad(x), padding="VALID")))
    assert found["Conv2D"] == 1
    assert found["PadV2"] + found["MirrorPad"] == 1


def test_a_result_that_is_used_twice_is_not_folded() -> None:
    def function(x: Any) -> Any:
        y = conv(x)
        return {"a": tf.nn.relu(y * 2.0), "b": tf.nn.tanh(y)}

    assert ops(optimized(function))["Conv2D"] == 1


def test_a_result_that_is_an_output_is_not_folded() -> None:
    def function(x: Any) -> Any:
        y = conv(x)
        return {"a": y, "b": tf.nn.relu(y)}

    assert ops(optimized(function)) == {"Conv2D": 1, "Relu": 1}


def test_a_square_is_no_scale() -> None:
    def function(x: Any) -> Any:
        y = conv(x)
        return y * y

    assert ops(optimized(function)) == {"Conv2D": 1, "Mul": 1}


def test_a_constant_that_is_not_per_channel_is_not_folded() -> None:
    assert ops(optimized(lambda x: conv(x, out=9) + numbers(9, 1))) == {"Conv2D": 1, "AddV2": 1}


def test_dividing_by_a_result_is_no_scale() -> None:
    assert ops(optimized(lambda x: 2.0 / (3.0 + tf.nn.relu(conv(x)))))["RealDiv"] == 1


def test_subtracting_a_result_folds_with_its_sign() -> None:
    assert ops(optimized(lambda x: numbers(5, seed=6) - conv(x))) == {"_FusedConv2D": 1}


def test_normalization_after_an_addition_becomes_one_op() -> None:
    graph = optimized(lambda x: tf.nn.relu(keras_normalization(x + tf.nn.tanh(x), 4)))
    assert ops(graph) == {"Tanh": 1, "AddV2": 1, "FusedDepthwiseConv2dNative": 1}


@pytest.mark.parametrize(("reduce", "op"), [(tf.reduce_mean, "AvgPool"), (tf.reduce_max, "MaxPool")])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_reductions_become_pooling(reduce: Any, op: str, keepdims: bool) -> None:
    graph = optimized(lambda x: reduce(tf.nn.tanh(x), [1, 2], keepdims=keepdims))
    assert ops(graph) == Counter({"Tanh": 1, op: 1} if keepdims else {"Tanh": 1, op: 1, "Reshape": 1})


def test_pooling_of_one_pixel_is_no_op() -> None:
    spec = tf.TensorSpec((None, 1, 1, 4), tf.float32)
    graph = optimized(lambda x: tf.reduce_mean(x, [1, 2]), spec, {"x": numbers(2, 1, 1, 4)})
    assert ops(graph) == {"Reshape": 1}


def test_flatten_and_dense_layers_become_convolutions() -> None:
    def function(x: Any) -> Any:
        flat = tf.reshape(tf.nn.tanh(x), tf.stack([tf.shape(x)[0], 9 * 9 * 4]))
        hidden = tf.nn.relu(tf.nn.bias_add(tf.matmul(flat, numbers(324, 6, seed=1)), numbers(6, seed=2)))
        return tf.nn.softmax(tf.matmul(hidden, numbers(6, 3, seed=3)))

    assert ops(optimized(function)) == {"Tanh": 1, "_FusedConv2D": 1, "Conv2D": 1, "Reshape": 1, "Softmax": 1}


def test_a_dense_layer_on_a_sequence_becomes_one_matrix_product() -> None:
    spec = tf.TensorSpec((None, 5, 6), tf.float32)
    graph = optimized(
        lambda x: tf.nn.relu(tf.matmul(x, numbers(6, 3, seed=1)) + numbers(3, seed=2)), spec, {"x": numbers(2, 5, 6)}
    )
    assert ops(graph) == {"Reshape": 2, "_FusedMatMul": 1}


def test_one_dimensional_convolutions_lose_their_reshapes() -> None:
    def function(x: Any) -> Any:
        for seed in (1, 2):
            x = tf.nn.relu(tf.nn.bias_add(tf.nn.conv1d(x, numbers(3, 4, 4, seed=seed), 1, "SAME"), numbers(4, seed=9)))
        return x

    graph = optimized(function, tf.TensorSpec((None, 10, 4), tf.float32), {"x": numbers(2, 10, 4)})
    assert ops(graph) == {"Reshape": 2, "_FusedConv2D": 2}


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("rate", [2, 3])
def test_a_dilated_convolution_is_one_op(padding: str, rate: int) -> None:
    kernel = numbers(3, 3, 4, 5, seed=1)
    graph = optimized(lambda x: tf.nn.relu(tf.nn.convolution(x, kernel, 1, padding, dilations=rate)))
    assert ops(graph) == {"_FusedConv2D": 1}


def spread_convolution(x: Any) -> Any:
    """A dilated convolution as older TensorFlow writes it."""
    spread = tf.space_to_batch(x, [2, 2], [[2, 3], [2, 3]])
    return tf.batch_to_space(conv(spread, padding="VALID"), [2, 2], [[0, 1], [0, 1]])


def test_a_dilated_convolution_in_three_ops_becomes_one() -> None:
    assert ops(optimized(spread_convolution)) == {"Conv2D": 1}


@pytest.mark.parametrize(
    ("groups", "found"), [(2, {"Split": 1, "Conv2D": 2, "ConcatV2": 1}), (4, {"DepthwiseConv2dNative": 1})]
)
def test_a_convolution_in_groups_is_taken_apart(groups: int, found: dict[str, int]) -> None:
    kernel = numbers(3, 3, 4 // groups, 8, seed=1)
    given = frozen(lambda x: tf.nn.conv2d(x, kernel, 1, "SAME"), x=IMAGE)
    graph = optimize(read(given))
    x = SAMPLES["x"]
    parts = zip(np.split(x, groups, -1), np.split(kernel, groups, -1), strict=True)
    wanted = np.concatenate([tf.nn.conv2d(a, b, 1, "SAME").numpy() for a, b in parts], -1)
    np.testing.assert_allclose(run(graph, SAMPLES)["out"], wanted, rtol=1e-5, atol=1e-5)
    assert ops(graph) == found


@pytest.mark.parametrize(
    ("equation", "other"),
    [("abc,cd->abd", (6, 3)), ("abc,cde->abde", (6, 2, 3)), ("abc,dc->adb", (3, 6)), ("bc,cd->bd", (6, 3))],
)
def test_einsum_with_a_constant_becomes_a_matrix_product(equation: str, other: tuple[int, ...]) -> None:
    shape = (5, 6) if equation.startswith("abc") else (6,)
    spec = tf.TensorSpec((None, *shape), tf.float32)
    graph = optimized(lambda x: tf.einsum(equation, x, numbers(*other, seed=1)), spec, {"x": numbers(3, *shape)})
    assert "Einsum" not in ops(graph)


@pytest.mark.parametrize("equation", ["aecd,abcd->acbe", "acbe,aecd->abcd", "abcd,abed->abce"])
def test_einsum_of_attention_becomes_a_batched_product(equation: str) -> None:
    """Both operands are the input: two axes are alike, so that both equations fit."""
    spec = tf.TensorSpec((None, 4, 4, 4), tf.float32)
    graph = optimized(lambda x: tf.einsum(equation, x, tf.nn.tanh(x)), spec, {"x": numbers(2, 4, 4, 4)})
    assert ops(graph)["BatchMatMulV2"] == 1
    assert "Einsum" not in ops(graph)


@pytest.mark.parametrize("function", [tf.nn.softsign, tf.math.erfc, tf.math.rint])
def test_missing_activations_are_written_with_others(function: Any) -> None:
    optimized(lambda x: function(x * 3.0))


@pytest.mark.parametrize("size", [1, 5])
def test_prelu_as_keras_writes_it_is_fused(size: int) -> None:
    alpha = numbers(size, seed=4)

    def function(x: Any) -> Any:
        y = conv(x) + numbers(5, seed=3)
        return tf.nn.relu(y) - alpha * tf.nn.relu(-y)

    def keras_function(x: Any) -> Any:
        y = conv(x) + numbers(5, seed=3)
        return tf.nn.relu(y) + -alpha * tf.nn.relu(-y)

    assert ops(optimized(keras_function)) == {"_FusedConv2D": 1}
    optimized(function)


def test_two_activations_of_different_tensors_are_no_prelu() -> None:
    assert "Prelu" not in ops(optimized(lambda x: tf.nn.relu(tf.tanh(x)) + 2.0 * tf.nn.relu(-tf.sin(x))))


def test_what_does_not_depend_on_the_input_is_computed_once() -> None:
    graph = optimized(lambda x: conv(x) * tf.math.rsqrt(tf.constant(numbers(5, low=1, high=2)) + 1e-3))
    assert ops(graph) == {"Conv2D": 1}


def test_large_results_of_small_constants_are_not_stored() -> None:
    graph = optimized(lambda x: tf.concat([x, tf.zeros((3, 9, 9, 40))], -1))
    assert ops(graph)["Fill"] == 1
    assert sum(array.size for array in graph.constants.values()) < 100


def test_identities_and_neutral_ops_disappear() -> None:
    def function(x: Any) -> Any:
        x = tf.stop_gradient(tf.identity(x)) + 0.0
        x = tf.transpose(tf.reshape(tf.reshape(x * 1.0, (-1, 81, 4)), (-1, 9, 9, 4)), (0, 1, 2, 3))
        return tf.nn.tanh(tf.pad(tf.cast(x, tf.float32), [[0, 0]] * 4))

    assert ops(optimized(function)) == {"Tanh": 1}


def test_dead_weights_are_dropped() -> None:
    def function(x: Any) -> Any:
        conv(x, seed=5)
        return conv(x, seed=6)

    assert len(optimized(function).constants) == 1


def test_equal_constants_are_stored_once() -> None:
    graph = optimized(lambda x: conv(tf.nn.tanh(conv(x, out=4)), out=4))
    assert sum(array.ndim == 4 for array in graph.constants.values()) == 1


def test_integers_become_32_bit() -> None:
    graph = optimized(lambda x: tf.gather(x, tf.constant([2, 0], tf.int64), axis=3))
    assert {array.dtype.name for array in graph.constants.values()} == {"int32"}


def test_integers_beyond_32_bits_are_refused() -> None:
    spec = tf.TensorSpec((None, 2), tf.int64)
    with pytest.raises(UnsupportedModelError, match="beyond 32 bits"):
        optimize(read(frozen(lambda x: x + tf.constant([2**40], tf.int64), x=spec)))


def test_a_far_slice_bound_means_the_end() -> None:
    spec = tf.TensorSpec((None, 9), tf.float32)

    def function(x: Any) -> Any:
        limits = tf.unstack(tf.constant([[0, 2], [0, 2**40], [1, 1]], tf.int64))
        return tf.raw_ops.StridedSlice(
            input=x, begin=limits[0], end=limits[1], strides=limits[2], begin_mask=1, end_mask=1
        )

    graph = optimize(read(frozen(function, x=spec)))
    assert max(array.max() for array in graph.constants.values()) == 2**31 - 1
    x = numbers(2, 9)
    np.testing.assert_array_equal(run(graph, {"x": x})["out"], x[:, 2:])
