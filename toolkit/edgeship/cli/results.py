"""Results of targets on the terminal: a table for each provenance, none of which shows what another has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeship.cli import profiles, ui

if TYPE_CHECKING:
    from edgeship.pipeline.results import ByProvenance
    from edgeship.types import Emulation, Estimate, Measurement, NotMeasured, Result


def print_results(found: ByProvenance) -> None:
    """What was measured, emulated and estimated, what could not be, and the notes."""
    from edgeship.report import results

    _measured(found.measurements)
    _emulated(found.emulations)
    _estimated(found.estimates)
    _unmeasured(found.unmeasured)
    rows: tuple[Result, ...] = (*found.measurements, *found.emulations, *found.estimates)
    for note in results.notes(rows):
        ui.say(f"note: {note}", err=True)


def _measured(rows: Sequence[Measurement]) -> None:
    if not rows:
        return
    from edgeship.report import results
    from edgeship_benchmarks.stats import summary

    made = ui.table("file", "target", "runtime", ">median ms [95 %]", ">p90", ">load ms", ">MiB", ">bytes", "")
    for m in rows:
        s = summary(m)
        interval = "" if s.interval_ms is None else " [{:.3f}, {:.3f}]".format(*s.interval_ms)
        memory = f"{m.peak_memory_mib:.0f}" if m.peak_memory_mib is not None else ""
        figures = (f"{s.median_ms:.3f}{interval}", f"{s.p90_ms:.3f}", f"{m.load_ms:.1f}", memory)
        said: str = "unstable" if s.unstable else m.provenance
        if m.on_software_gpu:
            said = "software GPU"
        ui.row(made, m.artifact, m.target, m.engine, *figures, f"{m.size_bytes:,}", said)
    ui.print_table(made)
    _parts(rows)
    _pages(rows)
    profiles.print_profiles(rows)
    for sentence in results.verdicts(rows):
        ui.say(sentence)


def _pages(rows: Sequence[Measurement]) -> None:
    """What a web page pays for each file in each runtime; of browsers only."""
    found = [(m, m.page) for m in rows if m.page is not None]
    if not found:
        return
    columns = (">runtime bytes", ">model bytes", "encoding", ">cold ms", ">warm ms", ">offline ms")
    made = ui.table("file", "runtime", *columns, title="what a web page pays before the first answer")
    for m, page in found:
        starts = ("" if ms is None else f"{ms:.0f}" for ms in (page.cold_ms, page.warm_ms, page.offline_ms))
        ui.row(made, m.artifact, m.engine, f"{page.runtime_bytes:,}", f"{page.model_bytes:,}", page.encoding, *starts)
    ui.print_table(made)


def _parts(rows: Sequence[Measurement]) -> None:
    """What is no part of a latency; nothing where only the usual was asked for."""
    if not any(m.batch or m.streaming or m.energy for m in rows):
        return
    made = ui.table("file", "runtime", ">before ms", ">after ms", ">one by one /s", ">in batches /s", ">mJ", "meter")
    for m in rows:
        processing = ("" if ms is None else f"{ms:.3f}" for ms in (m.preprocessing_ms, m.postprocessing_ms))
        streaming = f"{m.streaming.per_second:,.0f}" if m.streaming else ""
        batch = f"{m.batch.per_second:,.0f} (of {m.batch.batch})" if m.batch else ""
        energy = (f"{m.energy.millijoules:.3g}", m.energy.meter) if m.energy else ("", "")
        ui.row(made, m.artifact, m.engine, *processing, streaming, batch, *energy)
    ui.print_table(made)


def _emulated(rows: Sequence[Emulation]) -> None:
    from edgeship.report import results

    if not rows:
        return
    made = ui.table("file", "target", "runtime", ">instructions", "of which", ">arena", "outputs", title="emulated")
    for row in rows:
        words = (results.instructions_text(row), results.classes_text(row), results.arena_text(row))
        ui.row(made, row.artifact, row.target, row.runtime, *words, results.parity_text(row.parity))
    ui.print_table(made)


def _estimated(rows: Sequence[Estimate]) -> None:
    from edgeship.report import results

    if not rows:
        return
    made = ui.table("file", "target", "runtime", ">estimate", "basis", title="estimated, not measured")
    for row in rows:
        ui.row(made, row.artifact, row.target, row.runtime, results.estimate_text(row), row.basis)
    ui.print_table(made)


def _unmeasured(rows: Sequence[NotMeasured]) -> None:
    if not rows:
        return
    made = ui.table("file", "target", "runtime", "why", "what to try", title="not measured")
    for row in rows:
        ui.row(made, row.artifact, row.target, row.runtime, row.reason, row.remedy)
    ui.print_table(made)
