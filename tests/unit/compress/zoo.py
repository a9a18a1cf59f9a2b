"""Small networks that together use every layer that quantization-aware training knows; random but lively weights."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers


def _lively(model: keras.Model) -> keras.Model:
    """Batch normalization as after training, not the identity that it starts as."""
    random = np.random.default_rng(0)
    for layer in model._flatten_layers(include_self=False):
        if isinstance(layer, layers.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(random.normal(0, 0.3, shape))
            layer.moving_variance.assign(random.uniform(0.2, 1.5, shape))
            if layer.scale:
                layer.gamma.assign(random.uniform(0.5, 1.5, shape))
            if layer.center:
                layer.beta.assign(random.normal(0, 0.2, shape))
    return model


def two_inputs():
    """Two inputs, residual sums, an attention product, poolings, concatenations of shared and own tensors."""
    a, b = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 2), name="right")
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(a)
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(b))
    both = layers.Concatenate()([x, y])
    x = layers.ReLU()(layers.Subtract()([x, y]))
    gate = layers.GlobalAveragePooling2D(keepdims=True)(both)
    gate = layers.Dense(4, activation="relu")(gate)
    gate = layers.Dense(16, activation="sigmoid")(gate)
    both = layers.Multiply()([both, gate])
    pooled = layers.AveragePooling2D(2)(both)
    most = layers.MaxPooling2D(2)(layers.Conv2D(8, 1)(both))
    joined = layers.Concatenate()([pooled, most, layers.MaxPooling2D(2)(x)])
    joined = joined + layers.Conv2D(32, 1)(joined)
    out = layers.Dense(5, activation="softmax", name="scores")(layers.Flatten()(joined))
    return _lively(keras.Model([a, b], out))


def mobile():
    """Rescaling, separable and grouped convolutions, relu6, silu, hard_silu, leaky relu, a nested model, dropout."""
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 8)),
            layers.SeparableConv2D(8, 3, padding="same", activation="silu"),
            layers.BatchNormalization(scale=False),
            layers.LeakyReLU(negative_slope=0.1),
        ],
        name="inner",
    )
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Rescaling(2.0, offset=-1.0)(image)
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization(center=False)(x))
    x = inner(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="hard_silu")(x)
    x = layers.Conv2D(16, 3, groups=4, activation=layers.ReLU(6.0))(x)
    x = layers.SpatialDropout2D(0.2)(x)
    x = layers.Conv2D(8, 3, dilation_rate=2, padding="same")(x)
    x = layers.GlobalMaxPooling2D()(x)
    return _lively(keras.Model(image, layers.Softmax(name="classes")(layers.Dense(6)(x))))


def activations():
    """gelu, PReLU by channel and inside a layer, hard_sigmoid as the gate of squeeze-and-excitation, hard_silu."""
    slopes = keras.initializers.RandomUniform(0.05, 0.4, seed=0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(8, 3, padding="same", activation="gelu")(image)
    x = layers.PReLU(shared_axes=[1, 2], alpha_initializer=slopes)(layers.Conv2D(8, 1)(x))
    gate = layers.Dense(4, activation="hard_silu")(layers.GlobalAveragePooling2D()(x))
    gate = layers.Reshape((1, 1, 8))(layers.Dense(8, activation="hard_sigmoid")(gate))
    x = layers.Multiply()([x, gate])
    x = layers.Activation("hard_sigmoid")(layers.Conv2D(6, 3, activation=layers.PReLU(slopes, shared_axes=[1, 2]))(x))
    return keras.Model(image, layers.Dense(5, name="out")(layers.Flatten()(x)))


def unet():
    """Transposed convolution, both kinds of upsampling, cropping, skip connections, sigmoid by pixel."""
    image = keras.Input((8, 8, 2), name="image")
    top = layers.Conv2D(6, 3, padding="same", activation="relu")(image)
    low = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(top)
    up = layers.BatchNormalization()(layers.Conv2DTranspose(6, 2, strides=2)(low))
    smooth = layers.UpSampling2D(2, interpolation="bilinear")(layers.Conv2D(4, 1)(low))
    near = layers.UpSampling2D(2)(layers.Conv2D(3, 1, activation="tanh")(low))
    x = layers.Concatenate()([top, layers.Activation("relu")(up), smooth, near])
    x = layers.Cropping2D(1)(x)
    return _lively(keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid", name="mask")(x)))


def signal():
    """One-dimensional: causal, separable, depthwise and strided convolutions, pre-activation batch normalization."""
    wave = keras.Input((32, 3), name="wave")
    x = layers.BatchNormalization()(wave)
    x = layers.Conv1D(8, 5, padding="causal", dilation_rate=2, activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv1D(12, 3, padding="same")(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv1D(3, strides=2, padding="same")(x)
    x = layers.AveragePooling1D(2)(x)
    x = layers.Permute((2, 1))(layers.Conv1D(6, 3)(layers.MaxPooling1D(2)(x)))
    x = layers.BatchNormalization()(layers.Flatten()(x))
    return _lively(keras.Model(wave, layers.Dense(4, name="out")(x)))


def autoencoder():
    """Dense layers with batch normalization, Sequential, linear output."""
    parts: list[keras.layers.Layer] = [keras.Input((40,), name="frames")]
    for units in (16, 4, 40):
        parts += [layers.Dense(units), layers.BatchNormalization(), layers.Activation("relu")]
    return _lively(keras.Sequential([*parts, layers.Reshape((5, 8)), layers.Dense(3), layers.Flatten(name="rebuilt")]))
