"""`benchmark --compare` and `build --compare`: their options, what they show, and their exit codes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import options, ui

if TYPE_CHECKING:
    from edgeship.baselines.builds import Build
    from edgeship.baselines.changes import Comparison, FileChange, Limits
    from edgeship.benchmarking import Found, Wanted
    from edgeship.history.records import Record
    from edgeship.pipeline.results import ByProvenance
    from edgeship.types import Report

settings = options.together(
    click.option(
        "--compare",
        "baseline",
        metavar="BASELINE",
        help="A build folder, an exported file, a results file (--json), or of the history: last, a label, a commit.",
    ),
    click.option(
        "--allow",
        type=click.FloatRange(0, 1000),
        default=0,
        show_default=True,
        metavar="PERCENT",
        help="With --compare: how much slower or larger a file may become.",
    ),
    click.option("--label", default="", metavar="WORD", help="Of this session in the history, for a later --compare."),
)
build_settings = options.together(
    click.option(
        "--compare",
        "baseline",
        type=options.MODEL,
        metavar="BASELINE",
        help="Hold the build against another: a build folder, its report.json, or a bundle.",
    ),
    click.option(
        "--allow-drop",
        type=click.FloatRange(0, 100),
        default=0,
        show_default=True,
        metavar="POINTS",
        help="With --compare: how much worse the metric may become, over all and in any slice.",
    ),
    click.option(
        "--allow",
        type=click.FloatRange(0, 1000),
        default=0,
        show_default=True,
        metavar="PERCENT",
        help="With --compare: how much slower or larger a file may become.",
    ),
    click.option(
        "--summary",
        type=options.MODEL,
        metavar="FILE",
        help="Write a Markdown summary for a pull request. Default with --compare: summary.md in the build.",
    ),
)
_COLOURS = {"regression": "red", "improvement": "green"}


def wanted(files: tuple[Path, ...], given: Mapping[str, Any]) -> Wanted:
    """What the options of `edgeship benchmark` say."""
    from edgeship.benchmarking import Wanted

    return Wanted(
        files=files,
        targets=given["targets"] or ("local",),
        inputs=given["inputs"],
        plan=options.make_plan(given),
        baseline=given["baseline"],
        allowed=given["allow"] / 100,
        label=given["label"],
    )


def show(found: Found) -> None:
    """A table of what was judged, and the line that says what comes of it."""
    from edgeship.report import results

    if not found.baseline:
        return
    made = ui.table(
        "file", "target", "runtime", "figure", ">before", ">now", ">ratio", "verdict", "how", title="compared"
    )
    for item in found.judged:
        figures = (results.figure_text(item.before, item), results.figure_text(item.now, item))
        cells = (item.figure, *figures, results.judged_ratio_text(item), item.verdict, item.how)
        ui.row(made, item.artifact, item.target, item.runtime, *cells, style=_COLOURS.get(item.verdict, ""))
    ui.print_table(made)
    ui.say(f"against {found.baseline}: {_summed_up(found)}")


def _summed_up(found: Found) -> str:
    count = {word: sum(item.verdict == word for item in found.judged) for word in ("regression", "no verdict")}
    said = "nothing is worse" if not count["regression"] else f"worse: {count['regression']}"
    return f"{said}; without a verdict: {count['no verdict']}" if count["no verdict"] else said


def document(found: Found, divided: ByProvenance) -> dict[str, Any]:
    """The JSON document; with a baseline also what was judged. `--compare` reads it back."""
    from edgeship.codec import to_data

    data: dict[str, Any] = to_data(divided)
    if found.baseline:
        data["comparison"] = {"baseline": found.baseline, "figures": to_data(found.judged)}
    return data


def outcome(found: Found) -> int:
    """1 where something is worse than it may be."""
    return int(any(item.verdict == "regression" for item in found.judged))


@dataclass(frozen=True)
class Against:
    """What a build is held against, read before it begins: the baseline may be the folder that it replaces.

    Attributes:
        baseline: None: nothing.
        summary: where the page for a pull request goes; None: nowhere.
    """

    baseline: Build | None
    limits: Limits
    history: tuple[Record, ...]
    summary: Path | None


def against(given: Mapping[str, Any], out: Path) -> Against:
    """What the options of `build_settings` say. Raises InputError for a baseline that is none."""
    from edgeship.baselines.builds import open_build
    from edgeship.baselines.changes import Limits
    from edgeship.history.remembering import of_names

    if given["baseline"] is None and (given["allow"] or given["allow_drop"]):
        raise click.UsageError("--allow and --allow-drop go with --compare")
    limits = Limits(given["allow_drop"], given["allow"] / 100, given["min_slice"])
    if given["baseline"] is None:
        return Against(None, limits, (), given["summary"])
    return Against(open_build(given["baseline"]), limits, of_names((out.name,)), given["summary"] or out / "summary.md")


def compared(report: Report, out: Path, wanted: Against) -> Comparison | None:
    """The finished build against the baseline; writes the page for a pull request where one is wanted."""
    from edgeship.baselines.builds import of_report
    from edgeship.baselines.changes import compare
    from edgeship.files import write_text
    from edgeship.report.pull_request import summary

    found = None
    if wanted.baseline is not None:
        found = compare(of_report(report, out, str(out)), wanted.baseline, wanted.limits, wanted.history)
    if wanted.summary is not None:
        text = summary(report, found)
        write_text(wanted.summary, text)
        _append_to_step(text)
    return found


def _append_to_step(text: str) -> None:
    """Show the page in a run of GitHub Actions; a file that cannot be written costs a note."""
    place = os.environ.get("GITHUB_STEP_SUMMARY")
    if not place:
        return
    try:
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    except OSError as error:
        ui.say(f"note: GITHUB_STEP_SUMMARY cannot be written: {error.strerror}", err=True)


def build_document(found: Comparison) -> dict[str, Any]:
    """The comparison as plain data, with what comes of it."""
    from edgeship.codec import to_data

    data: dict[str, Any] = to_data(found)
    return {"passed": found.passed, "regressions": found.regressions, "not_compared": found.untold, **data}


def show_build(found: Comparison) -> None:
    """A table of files, the slices that fell, stages, and the line that says what comes of it."""
    from edgeship.report.slices import drop_text, number, p_text

    made = ui.table("file", "gates", f">{found.metric or 'metric'}", ">worse by [95 %]", "figures", title="compared")
    for change in found.files:
        style = "red" if change.regressions else ""
        ui.row(made, change.artifact, _gates(change), *_metric(change), _figures(change), style=style)
    ui.print_table(made)
    fallen = [(change.artifact, row) for change in found.files for row in change.fallen]
    if fallen:
        made = ui.table(
            "slice", "file", ">samples", ">broken", ">fixed", ">drop [95 %]", ">p", title="slices that fell"
        )
        for artifact, row in fallen:
            counts = (f"{row.n:,}", number(row.broken), number(row.fixed))
            ui.row(made, row.slice, artifact, *counts, drop_text(row), p_text(row))
        ui.print_table(made)
    _stages(found)
    if not found.same_model:
        ui.say("the trained model is another one")
    worse = found.regressions
    said = f"worse: {worse}" if worse else "nothing is worse"
    untold = f"; metric not compared: {found.untold}" if found.untold else ""
    ui.say(f"against {found.baseline}: {said}{untold}")


def _gates(change: FileChange) -> str:
    if change.there == "gone":
        return "cannot be made any more" if change.worse else "not made this time"
    return f"new, {change.now}" if change.there == "new" else f"{change.before} -> {change.now}"


def _metric(change: FileChange) -> tuple[str, str]:
    found = change.metric
    if found is None:
        return "", ""
    values = " -> ".join("" if value is None else f"{value:.4g}" for value in (found.before, found.now))
    if found.change is None:
        return values, f"{found.verdict}: {found.how}"
    from edgeship.report.view import change_text

    return values, f"{change_text(found.change)} {found.verdict}"


def _figures(change: FileChange) -> str:
    from edgeship.report import results

    said = []
    for item in change.figures:
        if item.figure == "file":
            said.append(item.how)
            continue
        ratio = results.judged_ratio_text(item)
        where = f" on {item.target}" if item.target else ""
        said.append(f"{item.figure}{where} {ratio} {item.verdict}".replace("  ", " "))
    return "; ".join(said)


def _stages(found: Comparison) -> None:
    from edgeship.report.view import change_text

    if not found.stages:
        return
    made = ui.table(
        "after", "file", f">{found.metric}", ">worse by [95 %]", ">brotli", title="stages (validation samples)"
    )
    for stage in found.stages:
        metric = " -> ".join("" if value is None else f"{value:.4f}" for value in stage.metric)
        sizes = " -> ".join("" if value is None else f"{value:,}" for value in stage.brotli_bytes)
        ui.row(made, stage.stage, stage.artifact, metric, change_text(stage.change) if stage.change else "", sizes)
    ui.print_table(made)
