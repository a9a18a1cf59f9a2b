"""A real .tflite file made without TensorFlow: one fully connected layer, softmax after it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as tfl

from edgeship_converters import flatfile

WEIGHTS = np.random.default_rng(3).normal(size=(3, 4)).astype(np.float32)
BIAS = np.array([0.1, -0.2, 0.3], np.float32)
TENSORS = ("x", "net/hidden/MatMul", "net/hidden/BiasAdd", "net/hidden/Add", "probabilities")


def _tensor(name: str, shape: tuple[int, ...], buffer: int) -> tfl.TensorT:
    tensor = tfl.TensorT()
    tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), tfl.TensorType.FLOAT32, buffer
    return tensor


def _buffer(values: np.ndarray | None = None) -> tfl.BufferT:
    buffer = tfl.BufferT()
    if values is not None:
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    return buffer


def _operator(code: int, inputs: list[int], output: int, options: tuple[int, object]) -> tfl.OperatorT:
    operator = tfl.OperatorT()
    operator.opcodeIndex, operator.inputs, operator.outputs = code, inputs, [output]
    operator.builtinOptionsType, operator.builtinOptions = options
    return operator


def _code(builtin: int) -> tfl.OperatorCodeT:
    code = tfl.OperatorCodeT()
    code.deprecatedBuiltinCode = code.builtinCode = builtin
    code.version = 1
    return code


def model_bytes(names: Sequence[str] = TENSORS, weights: np.ndarray = WEIGHTS) -> bytes:
    """`probabilities = softmax(x @ weights.T + BIAS)`; x is (1, 4), probabilities (1, 3)."""
    softmax = tfl.SoftmaxOptionsT()
    softmax.beta = 1.0
    shapes = [((1, 4), 0), ((3, 4), 1), ((3,), 2), ((1, 3), 0), ((1, 3), 0)]
    graph = tfl.SubGraphT()
    graph.tensors = [_tensor(name, shape, buffer) for name, (shape, buffer) in zip(names, shapes, strict=True)]
    graph.inputs, graph.outputs = [0], [4]
    connected = (tfl.BuiltinOptions.FullyConnectedOptions, tfl.FullyConnectedOptionsT())
    graph.operators = [
        _operator(0, [0, 1, 2], 3, connected),
        _operator(1, [3], 4, (tfl.BuiltinOptions.SoftmaxOptions, softmax)),
    ]
    model = tfl.ModelT()
    model.version, model.subgraphs = 3, [graph]
    model.operatorCodes = [_code(tfl.BuiltinOperator.FULLY_CONNECTED), _code(tfl.BuiltinOperator.SOFTMAX)]
    model.buffers = [_buffer(), _buffer(weights), _buffer(BIAS)]
    return _packed(model)


def _packed(model: tfl.ModelT) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def image_model_bytes(dtype: int = tfl.TensorType.FLOAT32) -> bytes:
    """`pixels = image`, flattened: image is (1, 2, 2, 3), pixels (1, 12)."""
    image, pixels = _tensor("image", (1, 2, 2, 3), 0), _tensor("pixels", (1, 12), 0)
    image.type = pixels.type = dtype
    reshape = tfl.ReshapeOptionsT()
    reshape.newShape = [1, 12]
    graph = tfl.SubGraphT()
    graph.tensors, graph.inputs, graph.outputs = [image, pixels], [0], [1]
    graph.operators = [_operator(0, [0], 1, (tfl.BuiltinOptions.ReshapeOptions, reshape))]
    model = tfl.ModelT()
    model.version, model.subgraphs = 3, [graph]
    model.operatorCodes, model.buffers = [_code(tfl.BuiltinOperator.RESHAPE)], [_buffer()]
    return _packed(model)


def signed(content: bytes, ends: tuple[str, str]) -> bytes:
    """A model with one input and one output that has a signature with these names."""
    model = flatfile.read(content)
    signature = tfl.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = flatfile.SIGNATURE.encode(), 0
    graph = model.subgraphs[0]
    for side, indices, name in (("inputs", graph.inputs, ends[0]), ("outputs", graph.outputs, ends[1])):
        entry = tfl.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), int(indices[0])
        setattr(signature, side, [entry])
    model.signatureDefs = [signature]
    return flatfile.write(model)


def expected(x: np.ndarray) -> np.ndarray:
    """The same in NumPy: (N, 4) -> (N, 3)."""
    scores = np.exp(x @ WEIGHTS.T + BIAS)
    return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)


def chain_bytes(sizes: Sequence[int], *, residual: bool = False) -> bytes:
    """Dense layers from `sizes[0]` to `sizes[1]` and so on; `residual` adds the first layer's outputs to the last's."""
    values = np.random.default_rng(0).normal(size=997).astype(np.float32)  # again and again: quickly compressed
    connected = (tfl.BuiltinOptions.FullyConnectedOptions, tfl.FullyConnectedOptionsT())
    graph, buffers = tfl.SubGraphT(), [_buffer()]
    graph.tensors, graph.operators = [_tensor("x", (1, sizes[0]), 0)], []
    for number, (wide, narrow) in enumerate(itertools.pairwise(sizes)):
        given = len(graph.tensors) - 1
        buffers.append(_buffer(np.resize(values, (narrow, wide))))
        graph.tensors.append(_tensor(f"weights {number}", (narrow, wide), len(buffers) - 1))
        graph.tensors.append(_tensor(f"dense {number}", (1, narrow), 0))
        graph.operators.append(_operator(0, [given, given + 1, -1], given + 2, connected))
    if residual:
        last = len(graph.tensors)
        graph.tensors.append(_tensor("sum", (1, sizes[-1]), 0))
        graph.operators.append(_operator(1, [2, last - 1], last, (tfl.BuiltinOptions.AddOptions, tfl.AddOptionsT())))
    graph.inputs, graph.outputs = [0], [len(graph.tensors) - 1]
    model = tfl.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], buffers
    model.operatorCodes = [_code(tfl.BuiltinOperator.FULLY_CONNECTED), _code(tfl.BuiltinOperator.ADD)]
    return _packed(model)


def network_bytes(layers: Sequence[tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Dense layers, ReLU between them, softmax at the end; each as kernel (inputs, outputs) and bias (outputs)."""
    graph, buffers = tfl.SubGraphT(), [_buffer()]
    graph.tensors, graph.operators = [_tensor("x", (1, len(layers[0][0])), 0)], []
    for number, (kernel, bias) in enumerate(layers):
        given, outputs = len(graph.tensors) - 1, kernel.shape[1]
        buffers += [_buffer(np.ascontiguousarray(kernel.T, np.float32)), _buffer(bias.astype(np.float32))]
        graph.tensors.append(_tensor(f"kernel {number}", (outputs, len(kernel)), len(buffers) - 2))
        graph.tensors.append(_tensor(f"bias {number}", (outputs,), len(buffers) - 1))
        graph.tensors.append(_tensor(f"dense {number}", (1, outputs), 0))
        options = tfl.FullyConnectedOptionsT()
        if number < len(layers) - 1:
            options.fusedActivationFunction = tfl.ActivationFunctionType.RELU
        connected = (tfl.BuiltinOptions.FullyConnectedOptions, options)
        graph.operators.append(_operator(0, [given, given + 1, given + 2], given + 3, connected))
    softmax, last = tfl.SoftmaxOptionsT(), len(graph.tensors)
    softmax.beta = 1.0
    graph.tensors.append(_tensor("probabilities", (1, len(layers[-1][1])), 0))
    graph.operators.append(_operator(1, [last - 1], last, (tfl.BuiltinOptions.SoftmaxOptions, softmax)))
    graph.inputs, graph.outputs = [0], [last]
    model = tfl.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], buffers
    model.operatorCodes = [_code(tfl.BuiltinOperator.FULLY_CONNECTED), _code(tfl.BuiltinOperator.SOFTMAX)]
    return _packed(model)


def half_convolution_bytes() -> bytes:
    """A convolution of x (1, 4, 4, 2) with a kernel (3, 2, 2, 2) in half precision, which is widened first."""
    kernel = np.random.default_rng(0).normal(size=(3, 2, 2, 2)).astype(np.float16)
    shapes = [("x", (1, 4, 4, 2), 0), ("half", kernel.shape, 1), ("kernel", kernel.shape, 0), ("y", (1, 3, 3, 3), 0)]
    graph = tfl.SubGraphT()
    graph.tensors = [_tensor(name, shape, buffer) for name, shape, buffer in shapes]
    graph.tensors[1].type = tfl.TensorType.FLOAT16
    options = tfl.Conv2DOptionsT()
    options.padding, options.strideW, options.strideH = tfl.Padding.VALID, 1, 1
    graph.operators = [
        _operator(0, [1], 2, (tfl.BuiltinOptions.DequantizeOptions, tfl.DequantizeOptionsT())),
        _operator(1, [0, 2, -1], 3, (tfl.BuiltinOptions.Conv2DOptions, options)),
    ]
    graph.inputs, graph.outputs = [0], [3]
    model = tfl.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [graph], [_buffer(), _buffer(kernel)]
    model.operatorCodes = [_code(tfl.BuiltinOperator.DEQUANTIZE), _code(tfl.BuiltinOperator.CONV_2D)]
    return _packed(model)
