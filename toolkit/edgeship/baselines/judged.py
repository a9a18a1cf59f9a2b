"""One figure against the baseline's, and the word for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edgeship.errors import UnavailableError, from_wire
from edgeship.types import Emulation, Measurement, NotMeasured, Result
from edgeship_benchmarks.comparison import Ratio, word_for

Word = Literal["regression", "improvement", "allowed", "no difference", "within the noise", "same", "no verdict"]


@dataclass(frozen=True)
class Judged:
    """One figure of one artifact against the baseline's.

    Attributes:
        target, runtime: empty for what is the same everywhere.
        figure: `latency`, `size`, `compressed size`, `instructions`, `arena`, `file` where the files are equal, or
            `run` where the file does not run any more.
        before, now: in `unit`; None where there is none.
        verdict: `allowed`: certainly worse, but by no more than what is allowed; `no difference`: none of 5 % or more;
            `within the noise`: the interval leaves room for one; `same`: exactly.
        how: what the verdict rests on, or why there is none.
        ratio: now / before, at `level` within `interval`; exact figures have none.
    """

    artifact: str
    target: str
    runtime: str
    figure: str
    unit: str
    before: float | None
    now: float | None
    verdict: Word
    how: str
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    level: float | None = None


@dataclass(frozen=True)
class Judge:
    """Words for the figures of one artifact in one place; `allowed`: share by which one may become worse."""

    artifact: str
    target: str
    runtime: str
    allowed: float

    def silent(self, figure: str, why: str, before: float | None = None, now: float | None = None) -> Judged:
        """No verdict."""
        unit = "ms" if figure == "latency" else ""
        return Judged(self.artifact, self.target, self.runtime, figure, unit, before, now, "no verdict", why)

    def lost(self, now: NotMeasured) -> Judged:
        """What ran does not run any more: the file's fault, unless what it needs is not there."""
        excused = isinstance(from_wire({"type": now.type}), UnavailableError)
        word: Word = "no verdict" if excused else "regression"
        how = f"it ran before; now: {now.reason}"
        return Judged(self.artifact, self.target, self.runtime, "run", "", None, None, word, how)

    def equal_files(self) -> Judged:
        """The files are the same, bit for bit: whatever else differs, they are no reason."""
        return Judged(self.artifact, "", "", "file", "", None, None, "same", "equal, bit for bit")

    def timed(self, before: float, now: float, found: Ratio, how: str) -> Judged:
        """Latencies, by the interval of their ratio."""
        assert found.interval is not None
        numbers = (before, now, self._word(*found.interval), how, found.value, found.interval, found.level)
        return Judged(self.artifact, self.target, self.runtime, "latency", "ms", *numbers)

    def _word(self, low: float, high: float) -> Word:
        slower: Word = "regression" if low > 1 + self.allowed else "allowed"
        words: dict[str, Word] = {"slower": slower, "faster": "improvement", "undecided": "within the noise"}
        return words.get(word_for(low, high), "no difference")

    def exact(self, figure: str, unit: str, before: int, now: int, slack: float = 0.0) -> Judged:
        """A figure without noise; `slack`: share by which counts of one and the same thing differ."""
        word: Word = "same"
        if abs(now - before) > slack * before:
            worse: Word = "regression" if now > (1 + self.allowed) * before else "allowed"
            word = "improvement" if now < before else worse
        ratio = now / before if before else None
        return Judged(self.artifact, self.target, self.runtime, figure, unit, before, now, word, "exact", ratio)

    def sizes(self, before: Result | None, now: Result | None) -> Iterator[Judged]:
        """Bytes as they are, and as they are delivered, of two rows that say them."""
        if isinstance(before, Measurement | Emulation) and isinstance(now, Measurement | Emulation):
            everywhere = Judge(self.artifact, "", "", self.allowed)
            yield everywhere.exact("size", "B", before.size_bytes, now.size_bytes)
            yield everywhere.exact("compressed size", "B", before.wire_bytes, now.wire_bytes)

    def counts(self, before: Emulation, now: Emulation) -> Iterator[Judged]:
        """Instructions and arena; instructions may differ by what repeats of one count differ by."""
        if before.instructions is not None and now.instructions is not None:
            slack = max(before.instructions.spread, now.instructions.spread)
            yield self.exact("instructions", "", before.instructions.total, now.instructions.total, slack)
        if before.arena_bytes is not None and now.arena_bytes is not None:
            yield self.exact("arena", "B", before.arena_bytes, now.arena_bytes)
