"""history: what was measured before on this machine, and which builds lie in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeship.cli import options, ui

if TYPE_CHECKING:
    from edgeship.history.builds import BuildLine, Builds
    from edgeship.history.records import Record


@click.command()
@click.argument("names", nargs=-1, metavar="[NAMES|FOLDERS]...")
@options.counted("--last", 20, "How many sessions or builds to show.")
@click.option(
    "--prune", type=click.FloatRange(0), metavar="DAYS", help="Remove all sessions that are older; show none."
)
@ui.json_option
def history(names: tuple[str, ...], last: int, prune: float | None, as_json: bool) -> int:
    """List earlier benchmarks and builds, or compare two builds.

    NAMES are those of build folders and files in the store of results; without one, all are shown. The store is a
    SQLite file in your data folder, or the one that EDGESHIP_HISTORY names.

    FOLDERS that exist are looked into instead: their builds are listed, the newest first. Two build folders are
    compared, the first one being the earlier; it may be a bundle.

    \b
    Examples:
      edgeship history
      edgeship history demo --last 5
      edgeship history --prune 365
      edgeship history builds/
      edgeship history builds/old builds/new
    """
    from edgeship.history import store
    from edgeship.history.builds import is_place

    if prune is not None:
        if names:
            raise click.UsageError("--prune is of all names")
        removed = store.prune(prune)
        ui.emit({"pruned": removed}, as_json, lambda: ui.say(f"{removed} sessions removed from {store.place()}"))
        return 0
    places = [is_place(name) for name in names]
    if any(places):
        if not all(places):
            raise click.UsageError(f"{names[places.index(False)]!r} is no folder, {names[places.index(True)]!r} is one")
        return _of_folders([Path(name) for name in names], last, as_json)
    found = store.read(names=names, sessions=last)
    ui.emit({"store": str(store.place()), "records": found}, as_json, lambda: _show(found))
    return 0


def _of_folders(paths: Sequence[Path], last: int, as_json: bool) -> int:
    """Two builds are compared, all else is listed."""
    from edgeship.history.builds import Builds, listed

    kinds = [_is_build(path) for path in paths]
    if len(paths) == 2 and all(kinds):
        return _compare(paths[0], paths[1], as_json)
    found = listed(paths)
    shown = Builds(found.builds[:last], found.unreadable)
    ui.emit(shown, as_json, lambda: _show_builds(shown, len(found.builds)))
    return 0


def _is_build(path: Path) -> bool:
    from edgeship import manifest
    from edgeship.report.store import NAME

    return path.is_file() or (path / NAME).exists() or (path / manifest.NAME).exists()


def _compare(before: Path, now: Path, as_json: bool) -> int:
    from edgeship.baselines.builds import open_build
    from edgeship.baselines.changes import Limits, compare
    from edgeship.cli import comparing
    from edgeship.errors import InputError
    from edgeship.history.remembering import of_names

    new = open_build(now)
    if new.report is None:
        raise InputError(f"{now} is a bundle", remedy="Give it first: only the earlier one may be a bundle.")
    found = compare(new, open_build(before), Limits(), of_names((now.resolve().name,)))
    ui.emit({"comparison": comparing.build_document(found)}, as_json, lambda: comparing.show_build(found))
    return 0


def _show_builds(found: Builds, total: int) -> None:
    from edgeship.report.view import change_text, digits

    if found.builds:
        columns = ("build", "made (UTC)", "model", "recipe", "smallest that passed", ">metric", ">drop [95 %]")
        made = ui.table(*columns, ">bytes", ">ms")
        for item in found.builds:
            head = (item.path, item.created[:16].replace("T", " "), f"{item.name} {item.model_sha256[:8]}", item.recipe)
            best = item.best or f"none of {item.files}"
            value = "" if item.value is None else f"{item.value:.4g}"
            time = "" if item.latency_ms is None else f"{digits(item.latency_ms)} {item.where.split()[0]}"
            ui.row(made, *head, best, value, change_text(item.drop) if item.drop else "", _bytes(item), time)
        ui.print_table(made)
    for other in found.unreadable:
        ui.say(f"left out: {other.path}: {other.reason}", err=True)
    if total > len(found.builds):
        ui.say(f"{total - len(found.builds)} older ones: --last {total}")
    if not found.builds:
        ui.say("no builds here   next: edgeship build MODEL --data DATA")


def _bytes(item: BuildLine) -> str:
    """As delivered; where that was not measured, as it is."""
    if item.wire_bytes is None:
        return "" if item.size_bytes is None else f"{item.size_bytes:,} (not compressed)"
    return f"{item.wire_bytes:,}"


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
