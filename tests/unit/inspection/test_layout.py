"""Where boxes and lines of a graph go."""

from __future__ import annotations

import random
from itertools import pairwise

from edgeship.inspection.layout import lay_out


def test_a_chain_runs_straight_down() -> None:
    found = lay_out([100.0, 60.0, 140.0], [(0, 1), (1, 2)])
    assert [rank for _, rank in found.places] == [0, 1, 2]
    assert len({round(x, 3) for x, _ in found.places}) == 1
    assert found.width == 140.0


def test_a_long_line_passes_beside_the_boxes() -> None:
    found = lay_out([100.0] * 5, [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4)])
    line = found.lines[3]
    assert [rank for _, rank in line] == [0, 1, 2, 3]
    for (x, rank), (box, level) in zip(line[1:-1], found.places[1:3], strict=True):
        assert rank == level
        assert abs(x - box) > 50
    # The main path is not pushed aside by the line.
    assert max(abs(x - found.places[0][0]) for x, _ in found.places) < 2


def test_what_nothing_goes_into_stands_above_its_reader() -> None:
    found = lay_out([50.0] * 5, [(0, 1), (1, 2), (2, 4), (3, 4)])
    assert [rank for _, rank in found.places] == [0, 1, 2, 2, 3]


def test_boxes_and_lines_never_overlap_and_always_go_down() -> None:
    draw = random.Random(7)
    for _ in range(30):
        count = draw.randrange(2, 40)
        edges = sorted({tuple(sorted(draw.sample(range(count), 2))) for _ in range(draw.randrange(1, 2 * count))})
        widths = [draw.uniform(40, 200) for _ in range(count)]
        found = lay_out(widths, [(a, b) for a, b in edges])
        rows: dict[int, list[tuple[float, float]]] = {}
        for (x, rank), width in zip(found.places, widths, strict=True):
            rows.setdefault(rank, []).append((x - width / 2, x + width / 2))
        for row in rows.values():
            assert all(two[0] - one[1] > 20 for one, two in pairwise(sorted(row)))
        for line, (start, end) in zip(found.lines, edges, strict=True):
            assert line[0] == found.places[start]
            assert line[-1] == found.places[end]
            assert all(two[1] - one[1] == 1 for one, two in pairwise(line))
        assert found == lay_out(widths, [(a, b) for a, b in edges])


def test_two_branches_do_not_cross() -> None:
    found = lay_out([80.0] * 6, [(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 5)])
    x = [place for place, _ in found.places]
    assert (x[1] - x[2]) * (x[3] - x[4]) > 0


def test_nothing_to_lay_out() -> None:
    assert lay_out([], []).ranks == 0
