"""Each rule of the Edge TPU on the smallest model that it decides about, with its neighbour that passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.quantized_tflite import Builder, one

from edgeship.edgetpu import Placement, predict

ROOT = Path(__file__).parent.parent.parent.parent
IMAGE = (1, 8, 8, 4)
RELU6 = 3


def placed(content: bytes, folder: Path) -> Placement:
    """Where the only operator of a file goes."""
    path = folder / "one.tflite"
    path.write_bytes(content)
    (operator,) = predict(path).operators
    return operator


def convolution(dilation: tuple[int, int] = (1, 1), *, constant: bool = True, kind: str = "CONV_2D") -> bytes:
    builder = Builder()
    weights = builder.weights(4, 3, 3, 4) if constant else builder.tensor([4, 3, 3, 4])
    name = "Conv2DOptions" if kind == "CONV_2D" else "DepthwiseConv2DOptions"
    options = (name, {"dilationWFactor": dilation[0], "dilationHFactor": dilation[1]})
    return one(kind, [IMAGE, weights, builder.weights(4)], [IMAGE], options, builder)


def transposed(weights: tuple[int, ...]) -> bytes:
    builder = Builder()
    shape = builder.integers(1, 16, 16, weights[0])
    return one("TRANSPOSE_CONV", [shape, builder.weights(*weights), IMAGE], [(1, 16, 16, weights[0])], None, builder)


def joined(values: np.ndarray, *, others: int = 1, zero_point: int = 0) -> bytes:
    builder = Builder()
    constant = builder.tensor(IMAGE, data=values, zero_point=zero_point)
    return one(
        "CONCATENATION", [*[IMAGE] * others, constant], [(1, 8, 8, 8)], ("ConcatenationOptions", {"axis": 3}), builder
    )


def reduced(kind: str, shape: tuple[int, ...], *axes: int) -> bytes:
    builder = Builder()
    kept = [1 if n in axes else size for n, size in enumerate(shape)]
    return one(kind, [shape, builder.integers(*axes)], [kept], ("ReducerOptions", {"keepDims": True}), builder)


def padded(shape: tuple[int, ...], *paddings: int) -> bytes:
    builder = Builder()
    made = [size + paddings[2 * n] + paddings[2 * n + 1] for n, size in enumerate(shape)]
    return one("PAD", [shape, builder.integers(*paddings)], [made], ("PadOptions", {}), builder)


def split(axis: int) -> bytes:
    builder = Builder()
    count = 2 if axis else 1
    part = [size // count if number == axis % 4 else size for number, size in enumerate(IMAGE)]
    options = ("SplitOptions", {"numSplits": count})
    return one("SPLIT", [builder.integers(axis), IMAGE], [part] * count, options, builder)


def sliced(strides: tuple[int, ...], **masks: int) -> bytes:
    builder = Builder()
    corners = [builder.integers(0, 0, 0, 0), builder.integers(1, 4, 4, 4), builder.integers(*strides)]
    return one("STRIDED_SLICE", [IMAGE, *corners], [(1, 4, 4, 4)], ("StridedSliceOptions", masks), builder)


def resized(kind: str, before: tuple[int, int, int], after: tuple[int, int]) -> bytes:
    builder = Builder()
    return one(kind, [(1, *before), builder.integers(*after)], [(1, *after, before[2])], None, builder, version=3)


def transpose(shape: tuple[int, ...], *order: int) -> bytes:
    builder = Builder()
    return one("TRANSPOSE", [shape, builder.integers(*order)], [[shape[n] for n in order]], None, builder)


def prelu(alpha: tuple[int, ...]) -> bytes:
    builder = Builder()
    return one("PRELU", [IMAGE, builder.weights(*alpha)], [IMAGE], None, builder)


def dense(rows: int, weights_format: int = 0, version: int = 4) -> bytes:
    builder = Builder()
    options = ("FullyConnectedOptions", {"weightsFormat": weights_format})
    inputs = [(rows, 4), builder.weights(3, 4), builder.weights(3)]
    return one("FULLY_CONNECTED", inputs, [(rows, 3)], options, builder, version=version)


def pool(activation: int, kind: str = "MAX_POOL_2D") -> bytes:
    return one(kind, [IMAGE], [(1, 4, 4, 4)], ("Pool2DOptions", {"fusedActivationFunction": activation}))


def reshaped(elements: int) -> bytes:
    builder = Builder()
    return one("RESHAPE", [(1, elements), builder.integers(elements)], [(elements,)], None, builder)


def computed_axes() -> bytes:
    builder = Builder()
    return one("MEAN", [IMAGE, builder.tensor([1], "INT32")], [(1, 1, 8, 4)], None, builder)


def recurrent() -> bytes:
    builder = Builder()
    state = builder.tensor([1, 4], "INT16")
    return one("UNIDIRECTIONAL_SEQUENCE_LSTM", [(1, 8, 4), builder.weights(4, 4), state], [(1, 8, 4)], None, builder)


MAPPED: dict[str, Callable[[], bytes]] = {
    "add": lambda: one("ADD", [IMAGE, IMAGE], [IMAGE]),
    "uint8": lambda: one("ADD", [IMAGE, IMAGE], [IMAGE], dtype="UINT8"),
    "fused activation where it is allowed": lambda: one(
        "ADD", [IMAGE, IMAGE], [IMAGE], ("AddOptions", {"fusedActivationFunction": RELU6})
    ),
    "convolution": convolution,
    "dilated alike": lambda: convolution((2, 2)),
    "depthwise": lambda: convolution(kind="DEPTHWISE_CONV_2D"),
    "transposed convolution": lambda: transposed((4, 2, 2, 4)),
    "dense": lambda: dense(1),
    "pool": lambda: pool(0),
    "average pool": lambda: pool(0, "AVERAGE_POOL_2D"),
    "zeros joined": lambda: joined(np.zeros(IMAGE, np.int8)),
    "zeros by their zero point": lambda: joined(np.full(IMAGE, -5, np.int8), zero_point=-5),
    "mean over x and y": lambda: reduced("MEAN", IMAGE, 1, 2),
    "mean over channels": lambda: reduced("MEAN", IMAGE, 3),
    "largest in x": lambda: reduced("REDUCE_MAX", IMAGE, 2),
    "padding in x and y": lambda: padded(IMAGE, 0, 0, 1, 1, 1, 1, 0, 0),
    "padding of channels": lambda: padded(IMAGE, 0, 0, 0, 0, 0, 0, 0, 4),
    "split of channels": lambda: split(3),
    "split by a negative axis": lambda: split(-1),
    "slice": lambda: sliced((1, 1, 1, 1)),
    "alpha by channel": lambda: prelu((1, 1, 4)),
    "softmax": lambda: one("SOFTMAX", [(1, 16_000)], [(1, 16_000)]),
    "small reshape": lambda: reshaped(49_980),
    "doubled": lambda: resized("RESIZE_BILINEAR", (24, 24, 24), (48, 48)),
    "resized to itself": lambda: resized("RESIZE_BILINEAR", (33, 33, 19), (33, 33)),
    "nearest": lambda: resized("RESIZE_NEAREST_NEIGHBOR", (20, 20, 128), (40, 40)),
    "transpose of sizes 1": lambda: transpose((1, 8, 1, 4), 0, 2, 1, 3),
    "state of an LSTM in int16": recurrent,
    "five axes, three above 1": lambda: one("TANH", [(1, 1, 8, 8, 4)], [(1, 1, 8, 8, 4)]),
}

KEPT: dict[str, tuple[str, Callable[[], bytes]]] = {
    "float": ("data-type", lambda: one("ADD", [IMAGE, IMAGE], [IMAGE], dtype="FLOAT32")),
    "16 bits": ("data-type", lambda: one("ADD", [IMAGE, IMAGE], [IMAGE], dtype="INT16")),
    "int32": ("data-type", lambda: one("ADD", [IMAGE, IMAGE], [IMAGE], dtype="INT32")),
    "activation": ("not-listed", lambda: one("LEAKY_RELU", [IMAGE], [IMAGE])),
    "custom": ("custom-operator", lambda: one("TFLite_Detection_PostProcess", [IMAGE], [IMAGE])),
    "batch of two": ("rank", lambda: one("TANH", [(2, 8, 8, 4)], [(2, 8, 8, 4)])),
    "computed weights": ("constant-parameters", lambda: convolution(constant=False)),
    "dilated differently": ("dilation", lambda: convolution((2, 1))),
    "two rows": ("one-dimensional", lambda: dense(2)),
    "dense of version 9": ("version", lambda: dense(1, version=9)),
    "shuffled weights": ("weights-format", lambda: dense(1, weights_format=1)),
    "pool with an activation": ("fused-activation", lambda: pool(RELU6)),
    "average pool with one": ("fused-activation", lambda: pool(RELU6, "AVERAGE_POOL_2D")),
    "ones joined": ("constant-input", lambda: joined(np.ones(IMAGE, np.int8))),
    "zeros joined to two": ("constant-input", lambda: joined(np.zeros(IMAGE, np.int8), others=2)),
    "mean of 6 channels": ("mean-channels", lambda: reduced("MEAN", (1, 8, 8, 6), 3)),
    "mean over the batch": ("batch-dimension", lambda: reduced("MEAN", IMAGE, 0)),
    "sum over the batch": ("batch-dimension", lambda: reduced("SUM", IMAGE, 0, 1)),
    "padding of the batch": ("rank", lambda: padded(IMAGE, 0, 1, 0, 0, 0, 0, 0, 0)),
    "packed as a batch": (
        "batch-dimension",
        lambda: one("PACK", [(8, 8, 4)], [IMAGE], ("PackOptions", {"axis": 0, "valuesCount": 1})),
    ),
    "computed axes": ("constant-parameters", computed_axes),
    "strides of 2": ("strided-slice", lambda: sliced((1, 2, 2, 1))),
    "ellipsis": ("strided-slice", lambda: sliced((1, 1, 1, 1), ellipsisMask=1)),
    "new axis": ("strided-slice", lambda: sliced((1, 1, 1, 1), newAxisMask=1)),
    "alpha by pixel": ("prelu-alpha", lambda: prelu((8, 8, 4))),
    "long softmax": ("softmax-size", lambda: one("SOFTMAX", [(1, 16_001)], [(1, 16_001)])),
    "enlarged 33 times": ("resize-size", lambda: resized("RESIZE_BILINEAR", (1, 1, 256), (33, 33))),
    "large result": ("resize-size", lambda: resized("RESIZE_BILINEAR", (256, 256, 32), (512, 512))),
}

UNCERTAIN: dict[str, tuple[str, Callable[[], bytes]]] = {
    "softmax by rows": ("softmax-rank", lambda: one("SOFTMAX", [(1, 10, 10)], [(1, 10, 10)])),
    "large reshape": ("reshape-size", lambda: reshaped(60_000)),
    "enlarged 4 times": ("resize-size", lambda: resized("RESIZE_BILINEAR", (8, 8, 4), (32, 32))),
    "transpose": ("transpose", lambda: transpose((1, 8, 8, 4), 0, 3, 1, 2)),
    "large transposed convolution": ("transpose-conv-size", lambda: transposed((512, 2, 2, 1024))),
    "first of two axes": ("batch-dimension", lambda: reduced("MEAN", (8, 4), 0)),
    "dense of version 7": ("version", lambda: dense(1, version=7)),
    "split of the batch into one": ("batch-dimension", lambda: split(0)),
    "other LSTM": ("lstm", lambda: one("LSTM", [(1, 4)], [(1, 4)])),
    "tile": ("not-listed", lambda: one("TILE", [IMAGE], [IMAGE])),
}


@pytest.mark.parametrize("case", MAPPED)
def test_what_the_list_of_operations_allows_is_mapped(tmp_path: Path, case: str) -> None:
    found = placed(MAPPED[case](), tmp_path)
    assert (found.place, found.rule, found.reason) == ("tpu", "", "")


@pytest.mark.parametrize("case", KEPT)
def test_a_rule_keeps_an_operator_on_the_cpu(tmp_path: Path, case: str) -> None:
    rule, make = KEPT[case]
    found = placed(make(), tmp_path)
    assert (found.place, found.rule) == ("cpu", rule)
    assert found.reason
    assert found.change


@pytest.mark.parametrize("case", UNCERTAIN)
def test_what_the_rules_do_not_decide_is_uncertain_with_the_reason(tmp_path: Path, case: str) -> None:
    rule, make = UNCERTAIN[case]
    found = placed(make(), tmp_path)
    assert (found.place, found.rule) == ("uncertain", rule)
    assert found.reason


def test_the_reason_names_what_was_found_and_the_change_what_helps(tmp_path: Path) -> None:
    long = placed(KEPT["long softmax"][1](), tmp_path)
    assert "16,001" in long.reason
    quantize = placed(one("QUANTIZE", [IMAGE], [IMAGE], dtype="FLOAT32"), tmp_path)
    assert "float32" in quantize.reason
    assert "--quantize int8" in quantize.change


def test_the_page_has_every_rule_and_no_other() -> None:
    page = (ROOT / "docs" / "edgetpu.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))
    sources = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "toolkit/edgeship/edgetpu").glob("*.py"))
    assert {rule for rule, _ in (KEPT | UNCERTAIN).values()} < listed
    assert [rule for rule in sorted(listed) if f'"{rule}"' not in sources] == []
