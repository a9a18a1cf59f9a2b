"""Multiply-accumulates by shapes."""

from __future__ import annotations

import pytest

from edgeship.inspection.description import Shape
from edgeship.inspection.kinds import kind_of
from edgeship.inspection.macs import count


@pytest.mark.parametrize(
    ("op_type", "kernel", "given", "out", "expected"),
    [
        ("CONV_2D", ((8, 3, 3, 4), "OHWI"), [(1, 6, 6, 4)], (1, 6, 6, 8), 288 * 36),
        ("Conv", ((8, 2, 3, 3), "OIHW"), [(None, 4, 6, 6)], (None, 8, 6, 6), 144 * 36),
        ("CONV_2D", ((8, 3, 3, 4), "OHWI"), [(1, None, 6, 4)], (1, None, 6, 8), None),
        ("Conv2DTranspose", ((2, 2, 5, 3), "HWOI"), [(None, 4, 4, 3)], (None, 8, 8, 5), 60 * 16),
        ("FULLY_CONNECTED", None, [(1, 2, 2, 3), (7, 12)], (1, 7), 84),
        ("BATCH_MATMUL", None, [(2, 4, 5, 6), (2, 4, 6, 3)], (2, 4, 5, 3), 2 * 4 * 5 * 6 * 3),
        ("MatMul", None, [(5, 6), (6,)], (5,), 30),
        ("Einsum", None, [(5, 6), (6, 2)], (5, 2), None),
        ("MatMulNBits", None, [(1, 64), (32, 2, 16)], (1, 32), None),
        ("QLinearMatMul", None, [(5, 6), (), (), (6, 2)], (5, 2), None),
        ("CUSTOM Mine", None, [(5, 6)], (5, 6), None),
        ("WHILE", None, [(5, 6)], (5, 6), None),
        ("ADD", None, [(5, 6)], (5, 6), 0),
    ],
)
def test_counts(
    op_type: str, kernel: tuple[Shape, str] | None, given: list[Shape], out: Shape, expected: int | None
) -> None:
    assert count(kind_of(op_type), op_type, kernel, given, out) == expected


def test_kinds_are_equal_across_formats() -> None:
    assert {kind_of(name) for name in ("CONV_2D", "Conv", "Conv2D", "_FusedConv2D", "QLinearConv")} == {"conv"}
    assert {kind_of(name) for name in ("FULLY_CONNECTED", "Gemm", "Dense")} == {"dense"}
    assert {kind_of(name) for name in ("DepthwiseConv2dNative", "FusedDepthwiseConv2dNative", "DEPTHWISE_CONV_2D")} == {
        "depthwise"
    }
    assert kind_of("BatchMatMulV2") == "matmul"
    assert kind_of("SomethingElse") == "other"
