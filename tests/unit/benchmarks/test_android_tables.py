"""Times of operators as benchmark_model prints them; tables written after its sources."""

from __future__ import annotations

import pytest

from edgeship.errors import TargetUnavailable
from edgeship_benchmarks.android.tables import operators_of

_OLD = "[node type]\t  [start]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]"
_NEW = "[node type]\t  [first]\t [avg ms]\t     [%]\t  [cdf%]\t  [mem KB]\t[times called]\t[Name]"
_BEGIN = "Operator-wise Profiling Info for Regular Benchmark Runs:\n"
_LOADING = f"""\
Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
\t             {_NEW}
\t   ModifyGraphWithDelegate\t    1.000\t    1.000\t 50.000%\t 50.000%\t     0.000\t        1\tModify/0

"""


def _table(header: str, *rows: str) -> str:
    lines = "".join(f"\t             {row}\n" for row in rows)
    return (
        f"============================== Run Order ==============================\n\t             {header}\n{lines}\n"
    )


def test_an_old_table() -> None:
    text = _BEGIN + _table(
        _OLD,
        "CONV_2D\t    0.000\t    4.269\t    4.261\t  99.1%\t  99.1%\t     0.000\t        1\t[a/Relu6]:0",
        "SOFTMAX\t    4.270\t    0.041\t    0.039\t  0.9%\t  100.0%\t     0.000\t        1\t[b]:1",
    )
    assert operators_of(_LOADING + text) == [("a/Relu6", "CONV_2D", 4.261), ("b", "SOFTMAX", 0.039)]


def test_a_new_table_with_a_loop() -> None:
    text = _BEGIN + _table(
        _NEW, "WHILE\t 4.2\t 4.0\t 1%\t 1%\t 0.0\t 1\t[w]:0", "ADD\t 1\t 0.5\t 1%\t 1%\t 0.0\t 3\t[x]:1"
    )
    assert operators_of(text) == [("w", "WHILE", 4.0), ("x", "ADD", 1.5)]


def test_what_a_delegate_runs_takes_its_place() -> None:
    node = "TfLiteXNNPackDelegate\t 4.2\t 4.0\t 1%\t 1%\t 0.0\t 1\t[out]:5"
    other = "SOFTMAX\t 1\t 0.5\t 1%\t 1%\t 0.0\t 1\t[s]:1"
    inner = "Convolution (NHWC, F32) IGEMM\t 3\t 3.5\t 1%\t 1%\t 0.0\t 1\tDelegate/Convolution (NHWC, F32) IGEMM:0"
    text = _BEGIN + _table(_NEW, node, other)
    assert operators_of(text)[0] == ("out", "TfLiteXNNPackDelegate", 4.0)
    with_inside = f"{text}Delegate internal: \n{_table(_NEW, inner)}"
    assert [row[1:] for row in operators_of(with_inside)] == [("Convolution (NHWC, F32) IGEMM", 3.5), ("SOFTMAX", 0.5)]
    two = f"{_BEGIN}{_table(_NEW, node, other, node)}Delegate internal: \n{_table(_NEW, inner)}"
    assert len(operators_of(two)) == 3  # nobody knows which of them it was


@pytest.mark.parametrize(
    "text",
    [
        "",
        _LOADING,
        _BEGIN,
        _BEGIN + _table("[a]\t[b]", "1\t2"),
        _BEGIN + _table(_NEW, "CONV_2D\t 1\t nan\t 1%\t 1%\t 0\t 1\t[x]"),
        _BEGIN + _table(_NEW, "CONV_2D\t 1"),
        _BEGIN + "=" * 500_000,
    ],
)
def test_no_table_is_an_error(text: str) -> None:
    with pytest.raises(TargetUnavailable, match="printed no times of operators"):
        operators_of(text)


def test_a_table_without_end_is_cut() -> None:
    row = "ADD\t 1\t 0.5\t 1%\t 1%\t 0.0\t 3\t[x\x1b[2J" + "x" * 300 + "]:1"
    found = operators_of(_BEGIN + _table(_NEW, *[row] * 10_100))
    assert len(found) == 10_000
    assert len(found[0][0]) <= 300
    assert found[0][0].isprintable()
