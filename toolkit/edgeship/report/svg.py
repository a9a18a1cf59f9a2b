"""Drawing for the report: shapes as data, scales with readable ticks, labels that stay apart.

Shapes carry CSS classes instead of colours, so a chart follows the page's fonts and its light or dark scheme; the
template writes them (and escapes every text). One unit is one CSS pixel at the design width of a chart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

#: Width of one character of the page's font at the charts' 12 px, on the safe side: labels are placed by it.
CHARACTER = 6.7
LINE = 15.0


@dataclass(frozen=True)
class Shape:
    """One SVG element: `attributes` are ours, `text` and `title` (the tooltip) may come from outside."""

    tag: str
    attributes: dict[str, str]
    text: str = ""
    title: str = ""


@dataclass
class Chart:
    """A drawing of `width` x `height` pixels; `label` says in one sentence what it shows to those who cannot see it."""

    width: float
    height: float
    label: str
    kind: str = "wide"
    shapes: list[Shape] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)

    def line(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        """A straight line."""
        (x1, y1), (x2, y2) = start, end
        self._add("line", {"x1": x1, "y1": y1, "x2": x2, "y2": y2}, style)

    def rect(self, corner: tuple[float, float], size: tuple[float, float], style: str, title: str = "") -> None:
        """A box, at least one pixel wide so that small values are seen."""
        self._add(
            "rect", {"x": corner[0], "y": corner[1], "width": max(1.0, size[0]), "height": size[1]}, style, title=title
        )

    def path(self, points: Iterable[tuple[float, float]], style: str, *, closed: bool = False, title: str = "") -> None:
        """Straight pieces through all points."""
        d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + ("Z" if closed else "")
        self._add("path", {"d": d}, style, title=title)

    def text(self, at: tuple[float, float], text: str, style: str, anchor: str = "start") -> None:
        """One line of text; `at` is the baseline at the anchor."""
        self._add("text", {"x": at[0], "y": at[1], "text-anchor": anchor}, style, text=text)

    def mark(self, at: tuple[float, float], form: str, style: str, title: str) -> None:
        """A point, whose form tells the format apart where colour is not seen."""
        x, y = at
        outlines: dict[str, list[tuple[float, float]]] = {
            "square": [(-4.6, -4.6), (4.6, -4.6), (4.6, 4.6), (-4.6, 4.6)],
            "diamond": [(0, -6.4), (6.4, 0), (0, 6.4), (-6.4, 0)],
            "triangle": [(0, -6.2), (6, 4.6), (-6, 4.6)],
        }
        outline = outlines.get(form)
        if outline is None:
            self._add("circle", {"cx": x, "cy": y, "r": 5.2}, style, title=title)
        else:
            self.path([(x + dx, y + dy) for dx, dy in outline], style, closed=True, title=title)

    def _add(
        self, tag: str, attributes: Mapping[str, float | str], style: str, *, text: str = "", title: str = ""
    ) -> None:
        plain = {k: f"{v:.1f}" if isinstance(v, int | float) else v for k, v in attributes.items()}
        self.shapes.append(Shape(tag, {**plain, "class": style}, text, title))


@dataclass(frozen=True)
class Scale:
    """Values `low..high` to pixels `start..end`; logarithmic scales take positive values only."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value, clipped to the scale."""
        value = min(max(value, self.low), self.high)
        low, high, at = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (at - low) / (high - low)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values within the scale."""
        if self.log:
            for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)):
                found = self._log_ticks(steps)
                if len(found) >= max(3, count - 2):
                    return found[:: max(1, math.ceil(len(found) / (count + 2)))]
        span = (self.high - self.low) / max(1, count - 1)
        power = 10.0 ** math.floor(math.log10(span))
        step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= span * 0.9999)
        first = math.ceil(self.low / step - 1e-9)
        return [n * step for n in range(first, math.floor(self.high / step + 1e-9) + 1)]

    def _log_ticks(self, steps: Sequence[float]) -> list[float]:
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        values = [step * 10.0**power for power in powers for step in steps]
        return [v for v in values if self.low * 0.9999 <= v <= self.high * 1.0001]


def padded(values: Sequence[float], *, log: bool = False, share: float = 0.08) -> tuple[float, float]:
    """Ends of a scale that keep the values off the frame."""
    low, high = min(values), max(values)
    if log:
        factor = max((high / low) ** share, 1.25)
        return low / factor, high * factor
    pad = (high - low) * share or abs(high) * 0.02 or 1.0
    return low - pad, high + pad


Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Label:
    """A placed label: baseline and anchor of the text, the box it fills, and whether a thread leads to its point."""

    at: tuple[float, float]
    anchor: str
    box: Box
    leader: bool


def place_labels(
    points: Sequence[tuple[float, float]], texts: Sequence[str], frame: Box, occupied: Sequence[Box] = ()
) -> list[Label | None]:
    """A place beside each point where its label covers no other label, no point, nothing occupied, not the frame.

    Greedy, nearest places first; None for a label that fits nowhere.
    """
    taken: list[Box] = [*occupied, *((x - 6, y - 6, x + 6, y + 6) for x, y in points)]
    labels: list[Label | None] = []
    for (x, y), text in zip(points, texts, strict=True):
        own = (x - 6, y - 6, x + 6, y + 6)
        blocked = [box for box in taken if box != own]
        found = next(
            (c for c in _candidates(x, y, len(text) * CHARACTER) if _inside(c.box, frame) and _free(c.box, blocked)),
            None,
        )
        if found is not None:
            taken.append(found.box)
        labels.append(found)
    return labels


def _candidates(x: float, y: float, width: float) -> Iterable[Label]:
    for radius in (9, 18, 30, 44, 60, 78, 98, 120, 145):
        for angle in (0, 180, 30, -30, 150, -150, 60, -60, 120, -120, 90, -90):
            dx, dy = radius * math.cos(math.radians(angle)), radius * math.sin(math.radians(angle))
            if abs(dx) < 1:
                anchor, left = "middle", x - width / 2
            else:
                anchor, left = ("start", x + dx) if dx > 0 else ("end", x + dx - width)
            middle = y + dy
            box = (left - 2, middle - LINE / 2, left + width + 2, middle + LINE / 2)
            at = {"start": left, "end": left + width, "middle": x}[anchor]
            yield Label((at, middle + 4), anchor, box, radius > 18)


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _free(box: Box, taken: Sequence[Box]) -> bool:
    return not any(box[0] < t[2] and t[0] < box[2] and box[1] < t[3] and t[1] < box[3] for t in taken)
