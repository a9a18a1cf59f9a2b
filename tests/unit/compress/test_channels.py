"""Which channels go together, and that a model without some computes what the old one does with them zeroed."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import zoo
from keras import layers

from edgeship.compress.channels.coupling import layer_key
from edgeship.compress.channels.groups import find
from edgeship.compress.graph.model import build, input_structure


def masked(channels, removed):
    """The old model with zeros in every kernel entry that reads a removed channel."""
    steps = []
    for step in channels.graph.steps:
        weights = [np.array(weight) for weight in step.weights]
        for group in channels.groups:
            for member in group.members:
                if member.slice.layer == layer_key(step) and member.slice.role == "takes":
                    along = np.moveaxis(weights[member.slice.where], member.slice.axis, 0)
                    along[member.places[removed[group.name]].ravel()] = 0
        steps.append(replace(step, weights=tuple(weights)))
    return build(channels.graph.with_steps(steps))


def noise(model, random):
    arrays = [random.normal(size=(3, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]
    return keras.tree.pack_sequence_as(input_structure(model), arrays)


def outputs(model, given):
    return [np.asarray(out) for out in keras.tree.flatten(model(given, training=False))]


def check_removal(model, share=0.5):
    """Remove a random share of every group; returns what was found, and the smaller model."""
    random = np.random.default_rng(1)
    channels = find(model)
    removed = {g.name: random.permutation(g.size)[: int(g.size * share)] for g in channels.groups}
    smaller = channels.without(removed)
    given = noise(model, random)
    found, wanted = outputs(smaller, given), outputs(masked(channels, removed), given)
    assert smaller.count_params() < model.count_params()
    for a, b, old in zip(found, wanted, outputs(model, given), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5)
        assert np.abs(a - old).max() > 1e-4  # the channels mattered
    return channels, smaller


def sizes(channels):
    return {group.name: group.size for group in channels.groups}


def mobilenet_se():
    """Inverted residuals with squeeze-and-excitation, as in MobileNetV3."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="stem")(image)
    x = layers.Activation("hard_silu")(layers.BatchNormalization()(x))
    for number in (1, 2):
        y = layers.Conv2D(24, 1, use_bias=False, name=f"expand{number}")(x)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(6, 1, activation="relu", name=f"squeeze{number}")(gate)
        gate = layers.Conv2D(24, 1, activation="hard_sigmoid", name=f"excite{number}")(gate)
        y = layers.Conv2D(8, 1, use_bias=False, name=f"project{number}")(layers.Multiply()([y, gate]))
        x = layers.Add()([x, layers.BatchNormalization()(y)])
    out = layers.Dense(4, activation="softmax", name="classes")(layers.GlobalAveragePooling2D()(x))
    return zoo._lively(keras.Model(image, out))


def densenet():
    """Every layer reads all before it."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="stem")(image)
    for number in (1, 2, 3):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Concatenate()([x, layers.Conv2D(4, 3, padding="same", name=f"grow{number}")(y)])
    x = layers.AveragePooling2D(2)(layers.Conv2D(10, 1, name="transition")(x))
    return zoo._lively(keras.Model(image, layers.Dense(3, name="out")(layers.Flatten()(x))))


def heads():
    """Two inputs by name, two outputs by name, one of them from the middle; a gate by (N, C) on (N, H, W, C)."""
    image, extra = keras.Input((6, 6, 2), name="image"), keras.Input((5,), name="extra")
    x = layers.PReLU(shared_axes=[1, 2])(layers.Conv2D(9, 3, name="first")(image))
    gate = layers.Dense(9, activation="sigmoid", name="gate")(layers.Dense(7, "relu", name="hidden")(extra))
    x = layers.Multiply()([x, gate])
    middle = layers.Conv2D(6, 1, name="middle")(x)
    x = layers.PReLU()(layers.Conv2D(8, 3, name="last")(middle))
    label = layers.Dense(3, activation="softmax", name="label")(layers.Flatten()(x))
    model = keras.Model({"image": image, "extra": extra}, {"label": label, "map": middle})
    return zoo._lively(model)


@pytest.mark.parametrize("name", ["two_inputs", "mobile", "unet", "signal", "autoencoder"])
def test_the_zoo(name):
    check_removal(getattr(zoo, name)())


def test_resnet8(shared_data):
    channels, smaller = check_removal(keras.saving.load_model(shared_data / "base" / "resnet8_cifar10_jpeg.keras"))
    assert sorted(sizes(channels).values()) == [16, 16, 32, 32, 64, 64]
    assert smaller.count_params() < 21_000  # a quarter of 78,666, and the batch norms


def test_a_residual_stream_is_one_group_and_gates_go_with_what_they_gate():
    channels, _ = check_removal(mobilenet_se())
    assert sizes(channels) == {
        "stem+project1+project2": 8,
        "expand1+excite1": 24,
        "squeeze1": 6,
        "expand2+excite2": 24,
        "squeeze2": 6,
    }
    assert list(channels.kept) == ["classes"]


def test_concatenations_shift():
    channels, smaller = check_removal(densenet())
    assert sizes(channels) == {"stem": 8, "grow1": 4, "grow2": 4, "grow3": 4, "transition": 10}
    assert smaller.get_layer("transition").kernel.shape == (1, 1, 4 + 3 * 2, 5)
    assert smaller.get_layer("out").kernel.shape == (4 * 4 * 5, 3)  # Flatten: all places of a channel go


def test_several_inputs_and_outputs_keep_their_names_and_structure():
    model = heads()
    random = np.random.default_rng(0)
    channels = find(model)
    assert sizes(channels) == {"first+gate": 9, "hidden": 7, "last": 8}
    assert channels.kept["middle"] == "it makes the output middle"
    removed = {group.name: np.arange(3) for group in channels.groups}
    given = {"image": random.normal(size=(2, 6, 6, 2)), "extra": random.normal(size=(2, 5))}
    found, wanted = channels.without(removed)(given), masked(channels, removed)(given)
    assert set(found) == {"label", "map"}
    for name in found:
        np.testing.assert_allclose(np.asarray(found[name]), np.asarray(wanted[name]), atol=2e-6)


def test_groups_of_a_convolution_lose_equally_many():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            layers.Conv2D(12, 1, name="before"),
            layers.Conv2D(8, 3, groups=2, name="grouped"),
            layers.Conv2D(16, 1, groups=8, name="depthwise"),
            layers.Conv2D(4, 1, name="out"),
        ]
    )
    channels, smaller = check_removal(model)
    assert sizes(channels) == {"before": 6, "grouped": 4}  # one channel in each of the two groups
    assert smaller.get_layer("grouped").groups == 2
    assert smaller.get_layer("depthwise").groups == 4


def test_dense_that_becomes_an_image():
    noise_in = keras.Input((6,))
    x = layers.Reshape((4, 4, 5))(layers.Dense(80, activation="relu", name="seed")(noise_in))
    x = layers.Conv2DTranspose(6, 3, strides=2, name="up")(x)
    channels, smaller = check_removal(keras.Model(noise_in, layers.Conv2D(1, 1, name="image")(x)))
    assert sizes(channels) == {"seed": 5, "up": 6}
    assert smaller.get_layer("seed").units == 16 * 3


def test_words_and_recurrent_layers():
    words = keras.Input((7,), dtype="int32")
    x = layers.Embedding(20, 10, name="table")(words)
    state = layers.LSTM(5, name="memory")(layers.Dense(8, activation="tanh", name="wide")(x))
    channels = find(keras.Model(words, layers.Dense(2, name="out")(state)))
    assert sizes(channels) == {"table": 10, "wide": 8}
    smaller = channels.without({"table": np.arange(4), "wide": np.arange(3)})
    given = np.arange(14).reshape(2, 7)
    wanted = masked(channels, {"table": np.arange(4), "wide": np.arange(3)})
    np.testing.assert_allclose(np.asarray(smaller(given)), np.asarray(wanted(given)), atol=2e-6)


def test_layer_normalization_normalises_over_what_stays():
    x = keras.Input((6,))
    model = keras.Model(x, layers.Dense(3, name="out")(layers.LayerNormalization()(layers.Dense(8, name="in")(x))))
    model.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in model.get_weights()])
    smaller = find(model).without({"in": np.asarray([1, 5])})
    stay = [0, 2, 3, 4, 6, 7]
    kernel, bias, gamma, beta, last, offset = model.get_weights()
    given = np.random.default_rng(1).normal(size=(4, 6)).astype("float32")
    hidden = (given @ kernel + bias)[:, stay]
    hidden = (hidden - hidden.mean(1, keepdims=True)) / np.sqrt(hidden.var(1, keepdims=True) + 1e-3)
    wanted = (hidden * gamma[stay] + beta[stay]) @ last[stay] + offset
    np.testing.assert_allclose(np.asarray(smaller(given)), wanted, atol=1e-4)


def test_what_is_not_understood_is_kept_and_named_and_the_rest_is_found():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="free")(image)
    x = layers.Conv2D(8, 3, name="normed")(x)
    x = layers.GroupNormalization(4, name="groups")(x)
    x = layers.Conv2D(8, 3, activation="softmax", name="attention")(x)
    x = layers.Conv2D(8, 1, name="also_free")(x)
    turned = layers.Permute((3, 1, 2), name="turn")(layers.Conv2D(2, 1, name="turned")(x))
    channels = find(keras.Model(image, layers.Dense(2, name="out")(layers.Flatten()(turned))))
    assert sizes(channels) == {"free": 8, "also_free": 8}
    assert channels.kept["normed"] == "it goes into groups (GroupNormalization), which is not understood"
    assert "softmax" in channels.kept["attention"] or "all channels at once" in channels.kept["attention"]
    assert channels.kept["turned"] == "it goes into turn (Permute), which moves the channels to another axis"


def test_subclasses_of_layers_are_not_taken_for_the_layers():
    class Odd(layers.Conv2D):
        def call(self, inputs):
            return super().call(inputs[..., ::-1])

    image = keras.Input((4, 4, 3))
    x = Odd(4, 1, name="odd")(layers.Conv2D(4, 1, name="before")(image))
    channels = find(keras.Model(image, layers.Conv2D(2, 1, name="out")(x)))
    assert not channels.groups
    assert "Odd" in channels.kept["before"]


def test_one_channel_that_meets_all_is_kept():
    image = keras.Input((6, 6, 3))
    x = layers.Conv2D(8, 1, name="many")(image)
    where = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="where")(x)
    channels, _ = check_removal(keras.Model(image, layers.Conv2D(2, 1, name="out")(layers.Multiply()([x, where]))))
    assert sizes(channels) == {"many": 8}
    assert "combines it with all channels" in channels.kept["where"]


def test_what_is_added_to_an_input_stays():
    image = keras.Input((6, 6, 4), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="back")(layers.Conv2D(8, 3, padding="same", name="inner")(image))
    channels, _ = check_removal(keras.Model(image, layers.Conv2D(2, 1, name="out")(layers.Add()([image, x]))))
    assert sizes(channels) == {"inner": 8}
    assert channels.kept["back"] == "it is combined with the input image"


def test_shared_layers_lose_the_same_channels_everywhere():
    left, right = keras.Input((6, 6, 3)), keras.Input((6, 6, 3))
    eye = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(8, 3, name="see"), layers.BatchNormalization(), layers.ReLU()],
        name="eye",
    )
    shared = layers.Conv2D(6, 3, name="again")
    both = layers.Concatenate()([shared(eye(left)), shared(eye(right))])
    out = layers.Dense(2, name="out")(layers.Flatten()(both))
    channels, smaller = check_removal(zoo._lively(keras.Model([left, right], out)))
    assert sizes(channels) == {"see": 8, "again": 6}
    assert sum(layer.name == "again" for layer in smaller.layers) == 1
    assert smaller.get_layer("out").kernel.shape == (2 * 2 * (3 + 3), 2)
