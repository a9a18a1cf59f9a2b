"""What targets gave beside latencies, in words. An emulation has no latency: that is what the types are for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from edgeship.errors import InputError
from edgeship.report.view import DASH, digits
from edgeship.types import NO_GPU, Emulation, Estimate, Measurement, Parity, Result

if TYPE_CHECKING:
    from edgeship.baselines import Judged

#: Numbers, which do not make another note.
_NUMBER = re.compile(r"\d[\d.,]*")


def verdicts(measurements: Sequence[Measurement], labels: Mapping[str, str] = MappingProxyType({})) -> list[str]:
    """On each file against the first that was interleaved with it, in sentences; none where nothing was.

    Of an unstable row there is no verdict with fewer than six starts. From six on, what moved while measuring moved
    both, and a start that was disturbed is left out (docs/adr/0008): the ratio holds, and the sentence says that the
    milliseconds do not. Of software that stood for a GPU there is none at all.

    `labels`: how artifacts are called, where it is not by their ids.
    """
    firsts: dict[tuple[str, str], Measurement] = {}
    found: list[str] = []
    undecided: dict[tuple[str, str, str], list[str]] = {}
    rows_of = Counter((m.target, m.group, m.artifact) for m in measurements)
    for m in measurements:
        first = firsts.setdefault((m.target, m.group), m)
        if first is m:
            continue
        names = [labels.get(row.artifact, row.artifact) for row in (m, first)]
        if any(rows_of[row.target, row.group, row.artifact] > 1 for row in (m, first)):
            names = [f"{name} in {row.engine}" for name, row in zip(names, (m, first), strict=True)]
        why = _why_none(m, first)
        if why:
            undecided.setdefault((_place(m, first), names[1], why), []).append(names[0])
        else:
            found.append(f"{_place(m, first)}: {_verdict(m, first, names)}")
    found += [
        f"{place}: no verdict on {', '.join(names)} against {first}: {why}"
        for (place, first, why), names in undecided.items()
    ]
    return found + (_started_once(measurements) if found else [])


def _started_once(measurements: Sequence[Measurement]) -> list[str]:
    targets = sorted({m.target for m in measurements if m.repeats == 1})
    if not targets:
        return []
    more = "" if all(target.startswith("browser:") for target in targets) else "; edgeship benchmark starts it again"
    where = ", ".join(targets)
    return [f"On {where} each file was started once, and two starts of one file differ: mistrust small ratios{more}."]


def notes(rows: Sequence[Result]) -> list[str]:
    """Notes of rows, each once: of notes that only differ in numbers the first, and how many rows have such a one."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        for note in row.notes:
            alike.setdefault(_NUMBER.sub("0", note), []).append((f"{row.artifact} on {row.target}", note))
    found = []
    for (place, note), *others in alike.values():
        rest = f", and {len(others)} more like it" if others else ""
        found.append(f"{place}: {note}{rest}")
    return found


def _place(measured: Measurement, first: Measurement) -> str:
    """The target; with the runtime where a target has several, which then are groups of their own."""
    grouped = measured.group and measured.runtime == first.runtime
    return f"{measured.target}, {measured.runtime}" if grouped else measured.target


def _why_none(measured: Measurement, first: Measurement) -> str:
    """Why what was measured bears no verdict; empty where it bears one."""
    from edgeship_benchmarks.stats import may_be_compared

    if measured.on_software_gpu or first.on_software_gpu:
        return NO_GPU
    if not (may_be_compared(measured) and may_be_compared(first)):
        return "not all of them were stable; stop other work, raise --repeats"
    return ""


def _verdict(measured: Measurement, first: Measurement, names: Sequence[str]) -> str:
    """In a sentence."""
    from edgeship_benchmarks.comparison import verdict
    from edgeship_benchmarks.stats import summary

    try:
        said = verdict(measured, first)
    except InputError as error:
        return f"{names[0]} cannot be compared: {error.message}"
    shaken = [name for name, row in zip(names, (measured, first), strict=True) if summary(row).unstable]
    if not shaken:
        return said.sentence(*names)
    words = f"{' and '.join(shaken)} {'was' if len(shaken) == 1 else 'were'} unstable"
    return f"{said.sentence(*names)} ({words}: the ratio is of rounds that both met, their milliseconds do not hold)"


def figure_text(value: float | None, judged: Judged) -> str:
    """`0.036 ms`, `98,464 B`; empty where there is none."""
    if value is None:
        return ""
    return f"{value:.3f} ms" if judged.unit == "ms" else f"{value:,.0f} {judged.unit}".rstrip()


def judged_ratio_text(judged: Judged) -> str:
    """`1.031 [1.012, 1.050]`; empty for exact figures."""
    interval = "" if judged.interval is None else " [{:.3f}, {:.3f}]".format(*judged.interval)
    return "" if judged.ratio is None else f"{judged.ratio:.3f}{interval}"


def throughput_text(measurement: Measurement) -> str:
    """`3,117 one by one, 3,912 in batches of 8`; a dash where none was measured."""
    said = []
    if measurement.streaming is not None:
        said.append(f"{measurement.streaming.per_second:,.0f} one by one")
    if measurement.batch is not None:
        said.append(f"{measurement.batch.per_second:,.0f} in batches of {measurement.batch.batch}")
    return ", ".join(said) or DASH


def energy_text(measurement: Measurement) -> str:
    """`2.31 mJ (package-0)`; a dash where there is no meter."""
    energy = measurement.energy
    return DASH if energy is None else f"{digits(energy.millijoules)} mJ ({energy.meter})"


def parity_text(parity: Parity) -> str:
    """`bit-identical to litert on x86_64, 8 samples`."""
    samples = "1 sample" if parity.samples == 1 else f"{parity.samples:,} samples"
    if parity.identical:
        return f"bit-identical to {parity.reference}, {samples}"
    if parity.largest_difference is None:
        return f"has NaN or infinity where {parity.reference} has numbers, or the other way round, {samples}"
    return f"differs from {parity.reference} by up to {parity.largest_difference:.3g}, {samples}"


def instructions_text(emulation: Emulation) -> str:
    """`5,766,454` for one inference; a dash where they were not counted."""
    return DASH if emulation.instructions is None else f"{emulation.instructions.total:,}"


def classes_text(emulation: Emulation) -> str:
    """`multiply-add 50 %, load and store 23 %`: kinds of instructions, the most frequent first."""
    found = emulation.instructions
    if found is None or not found.by_class or not found.total:
        return DASH
    ranked = sorted(found.by_class.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{name} {100 * count / found.total:.0f} %" for name, count in ranked)


def arena_text(emulation: Emulation) -> str:
    """`34,816 B`; a dash where the runtime has no arena."""
    return DASH if emulation.arena_bytes is None else f"{emulation.arena_bytes:,} B"


def estimate_text(estimate: Estimate) -> str:
    """`≥ 1.9 ms`, or `about 2.1 ms, ±12 % (leave-one-out error)`; never a bare number."""
    if estimate.at_least_ms is not None:
        return f"≥ {digits(estimate.at_least_ms)} ms"
    assert estimate.fitted_ms is not None
    assert estimate.leave_one_out_error is not None
    return f"about {digits(estimate.fitted_ms)} ms, ±{100 * estimate.leave_one_out_error:.0f} % (leave-one-out error)"
