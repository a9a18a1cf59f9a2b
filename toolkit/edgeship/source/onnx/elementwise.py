"""Operators that compute element by element; they keep whatever layout their inputs have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import Tensor, Value, aligned


def _unary(compute: Callable[[Any], Any]) -> Rule:
    def rule(call: Call) -> Result:
        value = call[0]
        (tensor,), last = aligned([value])
        return Tensor(compute(tensor), last)

    return rule


def _with_attributes(compute: Callable[[Any, Call], Any]) -> Rule:
    def rule(call: Call) -> Result:
        (tensor,), last = aligned([call[0]])
        return Tensor(compute(tensor, call), last)

    return rule


def _binary(compute: Callable[[Any, Any], Any]) -> Rule:
    def rule(call: Call) -> Result:
        sizes = _on_sizes(call)
        if sizes is not None:
            return sizes
        (a, b), last = aligned([call[0], call[1]])
        return Tensor(compute(a, b), last)

    return rule


def _on_sizes(call: Call) -> Value | None:
    """Arithmetic with sizes of which some are only known later, element by element."""
    import tensorflow as tf

    values = call.given()
    if not any(isinstance(v, np.ndarray) and v.dtype == object for v in values):
        return None
    if not all(isinstance(v, np.ndarray) for v in values) or call.node.op not in _SIZES:
        return None
    arrays = np.broadcast_arrays(*(np.asarray(v, object) for v in values))
    found = np.empty(arrays[0].shape, object)
    for index in np.ndindex(found.shape):
        a, b = (item[index] for item in arrays)
        plain = not any(isinstance(item, tf.Tensor) for item in (a, b))
        found[index] = _SIZES[call.node.op](
            *((int(a), int(b)) if plain else (tf.cast(a, tf.int64), tf.cast(b, tf.int64)))
        )
    return found


_SIZES: Mapping[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a // b,
}


def _folded(compute: Callable[[Any, Any], Any]) -> Callable[[Call], Tensor]:
    """Of any number of inputs, from left to right."""

    def rule(call: Call) -> Tensor:
        tensors, last = aligned(call.given())
        result = tensors[0]
        for tensor in tensors[1:]:
            result = compute(result, tensor)
        return Tensor(result, last)

    return rule


def _divide(a: Any, b: Any) -> Any:
    """Integers are cut towards zero, as in C."""
    import tensorflow as tf

    return tf.truncatediv(a, b) if a.dtype.is_integer else a / b


def _mod(call: Call) -> Result:
    import tensorflow as tf

    (a, b), last = aligned([call[0], call[1]])
    return Tensor(tf.truncatemod(a, b) if call.node.get("fmod", 0) else tf.math.floormod(a, b), last)


def _power(a: Any, b: Any) -> Any:
    import tensorflow as tf

    if a.dtype.is_floating:
        value = tf.get_static_value(b)
        if value is not None and value.size == 1 and float(value.reshape(())) in (2.0, 0.5):
            return tf.square(a) if float(value.reshape(())) == 2.0 else tf.sqrt(a)
        return tf.pow(a, tf.cast(b, a.dtype))
    # Integers to a float power: computed in floats, given back as integers.
    return tf.cast(tf.pow(tf.cast(a, tf.float64), tf.cast(b, tf.float64)), a.dtype)


def _clip(call: Call) -> Result:
    import tensorflow as tf

    (tensor,), last = aligned([call[0]])
    old = call.node.opset < 11
    ends = [call.node.get(n, None) if old else call.known(i, n) for i, n in ((1, "min"), (2, "max"))]
    low, high = (None if end is None else np.asarray(end).reshape(()) for end in ends)
    if low is not None and high is not None and low == 0 and high == 6 and tensor.dtype.is_floating:
        return Tensor(tf.nn.relu6(tensor), last)
    if low is not None:
        tensor = tf.nn.relu(tensor) if low == 0 and high is None else tf.maximum(tensor, tf.cast(low, tensor.dtype))
    if high is not None:
        tensor = tf.minimum(tensor, tf.cast(high, tensor.dtype))
    return Tensor(tensor, last)


def _cast(call: Call) -> Result:
    import onnx
    import tensorflow as tf

    to = int(call.node.get("to", 1))
    if to == onnx.TensorProto.STRING:
        raise ValueError("it makes text of numbers")
    dtype = tf.dtypes.as_dtype(onnx.helper.tensor_dtype_to_np_dtype(to))
    if isinstance(call[0], np.ndarray) and call[0].dtype == object:
        return call[0] if dtype.is_integer else _float_sizes(call[0], dtype)
    (tensor,), last = aligned([call[0]])
    return Tensor(tf.cast(tensor, dtype), last)


def _float_sizes(value: Any, dtype: Any) -> Any:
    import tensorflow as tf

    from edgeship.source.onnx.values import tensor_of_sizes

    return tf.cast(tensor_of_sizes(value), dtype)


def _prelu(call: Call) -> Result:
    import tensorflow as tf

    (x, slope), last = aligned([call[0], call[1]])
    return Tensor(tf.nn.relu(x) - slope * tf.nn.relu(-x), last)


def _where(call: Call) -> Result:
    import tensorflow as tf

    tensors, last = aligned([call[0], call[1], call[2]])
    return Tensor(tf.where(*tensors), last)


def _gelu(x: Any, call: Call) -> Any:
    import tensorflow as tf

    return tf.nn.gelu(x, approximate=call.node.get("approximate", "none") == "tanh")


def _hard_sigmoid(x: Any, alpha: float, beta: float) -> Any:
    import tensorflow as tf

    return tf.minimum(tf.nn.relu(x * alpha + beta), 1.0)


def _celu(x: Any, call: Call) -> Any:
    import tensorflow as tf

    alpha = call.node.get("alpha", 1.0)
    return tf.nn.relu(x) + tf.minimum(alpha * (tf.exp(tf.minimum(x, 0.0) / alpha) - 1), 0.0)


def _elu(x: Any, call: Call) -> Any:
    import tensorflow as tf

    alpha = call.node.get("alpha", 1.0)
    return tf.nn.elu(x) if alpha == 1 else tf.nn.relu(x) + alpha * tf.nn.elu(tf.minimum(x, 0.0))


def _selu(x: Any, call: Call) -> Any:
    import tensorflow as tf

    alpha = call.node.get("alpha", 1.67326319217681884765625)
    gamma = call.node.get("gamma", 1.05070102214813232421875)
    return gamma * (tf.nn.relu(x) + alpha * tf.nn.elu(tf.minimum(x, 0.0)))


def _thresholded(x: Any, call: Call) -> Any:
    import tensorflow as tf

    return tf.where(x > call.node.get("alpha", 1.0), x, tf.zeros_like(x))


def _shrink(x: Any, call: Call) -> Any:
    import tensorflow as tf

    lambd, bias = call.node.get("lambd", 0.5), call.node.get("bias", 0.0)
    inner = tf.where(x < -lambd, x + tf.cast(bias, x.dtype), tf.zeros_like(x))
    return tf.where(x > lambd, x - tf.cast(bias, x.dtype), inner)


def _is_inf(x: Any, call: Call) -> Any:
    import tensorflow as tf

    found = tf.math.is_inf(x)
    if not call.node.get("detect_positive", 1):
        found &= x < 0
    if not call.node.get("detect_negative", 1):
        found &= x > 0
    return found


def _identity(call: Call) -> Result:
    return call[0]


def _dropout(call: Call) -> Result:
    training = call.known(2, "training mode")
    if training is not None and bool(training):
        raise ValueError("it was exported for training")
    if len(call.node.outputs) > 1 and call.node.outputs[1]:
        raise ValueError("what it dropped is asked for")
    return call[0]


def _tf(name: str) -> Callable[..., Any]:
    """A function of TensorFlow by its name, imported when it is first called."""

    def compute(*tensors: Any) -> Any:
        import tensorflow as tf

        found: Any = tf
        for part in name.split("."):
            found = getattr(found, part)
        return found(*tensors)

    return compute


_UNARY = {
    **{name: name.lower() for name in ("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Cos", "Cosh")},
    **{name: name.lower() for name in ("Exp", "Floor", "Round", "Sign", "Sin", "Sinh", "Sqrt", "Tan", "Tanh")},
    "Ceil": "math.ceil",
    "Erf": "math.erf",
    "IsNaN": "math.is_nan",
    "Log": "math.log",
    "Neg": "negative",
    "Not": "logical_not",
    "Reciprocal": "math.reciprocal",
    "Relu": "nn.relu",
    "Sigmoid": "sigmoid",
    "Softplus": "math.softplus",
    "Softsign": "nn.softsign",
}
_BINARY = {
    "Add": "add",
    "And": "logical_and",
    "Equal": "equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "Less": "less",
    "LessOrEqual": "less_equal",
    "Mul": "multiply",
    "Or": "logical_or",
    "Sub": "subtract",
    "Xor": "math.logical_xor",
}


def _mean(call: Call) -> Result:
    total = _folded(_tf("add"))(call)
    return Tensor(total.stored / len(call.given()), total.last)


def _leaky(x: Any, call: Call) -> Any:
    import tensorflow as tf

    return tf.nn.leaky_relu(x, call.node.get("alpha", 0.01))


RULES: Mapping[str, Rule] = {
    **{name: _unary(_tf(function)) for name, function in _UNARY.items()},
    **{name: _binary(_tf(function)) for name, function in _BINARY.items()},
    "Cast": _cast,
    "Celu": _with_attributes(_celu),
    "Clip": _clip,
    "Div": _binary(_divide),
    "Dropout": _dropout,
    "Elu": _with_attributes(_elu),
    "Gelu": _with_attributes(_gelu),
    "HardSigmoid": _with_attributes(
        lambda x, call: _hard_sigmoid(x, call.node.get("alpha", 0.2), call.node.get("beta", 0.5))
    ),
    "HardSwish": _unary(lambda x: x * _hard_sigmoid(x, 1 / 6, 0.5)),
    "Identity": _identity,
    "IsInf": _with_attributes(_is_inf),
    "LeakyRelu": _with_attributes(_leaky),
    "Max": _folded(_tf("maximum")),
    "Mean": _mean,
    "Min": _folded(_tf("minimum")),
    "Mish": _unary(lambda x: x * _tf("tanh")(_tf("math.softplus")(x))),
    "Mod": _mod,
    "PRelu": _prelu,
    "Pow": _binary(_power),
    "Selu": _with_attributes(_selu),
    "Shrink": _with_attributes(_shrink),
    "Sum": _folded(_tf("add")),
    "Swish": _with_attributes(lambda x, call: x * _tf("sigmoid")(x * call.node.get("alpha", 1.0))),
    "ThresholdedRelu": _with_attributes(_thresholded),
    "Where": _where,
}
