"""history: what was measured before on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from edgeship.cli import options, ui

if TYPE_CHECKING:
    from edgeship.history.records import Record


@click.command()
@click.argument("names", nargs=-1)
@options.counted("--last", 20, "How many sessions to show.")
@click.option(
    "--prune", type=click.FloatRange(0), metavar="DAYS", help="Remove all sessions that are older; show none."
)
@ui.json_option
def history(names: tuple[str, ...], last: int, prune: float | None, as_json: bool) -> int:
    """List the results of earlier benchmarks and builds.

    NAMES are those of build folders and files; without one, all are shown. The store is a SQLite file in your data
    folder, or the one that EDGESHIP_HISTORY names.

    \b
    Examples:
      edgeship history
      edgeship history demo --last 5
      edgeship history --prune 365
    """
    from edgeship.history import store

    if prune is not None:
        if names:
            raise click.UsageError("--prune is of all names")
        removed = store.prune(prune)
        ui.emit({"pruned": removed}, as_json, lambda: ui.say(f"{removed} sessions removed from {store.place()}"))
        return 0
    found = store.read(names=names, sessions=last)
    ui.emit({"store": str(store.place()), "records": found}, as_json, lambda: _show(found))
    return 0


def _show(found: Sequence[Record]) -> None:
    """The newest session first; each kind of result by what it has."""
    from edgeship.history import store

    if not found:
        ui.say(f"nothing in {store.place()}   next: edgeship benchmark FILES")
        return
    made = ui.table("session (UTC)", "name", "file", "where", "kind", ">result")
    before = None
    for item in found:
        session, row = item.session, item.result
        said = session.label or session.revision[:8] or session.source
        head = "" if session == before else f"{session.created[:16].replace('T', ' ')} {said}"
        where = f"{row.engine} on {row.target}"
        ui.row(made, head, item.name, row.artifact, where, row.provenance, _result(item))
        before = session
    ui.print_table(made)


def _result(item: Record) -> str:
    from edgeship.report import results
    from edgeship.types import Emulation, Estimate

    if isinstance(item.result, Emulation):
        found = item.result.instructions is not None
        return f"{results.instructions_text(item.result)} instructions" if found else results.arena_text(item.result)
    if isinstance(item.result, Estimate):
        return results.estimate_text(item.result)
    assert item.summary is not None
    interval = item.summary.interval_ms
    tail = "" if interval is None else " [{:.3f}, {:.3f}]".format(*interval)
    return f"{item.summary.median_ms:.3f} ms{tail}{' unstable' if item.summary.unstable else ''}"
