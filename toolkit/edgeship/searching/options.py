"""How a search goes about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from edgeship.searching.sampling import Sampler
from edgeship.types import Plan


@dataclass(frozen=True)
class Options:
    """What a search is told; nothing of this changes what its trials give.

    Attributes:
        folder: of the search: its database, its trials, `front.html`.
        out: where the chosen build is written; None: nowhere.
        trials: how many there are to be in all, those of earlier runs and other machines counted; None: any number.
        budget_seconds: no trial is proposed, and no stage begun, after so long; None: no such bound.
        executor: `local`, `dask://HOST:PORT` or `ray`.
        workers: trials at once.
        storage: `postgresql://...`; None: SQLite in `folder`.
        measuring: plan of the chosen build's measurements.
    """

    folder: Path
    out: Path | None = None
    trials: int | None = None
    budget_seconds: float | None = None
    executor: str = "local"
    workers: int = 1
    storage: str | None = None
    sampler: Sampler = "tpe"
    seed: int = 0
    heartbeat_seconds: int = 60
    patience_seconds: float = 60.0
    force: bool = False
    measuring: Plan = field(default_factory=Plan)
    command: tuple[str, ...] = ()
