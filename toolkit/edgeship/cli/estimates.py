"""estimate: what a file would take where others were measured."""

from __future__ import annotations

from pathlib import Path

import click

from edgeship.cli import options, results, ui


@click.command()
@click.argument("files", nargs=-1, required=True, type=options.MODEL)
@click.option(
    "--from",
    "sources",
    multiple=True,
    required=True,
    type=options.MODEL,
    metavar="PATH",
    help="Build folders, results of edgeship benchmark --json, the word history, and the files that those are about; "
    "repeat for several.",
)
@ui.json_option
def estimate(files: tuple[Path, ...], sources: tuple[Path, ...], as_json: bool) -> int:
    """Estimate the latency of FILES from measurements of others.

    A row for each device and runtime in which at least six different files were measured, with the error that the
    estimate has for files left out. A file that does more or less of something than any measured one is refused. For
    a lower bound on a board that you do not have: edgeship benchmark FILE --target estimated:cortex-a72

    \b
    Example:
      edgeship estimate new.tflite --from history --from builds/demo --from models/
    """
    from edgeship import estimating
    from edgeship.pipeline.results import divide, failures

    with ui.progress_bars() as progress:
        rows = estimating.estimate(files, sources, progress)
    found = divide(rows)
    ui.emit(found, as_json, lambda: results.print_results(found))
    return ui.outcome((), failures(rows))
