"""search: tries recipes and their settings, and builds the best that keeps the limits."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import options, preparing, ui

if TYPE_CHECKING:
    from edgeship.searching.limits import Limits
    from edgeship.searching.run import Search
    from edgeship.searching.trials import Task, Trial

_limits = options.together(
    click.option(
        "--max-drop", type=float, default=0.5, show_default=True, metavar="POINTS", help="Most the metric may drop."
    ),
    click.option("--max-bytes", metavar="BYTES", help="Most bytes to send: 40k, 1.5M, 64Ki."),
    click.option(
        "--max-ms", multiple=True, metavar="MS@TARGET", help="Longest median latency: 2@ssh://pi; repeat for several."
    ),
    click.option(
        "--max-mib",
        multiple=True,
        metavar="MIB@TARGET",
        help="Most memory of the process that measures; repeat for several.",
    ),
    click.option("--max-slice-drop", type=float, metavar="POINTS", help="Most the metric may drop in any slice."),
    click.option("--slices", metavar="COLUMN[,...]", help="Parts of the samples, as in: edgeship build --slices."),
    click.option(
        "--min-slice", type=click.IntRange(2), default=30, show_default=True, help="Smaller slices are not tested."
    ),
    click.option(
        "--minimize",
        multiple=True,
        metavar="WHAT",
        help="bytes, ms@TARGET, mib@TARGET; the choice has the least of the first. Default: bytes, ms of each target.",
    ),
)
_going = options.together(
    click.option("--budget", metavar="TIME", help="Propose nothing and begin no stage after: 90s, 30m, 2h."),
    click.option("--trials", type=click.IntRange(1), metavar="N", help="Trials in all, those of earlier runs counted."),
    options.counted("--workers", 1, "Trials at once."),
    click.option(
        "--executor", default="local", show_default=True, metavar="WHERE", help="local, dask://HOST:PORT or ray."
    ),
    click.option(
        "--storage", metavar="URL", help="postgresql://USER@HOST/DATABASE, for several machines. Default: SQLite."
    ),
    click.option(
        "--sampler",
        type=click.Choice(("tpe", "nsga2", "random")),
        default="tpe",
        show_default=True,
        help="What proposes.",
    ),
    click.option(
        "--heartbeat",
        "heartbeat_seconds",
        type=click.IntRange(1, 3600),
        default=60,
        show_default=True,
        metavar="SECONDS",
        help="Of running trials; one that misses three is begun again by another machine.",
    ),
)


@click.command()
@click.argument("model", type=options.MODEL)
@options.data
@click.option("--search", "space", type=options.MODEL, metavar="FILE", help="The search space. Default: what applies.")
@click.option("--to", "format_name", default="tflite", show_default=True, metavar="FORMAT", help="Of the files.")
@_limits
@options.metric
@options.targets
@_going
@click.option("--folder", type=options.MODEL, metavar="DIR", help="Of the search. Default: searches/NAME.")
@options.building
@preparing.samples
@options.augment
@options.measuring
@options.running
@ui.json_option
def search(model: Path, **given: Any) -> int:
    """Search for the best recipe for MODEL.

    Tries recipes and their settings on the validation samples, and builds the best that keeps the limits; the build is
    verified on the test samples. The same command goes on where it was stopped. While it runs, front.html in its folder
    shows what was found.

    \b
    Examples:
      edgeship search model.keras --data data.npz --max-bytes 40k --budget 30m
      edgeship search model.keras --data data.npz --max-ms 2@ssh://pi --search space.yaml
    """
    from edgeship.errors import DataError
    from edgeship.searching.limits import parse_seconds
    from edgeship.searching.options import Options
    from edgeship.searching.run import search as run

    if given["data"] is None:
        raise DataError(
            "search needs data: to judge what is tried",
            remedy="Add --data (digits, a .npz file, a folder of images, module:function).",
        )
    if given["budget"] is None and given["trials"] is None:
        raise click.UsageError("Say how long: --budget 30m, or --trials 50.")
    name = model.stem or "model"
    taken = ("trials", "executor", "workers", "storage", "sampler", "heartbeat_seconds", "force")
    going = Options(
        folder=given["folder"] or Path("searches") / name,
        out=given["out"] or Path("builds") / name,
        budget_seconds=None if given["budget"] is None else parse_seconds(given["budget"]),
        seed=given["seed"] or 0,
        measuring=options.make_plan(given),
        command=("edgeship", *sys.argv[1:]),
        **{word: given[word] for word in taken},
    )
    with ui.progress_bars() as progress:
        found = run(_task(model, given), going, _limits_of(given), given["space"], given["minimize"], progress)
    ui.emit(document(found, going.out), given["as_json"], lambda: _show(found, going.out))
    return 1 if found.report is None or found.broken else ui.report_outcome(found.report)


def _task(model: Path, given: dict[str, Any]) -> Task:
    from edgeship.data import DataOptions
    from edgeship.searching.trials import Task

    return Task(
        model=model,
        data=given["data"],
        format=given["format_name"],
        metric=given["metric"],
        targets=given["targets"],
        data_options=DataOptions(seed=given["seed"] or 0, augment=given["augment"], **preparing.sample_values(given)),
        slices=given["slices"],
        min_slice=given["min_slice"],
        **options.running_values(given),
    )


def _limits_of(given: dict[str, Any]) -> Limits:
    from edgeship.searching.limits import Limits, parse_all, parse_bytes

    return Limits(
        max_drop=given["max_drop"],
        max_bytes=None if given["max_bytes"] is None else parse_bytes(given["max_bytes"]),
        max_ms=parse_all(given["max_ms"], "ms"),
        max_mib=parse_all(given["max_mib"], "MiB"),
        max_slice_drop=given["max_slice_drop"],
    )


def document(found: Search, out: Path | None) -> dict[str, Any]:
    """What `--json` prints."""
    from edgeship.codec import to_data

    def number(trial: Trial | None) -> int | None:
        return None if trial is None else trial.number

    return {
        "schema": "edgeship.search-result/1",
        "objectives": list(found.objectives),
        "limits": to_data(found.limits),
        "ended": found.ended,
        "chosen": number(found.choice),
        "runner_up": number(found.runner_up),
        "why": list(found.why),
        "broken": list(found.broken),
        "notes": list(found.notes),
        "front": [trial.number for trial in found.front],
        "trials": to_data(found.trials),
        "page": str(found.page),
        "build": str(out) if found.report is not None else None,
    }


def _show(found: Search, out: Path | None) -> None:
    from edgeship.searching.choice import figures
    from edgeship.searching.page import recipe_text

    counts = [f"{sum(t.outcome == w for t in found.trials)} {w}" for w in ("finished", "stopped", "failed")]
    made = ui.table("trial", ">seconds", "found", "recipe", title="the front, on the validation samples")
    for trial in found.front:
        mark = " (chosen)" if trial == found.choice else " (runner-up)" if trial == found.runner_up else ""
        ui.row(made, f"{trial.name}{mark}", f"{trial.seconds:.0f}", figures(trial), recipe_text(trial))
    ui.print_table(made)
    ui.say(f"trials: {', '.join(counts)}; ended because {found.ended}")
    for sentence in (*found.why, *found.notes):
        ui.say(sentence)
    for trial in found.trials:
        if trial.outcome == "failed":
            ui.say(f"{trial.name} failed: {trial.error}: {trial.reason}", err=True)
    if found.report is not None and out is not None:
        ui.say("the chosen build, on the test samples, which had no say in the choice:")
        ui.print_report(found.report)
        for gate in found.report.gates:
            if not gate.accepted:
                why = gate.detail or f"{gate.value:.4g} {gate.unit}, the limit is {gate.limit:g}"
                ui.say(f"{gate.artifact} in {gate.runtime}: gate {gate.name} {gate.status}: {why}", err=True)
        for sentence in found.broken:
            ui.say(sentence, err=True)
    click.echo(f"front: {found.page}")
    if found.report is not None and out is not None:
        ui.say(ui.last_line(found.report, str(out)))
