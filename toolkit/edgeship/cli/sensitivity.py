"""What `edgeship inspect --sensitivity` shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import options, preparing, ui

if TYPE_CHECKING:
    from edgeship.pipeline.precision import SensitivityRequest
    from edgeship.sensitivity.findings import Sensitivity

#: Width of the bars in the terminal, in characters.
_BAR = 12

#: The options of `inspect` that `--sensitivity` brings.
settings = options.together(
    click.option(
        "--sensitivity",
        is_flag=True,
        help="Measure which layers pay for int8, 4 bits and pruning, and propose a fix. Needs --data.",
    ),
    options.data,
    click.option(
        "--max-drop", type=float, default=0.5, show_default=True, metavar="POINTS", help="Most the metric may drop."
    ),
    options.counted(
        "--samples",
        1000,
        "Validation samples for each value of the metric, to begin with.",
    ),
    click.option(
        "--sparsity",
        type=click.FloatRange(0.01, 0.99),
        default=0.5,
        show_default=True,
        help="Share of zeros when a layer is pruned.",
    ),
    options.metric,
    preparing.samples,
    options.seed,
    click.option(
        "--html",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write a page with pictures: the graph, or with --sensitivity its layers.",
    ),
)


def request(model: Path, given: Mapping[str, Any]) -> SensitivityRequest:
    """What to look at. Raises click.UsageError where there is no data."""
    from edgeship.data import DataOptions
    from edgeship.pipeline.precision import SensitivityRequest
    from edgeship.sensitivity.findings import Options

    if given["data"] is None:
        raise click.UsageError("--sensitivity needs --data: what a layer costs is measured on samples")
    seed = given["seed"] or 0
    return SensitivityRequest(
        model=model,
        data=given["data"],
        options=Options(
            samples=given["samples"],
            sparsity=given["sparsity"],
            max_drop=given["max_drop"],
            metric=given["metric"],
            seed=seed,
        ),
        data_options=DataOptions(seed=seed, **preparing.sample_values(given)),
        **options.running_values(given),
    )


def run(model: Path, given: Mapping[str, Any]) -> int:
    """Measure and show; the last line is the fix and the next command."""
    from edgeship.files import write_text
    from edgeship.pipeline.precision import sensitivity

    asked = request(model, given)
    with ui.progress_bars() as progress:
        found = sensitivity(asked, progress)
    command = next_command(found, model, given)
    if given["html"] is not None:
        from edgeship.report.sensitivity import page

        write_text(given["html"], page(found, command))
    ui.emit(found, given["as_json"], lambda: show(found, command, given["html"]))
    return 0


def next_command(found: Sensitivity, model: Path, given: Mapping[str, Any]) -> str:
    """What to run after this, ready for a shell."""
    recipe = {"int8": "int8", "mixed": "mixed", "unclear": "mixed", "none": "int8-qat"}[found.fix.verdict]
    words = ["edgeship", "build", str(model), "--data", given["data"], "--recipe", recipe, "--to", "tflite"]
    words += preparing.words(given)
    return shlex.join([*words, "--max-drop", f"{given['max_drop']:g}"])


def show(found: Sensitivity, command: str, html: Path | None) -> None:
    """For a person: the whole network, what each layer costs, what is in it, the fix."""
    from edgeship.report.sensitivity import headline

    for sentence in headline(found):
        ui.say(sentence)
    ui.print_table(_costs(found))
    ui.print_table(_contents(found))
    if html is not None:
        ui.say(f"page: {html}")
    ui.say(f"{found.fix.sentence}   next: {command}")


def _costs(found: Sensitivity) -> Any:
    from rich.text import Text

    from edgeship.report import sensitivity as view

    zeros = f">{100 * found.sparsity:.0f} % zeros"
    columns = ("layer", "share of noise", ">only int8", ">all but", ">4-bit weights", zeros, "keep")
    made = ui.table(*columns, title=f"What each layer costs: drop in {found.unit} [95 %]")
    most = max(layer.share for layer in found.layers) or 1.0
    for row in view.rows(found):
        layer = row.layer
        bar = "█" * round(_BAR * layer.share / most) or "▏"
        share = f"{bar:<{_BAR}} {100 * layer.share:3.0f} %"
        drops = (view.drop_text(layer.only), view.drop_text(layer.all_but), _value(layer.int4), _value(layer.pruned))
        ui.row(made, layer.name, share, *drops, row.kept, style="red" if row.only_certain else "")
    made.caption = Text("red: alone it certainly costs something; an interval that holds zero is no finding")
    made.caption_justify = "left"
    return made


def _value(drop: Any) -> str:
    from edgeship.verify import signed

    return "" if drop is None else signed(drop.value)


def _contents(found: Sensitivity) -> Any:
    from edgeship.report import sensitivity as view

    columns = ("layer", "kind", ">weights", ">dB int8", ">int4", ">output dB int8", ">int16x8", ">range", "stands out")
    made = ui.table(*columns, title="What is in each layer: SQNR of weights and output, range of the output")
    for row in view.rows(found):
        layer, weights, seen = row.layer, row.layer.weights, row.layer.activations
        own = ("", "", "") if weights is None else (f"{weights.count:,}", *map(view.decibels, weights.sqnr_db.values()))
        outputs = map(view.decibels, layer.output_sqnr_db.values())
        ui.row(made, layer.name, layer.kind, *own, *outputs, f"{seen.low:.3g} .. {seen.high:.3g}", row.reason)
    return made
