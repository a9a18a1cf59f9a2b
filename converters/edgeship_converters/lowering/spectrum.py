"""The Fourier transform of real signals as matrix products, for formats without complex numbers.

A transform of length a*b is b transforms of length a, factors of unit length, and a transforms of length b (Cooley &
Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965): two small matrices instead of one
that grows with the square of the length.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeship_converters.lowering.branches import value_of

if TYPE_CHECKING:
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    from edgeship.types import Array

#: Up to this length the transform is one product.
_ONE_PRODUCT = 256


def transform_by_products(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """RFFT of a known length. What takes the complex result apart again has to be lowered too."""
    import tensorflow as tf

    signal, given = inputs[0], value_of(inputs[1])
    samples = signal.shape[-1]
    if given is None or samples is None or signal.dtype != tf.float32:
        return None
    length = int(given[0])
    signal = signal[..., : min(length, samples)]
    if samples < length:
        signal = tf.pad(signal, [[0, 0]] * (signal.shape.rank - 1) + [[0, length - samples]])
    kept = length // 2 + 1
    if length > _ONE_PRODUCT and _factor(length) > 1:
        return tf.complex(*_in_two_steps(signal, length, kept))
    cosines, sines = _wave(np.outer(np.arange(length), np.arange(kept)), length)
    return tf.complex(tf.matmul(signal, cosines), tf.matmul(signal, sines))


def real_part(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """Real of a complex number that was just put together."""
    return inputs[0].op.inputs[0] if inputs[0].op.type == "Complex" else None


def imaginary_part(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """Imag of one."""
    return inputs[0].op.inputs[1] if inputs[0].op.type == "Complex" else None


def magnitude(node: NodeDef, inputs: list[Any]) -> Any:  # noqa: ARG001 - a Rule
    """ComplexAbs of one."""
    import tensorflow as tf

    if inputs[0].op.type != "Complex":
        return None
    real, imaginary = inputs[0].op.inputs
    return tf.sqrt(real * real + imaginary * imaginary)


def _in_two_steps(signal: Any, length: int, kept: int) -> tuple[Any, Any]:
    """Signal index n = b*i + j, frequency k = l + a*m; over i first, then over j."""
    import tensorflow as tf

    a = _factor(length)
    b = length // a
    lead = [-1 if n is None else n for n in signal.shape[:-1]]
    shape = [*lead, length] if lead.count(-1) < 2 else tf.concat([tf.shape(signal)[:-1], [length]], 0)
    blocks = tf.reshape(signal, [-1, a, b])
    cosines, sines = _wave(np.outer(np.arange(a), np.arange(a)), a)
    real, imaginary = tf.matmul(cosines, blocks), tf.matmul(sines, blocks)  # (-1, l, j)
    turn, lean = _wave(np.outer(np.arange(a), np.arange(b)), length)
    real, imaginary = real * turn - imaginary * lean, real * lean + imaginary * turn
    cosines, sines = _wave(np.outer(np.arange(b), np.arange(b)), b)
    parts = (
        tf.matmul(real, cosines) - tf.matmul(imaginary, sines),
        tf.matmul(real, sines) + tf.matmul(imaginary, cosines),
    )
    found = [tf.reshape(tf.transpose(part, [0, 2, 1]), shape)[..., :kept] for part in parts]
    return found[0], found[1]


def _factor(length: int) -> int:
    """The largest divisor up to the square root."""
    return max(n for n in range(1, math.isqrt(length) + 1) if length % n == 0)


def _wave(steps: Array, length: int) -> tuple[Array, Array]:
    """Real and imaginary part of exp(-2 pi i steps / length); steps are reduced first, which keeps them exact."""
    angles = 2 * np.pi * (steps % length) / length
    return np.cos(angles).astype(np.float32), -np.sin(angles).astype(np.float32)
