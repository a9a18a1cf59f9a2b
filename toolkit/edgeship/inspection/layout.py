"""Where the boxes and lines of a graph's picture go: layers from top to bottom, few crossings, straight long lines.

The steps of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures" (IEEE
SMC-11, 1981): ranks, dummy boxes where a line crosses a rank, order by the barycenters of neighbours, then places.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Pixels: the space between boxes beside each other, and the room of a line that passes.
_GAP, _LINE = 22.0, 16.0
_SWEEPS = 12
#: How much more it counts that boxes stand below each other than that a line is straight: the main path runs down.
_UPRIGHT = 200.0


@dataclass(frozen=True)
class Layout:
    """Centers of boxes, and lines from box to box as centers of the points they pass.

    Attributes:
        places: (x, rank) of each box.
        lines: for each edge its points (x, rank), from the first box to the second.
        width: of the picture in pixels.
        ranks: number of layers.
    """

    places: tuple[tuple[float, int], ...]
    lines: tuple[tuple[tuple[float, int], ...], ...]
    width: float
    ranks: int


def lay_out(widths: Sequence[float], edges: Sequence[tuple[int, int]]) -> Layout:
    """Place boxes.

    Args:
        widths: of the boxes in pixels; the boxes are in the order of execution.
        edges: (from, to) by index, each from an earlier box to a later one.
    """
    ranks = _ranks(len(widths), edges)
    sizes = list(widths)
    levels = list(ranks)
    chains: list[list[int]] = []
    for start, end in edges:
        chain = [start]
        for rank in range(ranks[start] + 1, ranks[end]):
            chain.append(len(sizes))
            sizes.append(_LINE)
            levels.append(rank)
        chains.append([*chain, end])
    above: list[list[int]] = [[] for _ in sizes]
    below: list[list[int]] = [[] for _ in sizes]
    for chain in chains:
        for one, two in pairwise(chain):
            below[one].append(two)
            above[two].append(one)
    rows: list[list[int]] = [[] for _ in range(max(levels, default=-1) + 1)]
    for box, level in enumerate(levels):
        rows[level].append(box)
    _order(rows, above, below)
    x = _places(rows, sizes, above, below, len(widths))
    left = min((x[box] - sizes[box] / 2 for box in range(len(sizes))), default=0.0)
    right = max((x[box] + sizes[box] / 2 for box in range(len(sizes))), default=0.0)
    points = [(place - left, level) for place, level in zip(x, levels, strict=True)]
    lines = tuple(tuple(points[box] for box in chain) for chain in chains)
    return Layout(tuple(points[: len(widths)]), lines, right - left, len(rows))


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest way from a box without predecessors; those are pulled down to what reads them."""
    given: list[list[int]] = [[] for _ in range(count)]
    read: list[list[int]] = [[] for _ in range(count)]
    for start, end in edges:
        given[end].append(start)
        read[start].append(end)
    ranks = [0] * count
    for box in range(count):
        ranks[box] = max((ranks[start] + 1 for start in given[box]), default=0)
    for box in reversed(range(count)):
        if not given[box] and read[box]:
            ranks[box] = min(ranks[end] for end in read[box]) - 1
    return ranks


def _order(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Sort the boxes of each rank by the mean place of their neighbours, down and up in turn."""
    place = {box: float(index) for row in rows for index, box in enumerate(row)}
    for sweep in range(_SWEEPS):
        neighbours = below if sweep % 2 else above
        for row in reversed(rows) if sweep % 2 else rows:
            means = {box: _mean([place[other] for other in neighbours[box]], place[box]) for box in row}
            row.sort(key=means.__getitem__)
            place.update({box: float(index) for index, box in enumerate(row)})


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _places(
    rows: list[list[int]], sizes: Sequence[float], above: list[list[int]], below: list[list[int]], boxes: int
) -> list[float]:
    """Centers, each as near to the mean of its neighbours as the boxes beside it allow."""
    x = [0.0] * len(sizes)
    for row in rows:
        _settle(row, [0.0] * len(row), [1.0] * len(row), sizes, x)
    for sweep in range(2 * _SWEEPS):
        neighbours = below if sweep % 2 else above
        for row in reversed(rows) if sweep % 2 else rows:
            wanted = [_mean([x[other] for other in _chosen(box, neighbours[box], boxes)], x[box]) for box in row]
            weights = [1.0 if box >= boxes else _UPRIGHT for box in row]
            _settle(row, wanted, weights, sizes, x)
    return x


def _chosen(box: int, neighbours: list[int], boxes: int) -> list[int]:
    """A box looks at boxes only, if it has any beside it: a line that passes them all must not push it aside."""
    near = [other for other in neighbours if other < boxes] if box < boxes else neighbours
    return near or neighbours


def _settle(
    row: Sequence[int], wanted: Sequence[float], weights: Sequence[float], sizes: Sequence[float], x: list[float]
) -> None:
    """Least squares under "in this order, at least a gap apart": isotonic regression by pooling adjacent violators."""
    offsets, reach = [], 0.0
    for index, box in enumerate(row):
        reach += (sizes[row[index - 1]] + sizes[box]) / 2 + _GAP if index else 0.0
        offsets.append(reach)
    pools: list[tuple[float, float, int]] = []  # weighted sum, weight, members
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        total, heavy, members = weight * (want - offset), weight, 1
        while pools and pools[-1][0] / pools[-1][1] >= total / heavy:
            before = pools.pop()
            total, heavy, members = total + before[0], heavy + before[1], members + before[2]
        pools.append((total, heavy, members))
    index = 0
    for total, heavy, members in pools:
        for _ in range(members):
            x[row[index]] = total / heavy + offsets[index]
            index += 1
