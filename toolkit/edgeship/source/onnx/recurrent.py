"""LSTM, GRU and RNN, written out step by step: the number of steps must be fixed, as edge runtimes want it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgeship.source.onnx.graph import Call, Result, Rule
from edgeship.source.onnx.values import plain

#: More steps make a graph that no device wants.
_MAX_STEPS = 512
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}
Activation = Callable[[Any], Any]


def _activations(call: Call, direction: int) -> list[Activation]:
    import tensorflow as tf

    known: Mapping[str, Activation] = {
        "relu": tf.nn.relu,
        "sigmoid": tf.sigmoid,
        "softplus": tf.math.softplus,
        "softsign": tf.nn.softsign,
        "tanh": tf.tanh,
    }
    defaults = _DEFAULTS[call.node.op]
    names = call.node.get("activations", None) or defaults * 2
    chosen = [str(name).lower() for name in names[direction * len(defaults) : (direction + 1) * len(defaults)]]
    unknown = [name for name in chosen if name not in known]
    if unknown or call.node.get("activation_alpha", None) or call.node.get("activation_beta", None):
        raise ValueError(f"its activations are not read: {', '.join(unknown) or 'with alpha or beta'}")
    return [known[name] for name in chosen]


def _check(call: Call) -> None:
    if call.node.get("clip", None) or call.node.get("input_forget", 0) or call.node.get("layout", 0):
        raise ValueError("clip, input_forget and layout are not read")
    if call.optional(4) is not None:
        raise ValueError("it has sequences of several lengths")
    if call.node.op == "LSTM" and call.optional(7) is not None:
        raise ValueError("it has peepholes")


def _recurrent(call: Call) -> Result:
    import tensorflow as tf

    _check(call)
    x = plain(call[0])  # (steps, batch, features)
    steps = x.shape[0]
    if steps is None or steps > _MAX_STEPS:
        raise ValueError(f"it has {steps or 'an unknown number of'} steps; up to {_MAX_STEPS} are written out")
    word = call.node.get("direction", "forward")
    turned = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[word]
    size = int(call.node.get("hidden_size", 0)) or plain(call[2]).shape[-1]
    sequence = tf.unstack(x, axis=0)
    outputs, lasts = [], []
    for direction, backwards in enumerate(turned):
        states = _start(call, direction, sequence[0], size)
        step = _STEPS[call.node.op](call, direction, size)
        found = []
        for item in sequence[::-1] if backwards else sequence:
            states = step(item, states)
            found.append(states[0])
        outputs.append(tf.stack(found[::-1] if backwards else found))
        lasts.append(states)
    results = [tf.stack(outputs, 1)]
    results += [tf.stack([states[i] for states in lasts]) for i in range(len(lasts[0]))]
    return results


def _start(call: Call, direction: int, first: Any, size: int) -> list[Any]:
    import tensorflow as tf

    states = []
    for index in (5, 6) if call.node.op == "LSTM" else (5,):
        given = call.optional(index)
        zeros = tf.zeros([tf.shape(first)[0] if first.shape[0] is None else first.shape[0], size], first.dtype)
        states.append(zeros if given is None else plain(given)[direction])
    return states


def _weights(call: Call, direction: int, size: int) -> tuple[Any, Any, Sequence[Any]]:
    """(features, gates * size), (size, gates * size), and the biases of both, (gates * size,)."""
    import tensorflow as tf

    w, r = (tf.transpose(plain(call[index])[direction]) for index in (1, 2))
    total = _GATES[call.node.op] * size
    bias = call.optional(3)
    both = tf.zeros([2 * total], w.dtype) if bias is None else plain(bias)[direction]
    return w, r, (both[:total], both[total:])


def _lstm(call: Call, direction: int, size: int) -> Callable[[Any, list[Any]], list[Any]]:
    import tensorflow as tf

    w, r, (wb, rb) = _weights(call, direction, size)
    f, g, h = _activations(call, direction)

    def step(x: Any, states: list[Any]) -> list[Any]:
        gates = tf.matmul(x, w) + tf.matmul(states[0], r) + (wb + rb)
        i, o, forget, c = tf.split(gates, 4, -1)  # ONNX: input, output, forget, cell
        cell = f(forget) * states[1] + f(i) * g(c)
        return [f(o) * h(cell), cell]

    return step


def _gru(call: Call, direction: int, size: int) -> Callable[[Any, list[Any]], list[Any]]:
    import tensorflow as tf

    w, r, (wb, rb) = _weights(call, direction, size)
    f, g = _activations(call, direction)
    after = bool(call.node.get("linear_before_reset", 0))

    def step(x: Any, states: list[Any]) -> list[Any]:
        (state,) = states
        z, reset, new = tf.split(tf.matmul(x, w) + wb, 3, -1)  # ONNX: update, reset, hidden
        parts = tf.split(r, 3, -1)
        biases = tf.split(rb, 3)
        z, reset = (f(a + tf.matmul(state, p) + b) for a, p, b in zip((z, reset), parts[:2], biases[:2], strict=True))
        inner = (
            reset * (tf.matmul(state, parts[2]) + biases[2])
            if after
            else tf.matmul(reset * state, parts[2]) + biases[2]
        )
        return [(1 - z) * g(new + inner) + z * state]

    return step


def _rnn(call: Call, direction: int, size: int) -> Callable[[Any, list[Any]], list[Any]]:
    import tensorflow as tf

    w, r, (wb, rb) = _weights(call, direction, size)
    (f,) = _activations(call, direction)
    return lambda x, states: [f(tf.matmul(x, w) + tf.matmul(states[0], r) + (wb + rb))]


_STEPS = {"GRU": _gru, "LSTM": _lstm, "RNN": _rnn}
RULES: Mapping[str, Rule] = {"GRU": _recurrent, "LSTM": _recurrent, "RNN": _recurrent}
