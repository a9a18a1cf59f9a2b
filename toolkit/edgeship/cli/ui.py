"""What commands show: progress on standard error, results on standard output, one JSON document with --json."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

    from edgeship.report.stages import StageRow
    from edgeship.report.view import Row, Timing
    from edgeship.types import Failure, Gate, Progress, ProgressCallback, Report

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")


@contextmanager
def progress_bars() -> Iterator[ProgressCallback]:
    """Bars for long work: one for each stage; gone afterwards, absent where standard error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    from edgeship.report.view import clean
    from edgeship.types import OPEN_PAGE

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<16}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", markup=False),
    )
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def show(event: Progress) -> None:
            if event.stage == OPEN_PAGE and event.message:
                ask_to_open(event.message, qr=console.is_terminal)
            if event.stage not in tasks:
                for task in tasks.values():
                    bars.update(task, visible=False)
                tasks[event.stage] = bars.add_task(clean(event.stage), total=event.total, message="")
            bars.update(
                tasks[event.stage], completed=event.done, total=event.total, message=clean(event.message), visible=True
            )

        yield show


def ask_to_open(address: str, *, qr: bool) -> None:
    """Ask for a page to be opened, on a phone by its QR code (of the package segno, where that is installed)."""
    if qr:
        try:
            import segno
        except ImportError:
            pass  # the address is enough
        else:
            import io

            drawn = io.StringIO()
            segno.make(address, micro=False).terminal(drawn, compact=True)
            click.echo(drawn.getvalue(), err=True)
    say(f"Open this page on the device, in the same network, and keep it in front:\n  {address}", err=True)


def emit(document: Any, as_json: bool, show: Callable[[], None]) -> None:
    """Print the JSON document, or show the same for a person."""
    from edgeship.codec import to_data

    if as_json:
        click.echo(json.dumps(to_data(document), indent=2, allow_nan=False))
    else:
        show()


def print_table(table: Table) -> None:
    """Show a table on standard output, as wide as the terminal (120 columns where there is none)."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(table)


def table(*columns: str, title: str = "") -> Table:
    """An empty table; columns whose name starts with `>` are aligned right."""
    from rich import box
    from rich.table import Table

    made = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        side = "right" if column.startswith(">") else "left"
        # A name that is cut could be that of another file.
        made.add_column(column.removeprefix(">"), justify=side, overflow="fold")  # type: ignore[arg-type] # one of two
    return made


def row(made: Table, *cells: str, style: str = "") -> None:
    """Add a row of plain text: what comes from outside is never read as markup or by the terminal."""
    from rich.text import Text

    from edgeship.report.view import clean_lines

    made.add_row(*(Text(clean_lines(cell)) for cell in cells), style=style)


def say(text: str, *, err: bool = False) -> None:
    """Print lines that may hold text from outside: control characters never reach the terminal."""
    from edgeship.report.view import clean_lines

    click.echo(clean_lines(text), err=err)


def report_table(report: Report) -> Table:
    """The table of all files of a build."""
    from edgeship.report import view

    columns = ("file", ">bytes", ">compressed", f">{report.metric}", ">drop [95 %]", ">ms", "verified", "runtime")
    return _filled(columns, [_report_cells(found) for found in view.rows(report)])


def stage_table(report: Report) -> Table:
    """What each stage of the recipe did, on the validation samples."""
    from edgeship.report.stages import stage_rows

    columns = ("after", "file", f">{report.metric}", ">drop [95 %]", ">brotli", ">ms", ">MACs", ">zeros")
    title = "after each stage, on the validation samples (the table above: test samples)"
    return _filled(columns, [_stage_cells(found) for found in stage_rows(report)], title)


def attempt_table(report: Report) -> Table:
    """What a recipe tried in order, on the validation samples, and why each was taken or not.

    What comes after the last one that was tried is left out.
    """
    last = max((n for n, attempt in enumerate(report.attempts) if attempt.outcome != "skipped"), default=-1)
    rows = [
        (
            attempt.recipe,
            f"{attempt.file.metric:.4f}" if attempt.file else "",
            f"{attempt.file.brotli_bytes:,}" if attempt.file else "",
            f"{attempt.seconds:.0f}" if attempt.outcome != "skipped" else "",
            "taken" if attempt.chosen else attempt.outcome,
            attempt.reason,
        )
        for attempt in report.attempts[: last + 1]
    ]
    columns = ("tried", f">{report.metric}", ">brotli", ">seconds", "outcome", "why")
    return _filled(columns, rows, "what was tried, on the validation samples")


def _filled(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> Table:
    """A table without the columns for which nothing was found."""
    shown = [i for i in range(len(columns)) if any(cells[i] for cells in rows)]
    made = table(*(columns[i] for i in shown), title=title)
    for cells in rows:
        row(made, *(cells[i] for i in shown))
    return made


def _stage_cells(found: StageRow) -> tuple[str, ...]:
    stage, file = found.stage, found.file
    once = (f"{stage.macs:,}" if stage.macs is not None else "", f"{100 * stage.sparsity:.0f} %")
    return (
        stage.name if found.first else "",
        file.artifact if file else "",
        f"{file.metric if file else stage.metric:.4f}",
        _change(file.drop.value, file.drop.interval) if file else "",
        f"{file.brotli_bytes:,}" if file else "",
        _median(found.timing),
        *(once if found.first else ("",) * len(once)),
    )


def _report_cells(found: Row) -> tuple[str, ...]:
    timing = found.timings[0] if found.timings else None
    return (
        found.artifact.id,
        f"{found.artifact.size_bytes:,}",
        f"{found.wire_bytes:,}" if found.wire_bytes is not None else "",
        f"{found.metric:.4f}" if found.metric is not None else "",
        _drop(found.drop),
        _median(timing),
        found.artifact.verification,
        timing.runtime if timing else "",
    )


def _median(timing: Timing | None) -> str:
    if timing is None:
        return ""
    return f"{timing.summary.median_ms:.3f}{' unstable' if timing.summary.unstable else ''}"


def _drop(gate: Gate | None) -> str:
    return "" if gate is None or gate.interval is None else _change(gate.value, gate.interval)


def _change(value: float, interval: tuple[float, float]) -> str:
    from edgeship.verify import signed

    return "{} [{}, {}]".format(*map(signed, (value, *interval)))


def print_report(report: Report) -> None:
    """The tables of a build: what was tried, its files, and what the stages of its recipe did."""
    if report.attempts:
        print_table(attempt_table(report))
    print_table(report_table(report))
    if report.stages:
        print_table(stage_table(report))


def last_line(report: Report, out: str) -> str:
    """The line that names the result and the next command."""
    from edgeship.report import view
    from edgeship.verify import signed

    found = next((row for row in view.rows(report) if row.best), None)
    if found is None:
        return f"no file passed all gates: see {out}/report.html"
    best, gate = found.artifact, found.drop
    latency = f" {found.timings[0].summary.median_ms:.3g} ms" if found.timings else ""
    change = f" {signed(-gate.value)} {gate.unit}" if gate is not None else ""
    entry = f"{out}/artifacts/{best.id}/{best.files[0].name}"
    # A device bundle takes TFLite only: where another format is the smallest, it would not hold the file named here.
    bundled = best.format == "tflite"
    then = f"edgeship bundle {out} --for device" if bundled else f"edgeship predict {entry} INPUT"
    return f"smallest passing: {entry} {found.size_text}{latency}{change}   next: {then}"


def outcome(gates: Sequence[Gate], failures: Sequence[Failure]) -> int:
    """0 all gates passed; else the most serious of what happened (what was asked for by name, gates)."""
    from edgeship.errors import from_wire

    codes = [from_wire({"type": f.type}).exit_code for f in failures if f.asked_by_name]
    if not all(gate.accepted for gate in gates):
        codes.append(1)
    return max(codes, default=0)


def report_outcome(report: Report) -> int:
    """As `outcome`; a file that is broken counts even if nobody asked for it, and so does that none passed."""
    from edgeship.errors import from_wire

    code = outcome(report.gates, report.failures)
    if code == 0 and report.best is None:
        return max((from_wire({"type": f.type}).exit_code for f in report.failures), default=1)
    return code or int(any(a.verification == "failed" for a in report.artifacts))
