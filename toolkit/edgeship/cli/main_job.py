"""demo, build, convert and compress: from a trained model to files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import comparing, options, preparing, slices, ui

if TYPE_CHECKING:
    from edgeship.pipeline import Request
    from edgeship.recipe import Recipe

#: Points that the demo's files may lose: 599 test images cannot tell much less with certainty.
DEMO_MAX_DROP = 2.0


def _finish(request: Request, as_json: bool, wanted: comparing.Against | None = None) -> int:
    """Run a build, hold it against the baseline where there is one, and show it."""
    from edgeship import pipeline
    from edgeship.cli.ui import emit, last_line, print_report, progress_bars, report_outcome, say
    from edgeship.report import to_document

    with progress_bars() as progress:
        report = pipeline.build(request, progress)
    found = comparing.compared(report, request.out, wanted) if wanted is not None else None

    def show() -> None:
        print_report(report)
        slices.show(report)
        for failure in report.failures:
            if failure.asked_by_name:
                remedy = f"\n  {failure.remedy}" if failure.remedy else ""
                say(f"{failure.artifact} ({failure.stage}): {failure.message}{remedy}", err=True)
        for gate in report.gates:
            if not gate.accepted:
                why = gate.detail or f"{gate.value:.4g} {gate.unit}, the limit is {gate.limit:g}"
                say(f"{gate.artifact} in {gate.runtime}: gate {gate.name} {gate.status}: {why}", err=True)
        for warning in report.warnings:
            say(f"note: {warning}", err=True)
        if found is not None:
            comparing.show_build(found)
        if wanted is not None and wanted.summary is not None:
            say(f"summary: {wanted.summary}")
        click.echo(f"report: {request.out / 'report.html'}")
        say(last_line(report, str(request.out)))

    document = to_document(report, request.out)
    emit(document if found is None else {**document, "comparison": comparing.build_document(found)}, as_json, show)
    return max(report_outcome(report), int(found is not None and not found.passed))


def _command() -> tuple[str, ...]:
    return ("edgeship", *sys.argv[1:])


@click.command()
@options.out("builds/demo")
@options.force
@ui.json_option
def demo(out: Path | None, force: bool, as_json: bool) -> int:
    """Run the whole flow on data that comes with edgeship.

    Trains a small network on scikit-learn's digits and ships it in every format. Ends with a table of all files and
    the path of the report.

    \b
    Example:
      edgeship demo
    """
    from edgeship import pipeline
    from edgeship import recipe as recipes
    from edgeship.demo import trained_baseline
    from edgeship.types import Plan

    with ui.progress_bars() as progress:
        model = trained_baseline(progress)
    request = pipeline.Request(
        model=model,
        data="digits",
        recipe=recipes.load("auto").changed(max_drop=DEMO_MAX_DROP),
        targets=("local",),
        plan=Plan(min_seconds=0.5),
        out=out or Path("builds/demo"),
        force=force,
        command=_command(),
    )
    return _finish(request, as_json)


@click.command()
@click.argument("model", type=options.MODEL)
@options.data
@options.recipe
@options.gates
@slices.settings
@slices.shown
@comparing.build_settings
@options.exports
@options.targets
@options.building
@preparing.samples
@preparing.delivered
@options.augment
@options.measuring
@options.running
@ui.json_option
def build(model: Path, **given: Any) -> int:
    """Ship a trained MODEL: the main job.

    Compresses, converts, verifies, measures and reports. With --compare, the exit code is 1 too where a file became
    worse than the baseline's: its metric or a slice of it beyond noise, its bytes, its milliseconds.

    MODEL is a .keras or .h5 file, the folder of a SavedModel or of a TF.js layers model, a frozen graph (.pb), or a
    float .onnx or .tflite file.

    \b
    Examples:
      edgeship build model.keras --data data.npz
      edgeship build model.h5 --data images/ --recipe int8-qat --to tflite --max-drop 1
      edgeship build model.keras --data data.npz --out builds/new --compare builds/old
    """
    from edgeship import recipe as recipes
    from edgeship.errors import DataError
    from edgeship.pipeline.steps import check_model

    check_model(model)
    if given["data"] is None:
        raise DataError(
            "build needs data: to verify accuracy, and to calibrate or train",
            remedy="Add --data (digits, a .npz file, a folder of images, module:function), or use: edgeship convert",
        )
    found = recipes.load(given["recipe_name"])
    found = found.changed(max_drop=given["max_drop"], seed=given["seed"], variants=given["variants"])
    request = _request(model, found, given, given["targets"] or ("local",))
    return _finish(request, given["as_json"], comparing.against(given, request.out))


@click.command()
@click.argument("model", type=options.MODEL)
@options.exports
@options.data
@options.gates
@slices.settings
@slices.shown
@options.building
@preparing.samples
@preparing.delivered
@options.running
@ui.json_option
def convert(model: Path, **given: Any) -> int:
    """Convert MODEL and verify the files, no more.

    Without --data, outputs are compared on seeded inputs to which the model is sensitive; with it, the metric is
    checked on the test split too. int8 needs --data.

    \b
    Examples:
      edgeship convert model.keras --to tflite --to onnx
      edgeship convert model.h5 --to tflite --quantize int8 --data data.npz
      edgeship convert model.keras --data images/ --preprocess torch --bake-preprocessing
    """
    from edgeship import recipe as recipes

    plain = recipes.conversion(given["variants"] or ("float32",))
    plain = plain.changed(max_drop=given["max_drop"], seed=given["seed"])
    return _finish(_request(model, plain, given, ()), given["as_json"])


def _request(model: Path, recipe: Recipe, given: dict[str, Any], targets: tuple[str, ...]) -> Request:
    from edgeship import pipeline
    from edgeship.data import DataOptions

    more = options.running_values(given) | slices.values(given)
    if "labels" in given:
        more |= preparing.delivered_values(given)
    if targets:
        more["plan"] = options.make_plan(given)
    return pipeline.Request(
        model=model,
        out=given["out"] or Path("builds") / (model.stem or "model"),
        recipe=recipe,
        data=given["data"],
        metric=given["metric"],
        formats=given["formats"],
        opset=given.get("opset"),
        snap_to=given.get("snap_to", ()),
        targets=targets,
        data_options=DataOptions(
            seed=recipe.seed,
            calibration_samples=recipe.calibration_samples,
            augment=given.get("augment", ()),
            **preparing.sample_values(given),
        ),
        force=given["force"],
        command=_command(),
        **more,
    )


@click.command()
@click.argument("model", type=options.MODEL)
@options.data
@options.training_recipe
@options.metric
@options.building
@preparing.samples
@options.augment
@options.running
@ui.json_option
def compress(model: Path, **given: Any) -> int:
    """Train MODEL smaller by a recipe, convert nothing.

    Writes the compressed .keras model.

    \b
    Example:
      edgeship compress model.keras --data data.npz --recipe small --out smaller/
    """
    from edgeship import pipeline
    from edgeship import recipe as recipes
    from edgeship.codec import to_data

    found = recipes.load(given["recipe_name"]).changed(seed=given["seed"])
    request = _request(model, found, {**given, "formats": ()}, ())
    with ui.progress_bars() as progress:
        path, stages = pipeline.compress_only(request, progress)

    def show() -> None:
        made = ui.table("stage", ">metric (validation)", ">weights, gzip bytes", ">sparsity", ">epochs", ">seconds")
        for s in stages:
            cells = (f"{s.metric:.4f}", f"{s.size_bytes:,}", f"{s.sparsity:.2f}", str(s.epochs), f"{s.seconds:.0f}")
            ui.row(made, s.name, *cells)
        ui.print_table(made)
        for s in stages:
            for note in s.notes:
                click.echo(f"{s.name}: {note}")
        click.echo(f"compressed: {path}   next: edgeship convert {path} --data {given['data']}")

    ui.emit({"model": str(path), "stages": to_data(stages)}, given["as_json"], show)
    return 0
