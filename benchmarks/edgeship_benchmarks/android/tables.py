"""The tables that benchmark_model prints with `--enable_op_profiling=true`: what each operator took.

Forms: `StatsCalculator` and `ProfileSummaryDefaultFormatter` of TensorFlow, with the column `[start]` and without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import takewhile

from edgeship.errors import TargetUnavailable

_MOST_ROWS = 10_000
_LONGEST_NAME = 300
#: Before it come the tables of loading the file.
_BEGIN = "Operator-wise Profiling Info for Regular Benchmark Runs:"
_INSIDE = "Delegate internal:"
_TABLE = re.compile(r"^=+ Run Order =+\s*$", re.MULTILINE)
_MS = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
#: How a node is named that a delegate runs, whatever it replaced.
_DELEGATE = re.compile(r"TfLite\w*Delegate\w*")

#: Name, type and milliseconds in one inference.
Row = tuple[str, str, float]


def operators_of(text: str) -> list[Row]:
    """Operators in the order in which they run; those inside of a delegate where all that it runs is one node.

    Raises TargetUnavailable where the tool printed no table.
    """
    _, begun, rest = text.rpartition(_BEGIN)
    whole, _, inside = rest.partition(_INSIDE)
    rows = _first_table(whole) if begun else []
    if not rows:
        raise TargetUnavailable(
            "benchmark_model printed no times of operators", remedy="Use a newer one; see docs/targets/adb.md."
        )
    nodes = [number for number, (_, kind, _) in enumerate(rows) if _DELEGATE.fullmatch(kind)]
    parts = _first_table(inside)
    if len(nodes) == 1 and parts:
        rows[nodes[0] : nodes[0] + 1] = parts
    return rows


def _first_table(text: str) -> list[Row]:
    """The rows of the first table in the order of the run; of a file with loops, of the primary graph."""
    match = _TABLE.search(text)
    if match is None:
        return []
    lines = iter(text[match.end() :].lstrip("\n").split("\n"))
    columns = _cells(next(lines, ""))
    if not {"[node type]", "[avg ms]", "[Name]"} <= set(columns):
        return []
    return list(_rows(columns, takewhile(str.strip, lines)))


def _rows(columns: Sequence[str], lines: Iterator[str]) -> Iterator[Row]:
    for count, line in enumerate(lines):
        cells = dict(zip(columns, _cells(line), strict=False))
        ms, calls = cells.get("[avg ms]", ""), cells.get("[times called]", "1")
        if count >= _MOST_ROWS or not _MS.fullmatch(ms) or "[Name]" not in cells:
            return
        name = re.sub(r"^\[(.*)\](:\d+)?$", r"\1", cells["[Name]"])
        times = max(1, int(calls)) if re.fullmatch(r"\d{1,9}", calls) else 1
        yield _plain(name), _plain(cells["[node type]"]), times * float(ms)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().split("\t")]


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:_LONGEST_NAME]
