"""Which operators TensorFlow Lite Micro has, and what adds each of them to a resolver.

Source: `tensorflow/lite/micro/micro_mutable_op_resolver.h` of github.com/tensorflow/tflite-micro, commit 90b983c of
2026-08-20 (the methods of MicroMutableOpResolver with the BuiltinOperator that each registers). All of them are also in
the resolver of its Python interpreter, `python/tflite_micro/python_ops_resolver.cc`, where files are verified.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from edgeship.errors import UnsupportedModelError
from edgeship.tflite_operators import builtin_name

#: BuiltinOperator -> method of MicroMutableOpResolver.
OPS: Mapping[str, str] = {
    "ABS": "AddAbs",
    "ADD": "AddAdd",
    "ADD_N": "AddAddN",
    "ARG_MAX": "AddArgMax",
    "ARG_MIN": "AddArgMin",
    "ASSIGN_VARIABLE": "AddAssignVariable",
    "AVERAGE_POOL_2D": "AddAveragePool2D",
    "BATCH_MATMUL": "AddBatchMatMul",
    "BATCH_TO_SPACE_ND": "AddBatchToSpaceNd",
    "BROADCAST_ARGS": "AddBroadcastArgs",
    "BROADCAST_TO": "AddBroadcastTo",
    "CALL_ONCE": "AddCallOnce",
    "CAST": "AddCast",
    "CEIL": "AddCeil",
    "CONCATENATION": "AddConcatenation",
    "CONV_2D": "AddConv2D",
    "COS": "AddCos",
    "CUMSUM": "AddCumSum",
    "DEPTHWISE_CONV_2D": "AddDepthwiseConv2D",
    "DEPTH_TO_SPACE": "AddDepthToSpace",
    "DEQUANTIZE": "AddDequantize",
    "DIV": "AddDiv",
    "DYNAMIC_UPDATE_SLICE": "AddDynamicUpdateSlice",
    "ELU": "AddElu",
    "EMBEDDING_LOOKUP": "AddEmbeddingLookup",
    "EQUAL": "AddEqual",
    "EXP": "AddExp",
    "EXPAND_DIMS": "AddExpandDims",
    "FILL": "AddFill",
    "FLOOR": "AddFloor",
    "FLOOR_DIV": "AddFloorDiv",
    "FLOOR_MOD": "AddFloorMod",
    "FULLY_CONNECTED": "AddFullyConnected",
    "GATHER": "AddGather",
    "GATHER_ND": "AddGatherNd",
    "GREATER": "AddGreater",
    "GREATER_EQUAL": "AddGreaterEqual",
    "HARD_SWISH": "AddHardSwish",
    "IF": "AddIf",
    "L2_NORMALIZATION": "AddL2Normalization",
    "L2_POOL_2D": "AddL2Pool2D",
    "LEAKY_RELU": "AddLeakyRelu",
    "LESS": "AddLess",
    "LESS_EQUAL": "AddLessEqual",
    "LOG": "AddLog",
    "LOGICAL_AND": "AddLogicalAnd",
    "LOGICAL_NOT": "AddLogicalNot",
    "LOGICAL_OR": "AddLogicalOr",
    "LOGISTIC": "AddLogistic",
    "LOG_SOFTMAX": "AddLogSoftmax",
    "MAXIMUM": "AddMaximum",
    "MAX_POOL_2D": "AddMaxPool2D",
    "MEAN": "AddMean",
    "MINIMUM": "AddMinimum",
    "MIRROR_PAD": "AddMirrorPad",
    "MUL": "AddMul",
    "NEG": "AddNeg",
    "NOT_EQUAL": "AddNotEqual",
    "PACK": "AddPack",
    "PAD": "AddPad",
    "PADV2": "AddPadV2",
    "PRELU": "AddPrelu",
    "QUANTIZE": "AddQuantize",
    "READ_VARIABLE": "AddReadVariable",
    "REDUCE_ALL": "AddReduceAll",
    "REDUCE_MAX": "AddReduceMax",
    "REDUCE_MIN": "AddReduceMin",
    "RELU": "AddRelu",
    "RELU6": "AddRelu6",
    "RESHAPE": "AddReshape",
    "RESIZE_BILINEAR": "AddResizeBilinear",
    "RESIZE_NEAREST_NEIGHBOR": "AddResizeNearestNeighbor",
    "REVERSE_V2": "AddReverseV2",
    "ROUND": "AddRound",
    "RSQRT": "AddRsqrt",
    "SELECT_V2": "AddSelectV2",
    "SHAPE": "AddShape",
    "SIN": "AddSin",
    "SLICE": "AddSlice",
    "SOFTMAX": "AddSoftmax",
    "SPACE_TO_BATCH_ND": "AddSpaceToBatchNd",
    "SPACE_TO_DEPTH": "AddSpaceToDepth",
    "SPLIT": "AddSplit",
    "SPLIT_V": "AddSplitV",
    "SQRT": "AddSqrt",
    "SQUARE": "AddSquare",
    "SQUARED_DIFFERENCE": "AddSquaredDifference",
    "SQUEEZE": "AddSqueeze",
    "STRIDED_SLICE": "AddStridedSlice",
    "SUB": "AddSub",
    "SUM": "AddSum",
    "SVDF": "AddSvdf",
    "TANH": "AddTanh",
    "TRANSPOSE": "AddTranspose",
    "TRANSPOSE_CONV": "AddTransposeConv",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
    "UNPACK": "AddUnpack",
    "VAR_HANDLE": "AddVarHandle",
    "WHILE": "AddWhile",
    "ZEROS_LIKE": "AddZerosLike",
}


def operators(content: bytes) -> list[tuple[str, str]]:
    """Of a .tflite file, each operator with its place; the first graph's come first.

    The place is the name of the first output, with that of the first input where the output belongs to no layer.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.Model.GetRootAs(content, 0)
    found = []
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            code = model.OperatorCodes(operator.OpcodeIndex())
            place = _tensor(graph, operator.Outputs(0)) if operator.OutputsLength() else ""
            if "/" not in place and operator.InputsLength():
                place = f"{place} of {_tensor(graph, operator.Inputs(0))}"
            found.append((builtin_name(code), place))
    return found


def _tensor(graph: Any, index: int) -> str:
    name = graph.Tensors(index).Name() if index >= 0 else None
    return (name or b"").decode(errors="replace")


def additions(used: Sequence[tuple[str, str]], variant: str) -> tuple[str, ...]:
    """Methods of the resolver for the operators of a file (see `operators`), in alphabetical order.

    Raises UnsupportedModelError naming the operators that TensorFlow Lite Micro does not have, each with its first
    place.
    """
    unknown = {name: place for name, place in reversed(used) if name not in OPS}
    if unknown:
        listed = ", ".join(f"{name} ({place})" for name, place in sorted(unknown.items()))
        raise UnsupportedModelError(
            f"micro/{variant}: TensorFlow Lite Micro has no operator {listed}",
            remedy="Replace the layer that needs it, or use --to tflite on a device that runs LiteRT.",
        )
    return tuple(sorted({OPS[name] for name, _ in used}))


def placed(message: str, used: Sequence[tuple[str, str]]) -> str:
    """A message of TensorFlow Lite Micro with the place of the operator that it names by number."""

    def add(match: re.Match[str]) -> str:
        name, number = match[1], int(match[2])
        known = number < len(used) and used[number][0] == name
        return f"{match[0]} ({used[number][1]})" if known else match[0]

    return re.sub(r"Node ([A-Z0-9_]+) \(number (\d{1,9})f?\)", add, message)
