"""A change with its interval, and what a gate says about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

GateStatus = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True)
class Change:
    """A paired drop of the metric (positive = worse) on the same samples.

    Attributes:
        interval: 95 %, in `unit`.
        unit: as `Metric.unit`: `points` or `%`.
    """

    value: float
    interval: tuple[float, float]
    unit: str
