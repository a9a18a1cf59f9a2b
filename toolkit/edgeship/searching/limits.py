"""What a search minimizes, and the limits that its choice must keep."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from edgeship.errors import InputError
from edgeship.searching.trials import Trial

#: Letters behind a number of bytes.
_UNITS = {"": 1, "k": 1000, "m": 1_000_000, "ki": 1024, "mi": 1 << 20}
#: How far beyond `max_drop` a model may be after a stage, in multiples of it and in points: what comes later (training,
#: mostly) wins some of it back. The smallest loss of which a later stage was seen to recover is far within this.
_FAR_TIMES, _FAR_POINTS = 4.0, 5.0
#: How many times larger wide limits of losses are.
_WIDE_TIMES = 5.0
#: Quantities that can be minimized.
QUANTITIES = ("drop", "bytes", "ms", "mib")


@dataclass(frozen=True)
class Limits:
    """What the chosen file must keep.

    Attributes:
        max_drop: of the metric, against the original, in its drop unit (points), on the validation samples.
        max_bytes: as delivered (`on_the_wire`).
        max_ms: target -> median latency.
        max_mib: target -> resident peak of the measuring process.
        max_slice_drop: as `max_drop`, in every slice.
    """

    max_drop: float = 0.5
    max_bytes: int | None = None
    max_ms: Mapping[str, float] = field(default_factory=dict)
    max_mib: Mapping[str, float] = field(default_factory=dict)
    max_slice_drop: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("max_drop", self.max_drop), ("max_slice_drop", self.max_slice_drop)):
            if value is not None and not 0 <= value <= 100:
                raise InputError(f"{name} is {value:g}", remedy="Allowed: 0 to 100.")
        for name, numbers in (
            ("max_bytes", [self.max_bytes]),
            ("max_ms", self.max_ms.values()),
            ("max_mib", self.max_mib.values()),
        ):
            for number in numbers:
                if number is not None and not (math.isfinite(number) and number > 0):
                    raise InputError(f"{name} is {number:g}", remedy="Allowed: numbers above 0.")

    @property
    def targets(self) -> tuple[str, ...]:
        """Where something must be measured."""
        return tuple(dict.fromkeys((*self.max_ms, *self.max_mib)))

    @property
    def wide(self) -> Limits:
        """With room for losses: trials that are beyond a limit by little show the way to such as keep it."""
        slices = None if self.max_slice_drop is None else min(_WIDE_TIMES * self.max_slice_drop, 100.0)
        return replace(self, max_drop=min(_WIDE_TIMES * self.max_drop, 100.0), max_slice_drop=slices)

    @property
    def far_beyond(self) -> float:
        """The drop after a stage beyond which training a model on is not worth it."""
        return self.max_drop * (1 + _FAR_TIMES) + _FAR_POINTS

    def excess(self, trial: Trial) -> dict[str, float]:
        """Limit -> how far the trial is beyond it, as a share of the limit; 0 and below: kept. Empty without a file.

        A drop is counted in points over the limit, because a limit of 0 has no share.
        """
        if trial.file is None:
            return {}
        found = {"max-drop": trial.file.drop.value - self.max_drop}
        if self.max_slice_drop is not None:
            worst = trial.worst_slice
            found["max-slice-drop"] = math.inf if worst is None else worst.drop - self.max_slice_drop
        if self.max_bytes is not None:
            found["max-bytes"] = trial.wire_bytes / self.max_bytes - 1
        found |= {f"max-ms@{t}": _over(trial.ms(t), limit) for t, limit in self.max_ms.items()}
        return found | {f"max-mib@{t}": _over(trial.mib(t), limit) for t, limit in self.max_mib.items()}

    def doubts(self, trial: Trial) -> tuple[str, ...]:
        """Limits that a trial may not keep: beyond which its 95 % intervals go, as those of the gates may later."""
        if trial.file is None:
            return ()
        over = {"max-drop": trial.file.drop.interval[1] - self.max_drop}
        if self.max_slice_drop is not None:
            high = trial.worst_slice.high if trial.worst_slice is not None else None
            over["max-slice-drop"] = math.inf if high is None else high - self.max_slice_drop
        highs = {timing.target: timing.high_ms for timing in trial.timings}
        over |= {f"max-ms@{t}": _over(highs.get(t), limit) for t, limit in self.max_ms.items()}
        return tuple(name for name, value in over.items() if value > 0)

    def text(self) -> str:
        """All limits, for a person."""
        words = [f"drop {self.max_drop:g}"]
        words += [] if self.max_slice_drop is None else [f"drop in any slice {self.max_slice_drop:g}"]
        words += [] if self.max_bytes is None else [f"{self.max_bytes:,} bytes"]
        words += [f"{limit:g} ms on {target}" for target, limit in self.max_ms.items()]
        return ", ".join([*words, *(f"{limit:g} MiB on {target}" for target, limit in self.max_mib.items())])


def _over(value: float | None, limit: float) -> float:
    """A value that could not be had keeps no limit."""
    return math.inf if value is None else value / limit - 1


def value_of(trial: Trial, objective: str) -> float:
    """What a trial has of `drop`, `bytes`, `ms@TARGET` or `mib@TARGET`; inf where it could not be had."""
    quantity, _, target = objective.partition("@")
    if trial.file is None:
        return math.inf
    if quantity == "drop":
        return trial.file.drop.value
    if quantity == "bytes":
        return float(trial.wire_bytes)
    found = trial.ms(target) if quantity == "ms" else trial.mib(target)
    return math.inf if found is None else found


def objectives(minimize: Sequence[str], targets: Sequence[str]) -> tuple[str, ...]:
    """What is minimized: the drop always, beside it what was asked for, or bytes and the milliseconds of each target.

    Raises InputError for a quantity that is none, or of a target that is not measured.
    """
    wanted = list(minimize) or ["bytes", *(f"ms@{target}" for target in targets)]
    found = ["drop"]
    for given in wanted:
        word = f"{given}@{targets[0]}" if given in ("ms", "mib") and len(targets) == 1 else given
        quantity, _, target = word.partition("@")
        if quantity not in QUANTITIES or (quantity in ("ms", "mib")) != bool(target):
            raise InputError(
                f"nothing is called {word!r} that could be minimized",
                remedy="Allowed: bytes, ms@TARGET, mib@TARGET; drop always is.",
            )
        if target and target not in targets:
            raise InputError(f"{word!r}: {target} is not measured", remedy=f"Add --target {target}.")
        found.append(word)
    return tuple(dict.fromkeys(found))


def parse_bytes(text: str) -> int:
    """`40k` -> 40,000; `40Ki` -> 40,960. Raises InputError."""
    match = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([kKmM]i?|)[bB]?", text.strip())
    if not match or not float(match[1]) > 0:
        raise InputError(f"{text[:50]!r} is no number of bytes", remedy="Allowed: such as 40000, 40k, 1.5M or 64Ki.")
    return round(float(match[1]) * _UNITS[match[2].lower()])


def parse_at(text: str, unit: str) -> tuple[str, float]:
    """`2@ssh://pi` -> ("ssh://pi", 2.0); without a target it is `local`. Raises InputError."""
    number, _, target = text.partition("@")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise InputError(f"{text[:50]!r} is no limit in {unit}", remedy="Allowed: such as 2@local or 2@ssh://pi.")
    return target or "local", value


def parse_all(texts: Sequence[str], unit: str) -> dict[str, float]:
    """Limits as `parse_at`, by target. Raises InputError where a target has two."""
    found: dict[str, float] = {}
    for text in texts:
        target, value = parse_at(text, unit)
        if target in found:
            raise InputError(f"{target} has two limits in {unit}: {found[target]:g} and {value:g}")
        found[target] = value
    return found


def parse_seconds(text: str) -> float:
    """`30m` -> 1800.0. Raises InputError."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([smhd])", text.strip())
    if not match or not float(match[1]) > 0:
        raise InputError(f"{text[:50]!r} is no time", remedy="Allowed: such as 90s, 30m, 2h or 1d.")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
