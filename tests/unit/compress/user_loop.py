"""A training loop as a user writes it, without `fit`."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


def loop(model, digits, steps, helpers=(), optimizer=None, compute_loss=None):
    """A training loop of the user's own."""
    optimizer = optimizer or keras.optimizers.Adam(3e-3)
    loss = keras.losses.SparseCategoricalCrossentropy()

    @tf.function
    def train_step(x, y):
        with tf.GradientTape() as tape:
            predicted = model(x, training=True)
            value = compute_loss(x, y, predicted) if compute_loss else loss(y, predicted)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value

    random = np.random.default_rng(0)
    values = []
    for _ in range(steps):
        chosen = random.integers(0, len(digits[0]), 32)
        values.append(float(train_step(tf.constant(digits[0][chosen]), tf.constant(digits[1][chosen]))))
        for helper in helpers:
            helper.step()
    return values
