"""Real .tflite files that LiteRT cannot survive, and that no check of their structure finds."""

from __future__ import annotations

import numpy as np

from tests.tiny_tflite import BIAS, WEIGHTS, _buffer, _code, _operator, _packed, _tensor, tfl


def _softmax(given: int, made: int) -> tfl.OperatorT:
    options = tfl.SoftmaxOptionsT()
    options.beta = 1.0
    return _operator(1, [given], made, (tfl.BuiltinOptions.SoftmaxOptions, options))


def _loop(given: int, made: int, body: int) -> tfl.OperatorT:
    options = tfl.WhileOptionsT()
    options.condSubgraphIndex, options.bodySubgraphIndex = 1, body
    return _operator(2, [given], made, (tfl.BuiltinOptions.WhileOptions, options))


def _graph(tensors: list[tfl.TensorT], operators: list[tfl.OperatorT], made: int) -> tfl.SubGraphT:
    graph = tfl.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, operators, [0], [made]
    return graph


def _file(main: tfl.SubGraphT, width: int) -> bytes:
    """The main graph, a condition that always holds, and a body that does nothing much."""
    always = _tensor("always", (1,), 3)
    always.type = tfl.TensorType.BOOL
    condition = _graph([_tensor("state", (1, width), 0), always], [], 1)
    body = _graph([_tensor("before", (1, width), 0), _tensor("after", (1, width), 0)], [_softmax(0, 1)], 1)
    model = tfl.ModelT()
    model.version, model.subgraphs = 3, [main, condition, body]
    codes = (tfl.BuiltinOperator.FULLY_CONNECTED, tfl.BuiltinOperator.SOFTMAX, tfl.BuiltinOperator.WHILE)
    model.operatorCodes = [_code(code) for code in codes]
    model.buffers = [_buffer(), _buffer(WEIGHTS), _buffer(BIAS), _buffer(np.array([1], np.uint8))]
    return _packed(model)


def endless_bytes() -> bytes:
    """A network that goes round in a loop for ever."""
    tensors = [
        _tensor("x", (1, 4), 0), _tensor("weights", (3, 4), 1), _tensor("bias", (3,), 2),
        _tensor("scores", (1, 3), 0), _tensor("probabilities", (1, 3), 0),
    ]  # fmt: skip
    connected = _operator(0, [0, 1, 2], 3, (tfl.BuiltinOptions.FullyConnectedOptions, tfl.FullyConnectedOptionsT()))
    return _file(_graph(tensors, [connected, _loop(3, 4, 2)], 4), 3)


def recursive_bytes() -> bytes:
    """A loop whose body is the graph that it is in: LiteRT's stack overflows when it is loaded."""
    tensors = [_tensor("x", (1, 4), 0), _tensor("probabilities", (1, 4), 0)]
    return _file(_graph(tensors, [_loop(0, 1, 0)], 1), 4)
