"""Cross-layer equalization: the same function, more equal channels, better int8 where channels differ."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import zoo
from keras import layers

from edgeship.compress.graph import model as graphs
from edgeship.compress.quantize.equalize import equalize
from edgeship.errors import UnsupportedModelError


def samples_of(model, n=32):
    random = np.random.default_rng(0)
    arrays = [random.normal(0.2, 1, (n, *i.shape[1:])).astype(np.float32) for i in model.inputs]
    return arrays if len(arrays) > 1 else arrays[0]


@pytest.mark.parametrize("with_samples", [False, True])
@pytest.mark.parametrize("name", ["two_inputs", "mobile", "signal", "autoencoder"])
def test_the_function_stays(name, with_samples):
    model = getattr(zoo, name)()
    x = samples_of(model)
    want = np.asarray(model(x, training=False))
    before = [np.array(weight) for weight in model.get_weights()]
    found = equalize(model, x if with_samples else None)
    np.testing.assert_allclose(np.asarray(found(x, training=False)), want, rtol=0, atol=1e-5 * np.ptp(want))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert [layer.name for layer in found.layers if isinstance(layer, layers.BatchNormalization)] == []
    kernels = {layer.name: np.array(layer.kernel) for layer in found.layers if hasattr(layer, "kernel")}
    folded = graphs.read(found)
    assert len(kernels) == sum(1 for step in folded.steps if step.weights)


def chain():
    """Convolution, depthwise convolution, relu, pooling, Flatten, Dense; channels that differ by up to 1000."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="wide")(image)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="relu", name="deep")(x)
    x = layers.MaxPooling2D(2)(layers.Dropout(0.1)(x))
    x = layers.Dense(12, activation="relu", name="middle")(layers.Flatten()(x))
    model = keras.Model(image, layers.Dense(4, name="scores")(x))
    random = np.random.default_rng(1)
    for name, before, after in (("wide", (None, 16), (16, None)), ("middle", (None, 12), (12, None))):
        factors = np.exp(random.uniform(-3.5, 3.5, before[1])).astype(np.float32)
        layer = model.get_layer(name)
        reader = model.get_layer({"wide": "deep", "middle": "scores"}[name])
        layer.kernel.assign(np.array(layer.kernel) * factors)
        layer.bias.assign(random.normal(0, 0.1, layer.bias.shape) * factors)
        shape = (1, 1, -1, 1) if name == "wide" else (after[0], 1)
        reader.kernel.assign(np.array(reader.kernel) / factors.reshape(shape))
    return model


def test_channels_become_equal_and_int8_better(litert):
    from edgeship.compress import finalize, quantize_aware

    model = chain()
    x = samples_of(model, 200)
    want = model.predict(x, verbose=0)
    found = equalize(model)
    np.testing.assert_allclose(found.predict(x, verbose=0), want, rtol=0, atol=1e-5 * np.ptp(want))
    made = np.abs(np.array(found.get_layer("wide").kernel)).max(axis=(0, 1, 2))
    read = np.abs(np.array(found.get_layer("deep").kernel)).max(axis=(0, 1, 3))
    ratio = made / read
    np.testing.assert_allclose(ratio, np.full_like(ratio, ratio.mean()), rtol=0.02, err_msg="eq. 11: r1 = r2")

    def error(given):
        values, *_ = litert(finalize(quantize_aware(given, x)), x)
        return np.sqrt(np.mean((values - want) ** 2))

    plain = error(model)
    assert error(found) < plain / 3
    assert error(equalize(model, x)) < plain / 3


def test_relu6_is_in_the_way_unless_it_may_become_relu():
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 2), name="image")
    x = layers.ReLU(6.0)(layers.Conv2D(4, 3, name="first")(image))
    model = keras.Model(image, layers.Conv2D(3, 1, name="second")(x))
    with pytest.raises(UnsupportedModelError, match="has no two layers to equalize: relu6"):
        equalize(model)
    x = samples_of(model)
    found = equalize(model, relu6_to_relu=True)
    np.testing.assert_allclose(found.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-5)
    assert "relu6" not in str(found.get_config())


def test_sums_and_several_readers_are_left_alone():
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 4), name="image")
    first = layers.Conv2D(4, 1, activation="relu", name="first")(image)
    second = layers.Conv2D(4, 1, activation="relu", name="second")(first)
    third = layers.Conv2D(4, 1, name="third")(second)
    model = keras.Model(image, layers.Add()([third, first]))
    found = equalize(model)
    for name, same in (("first", True), ("second", False), ("third", False)):
        kernels = [np.array(m.get_layer(name).kernel) for m in (model, found)]
        assert np.array_equal(*kernels) == same, name


def test_constant_parts_move_to_the_next_bias():
    """Channels that are always above zero: what they exceed by is absorbed (section 4.1.3)."""
    keras.utils.set_random_seed(0)
    image = keras.Input((6, 6, 3), name="image")
    norm = layers.BatchNormalization(name="norm")
    x = layers.ReLU()(norm(layers.Conv2D(5, 3, use_bias=False, name="first")(image)))
    model = keras.Model(image, layers.Conv2D(4, 1, name="second")(x))
    x = samples_of(model, 400)
    norm.beta.assign(np.array([9, 0, 6, -2, 12], np.float32))
    inner = keras.Model(image, model.get_layer("first").output).predict(x, verbose=0)
    norm.moving_mean.assign(inner.mean(axis=(0, 1, 2)))
    norm.moving_variance.assign(inner.var(axis=(0, 1, 2)))
    plain, absorbed = equalize(model), equalize(model, absorb_biases=True)
    lower = np.array(plain.get_layer("first").bias) - np.array(absorbed.get_layer("first").bias)
    assert (lower > 0).tolist() == [True, False, True, False, True]
    want = model.predict(x, verbose=0)
    assert np.abs(absorbed.predict(x, verbose=0) - want).mean() < 5e-3 * np.ptp(want)


def test_quantization_aware_models_are_refused(trained, digits):
    from edgeship.compress import quantize_aware

    with pytest.raises(UnsupportedModelError, match="quantization-aware already"):
        equalize(quantize_aware(trained, digits[0][:32]))


def test_as_a_stage_of_a_recipe(trained, digits, tmp_path):
    from edgeship import data, source
    from edgeship.compress.run import compress
    from edgeship.errors import RecipeError
    from edgeship.recipe import SCHEMA, parse

    found = source.inspect(source.save_live(trained, tmp_path))
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), digits, strict=True))
    dataset = data.from_arrays(arrays, found.inputs, found.outputs, data.DataOptions(), tmp_path)
    plan = {"schema": SCHEMA, "name": "equal", "stages": ["equalize"], "variants": ["int8"]}
    (tmp_path / "out").mkdir()
    result = compress(found, dataset, plan, None, tmp_path / "out", lambda _: None)
    base, equal = result.stages
    assert (equal.name, equal.epochs) == ("equalize", 0)
    assert equal.metric == pytest.approx(base.metric, abs=0.005)
    with pytest.raises(RecipeError, match="equalize after cluster would undo it"):
        parse({**plan, "stages": ["cluster", "equalize"]}, "recipe")
    with pytest.raises(RecipeError, match="relu6 is 'drop'"):
        parse({**plan, "stages": [{"equalize": {"relu6": "drop"}}]}, "recipe")
