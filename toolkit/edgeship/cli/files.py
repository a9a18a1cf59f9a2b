"""verify, benchmark, inspect and predict: with any exported file, ours or foreign."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeship.cli import comparing, edgetpu, inspection, options, preparing, results, sensitivity, slices, ui


@click.command()
@click.argument("files", nargs=-1, required=True, type=options.MODEL)
@click.option("--against", required=True, type=options.MODEL, metavar="MODEL", help="The original model.")
@options.data
@options.gates
@slices.settings
@click.option(
    "--quantize",
    "variant",
    metavar="VARIANT",
    help="What FILES are held to. Default: what their sidecar says; without one int8 or float32, by their inputs.",
)
@preparing.samples
@options.running
@ui.json_option
def verify(files: tuple[Path, ...], against: Path, **given: Any) -> int:
    """Hold exported FILES against their MODEL.

    FILES are exported files or build folders: do they compute and predict what the model does?

    \b
    Example:
      edgeship verify model.tflite --against model.keras --data data.npz --max-drop 0.5
    """
    from edgeship import standalone
    from edgeship.data import DataOptions
    from edgeship.pipeline.slicing import Wishes

    request = standalone.VerifyRequest(
        files=files,
        against=against,
        data=given["data"],
        metric=given["metric"],
        max_drop=given["max_drop"],
        variant=given["variant"],
        data_options=DataOptions(**preparing.sample_values(given)),
        slices=Wishes(given["slices"], given["max_slice_drop"], given["min_slice"]),
        **options.running_values(given),
    )
    with ui.progress_bars() as progress:
        gates, failures = standalone.verify(request, progress)

    def show() -> None:
        made = ui.table("file", "runtime", "gate", "status", ">value", ">limit", ">samples", "detail")
        for g in gates:
            cells = (g.name, g.status, f"{g.value:.5g}", f"{g.limit:g}", str(g.n), g.detail)
            ui.row(made, g.artifact, g.runtime, *cells)
        ui.print_table(made)
        for failure in failures:
            ui.say(f"UNVERIFIED {failure.artifact}: {failure.message}\n  {failure.remedy}", err=True)

    ui.emit({"gates": gates, "failures": failures}, given["as_json"], show)
    return ui.outcome(gates, failures)


@click.command()
@click.argument("files", nargs=-1, required=True, type=options.MODEL)
@options.targets
@options.measuring
@options.comparing
@comparing.settings
@click.option("--input", "inputs", type=options.MODEL, metavar="X.npy", help="Samples to run. Default: seeded noise.")
@click.option("--html", type=options.MODEL, metavar="FILE", help="Write a page with pictures of the results.")
@ui.json_option
def benchmark(files: tuple[Path, ...], **given: Any) -> int:
    """Measure exported FILES side by side, interleaved.

    FILES are exported files or build folders. What was measured, emulated and estimated stands in tables of its own.
    Results are kept in the history of this machine; see: edgeship history.

    With --compare, the exit code is 1 where a file is slower than the baseline's beyond the noise, or larger. A
    BASELINE that is a build folder or an exported file is measured again, interleaved: the surest way. To results of
    another session, intervals are held that carry the noise between sessions.

    \b
    Examples:
      edgeship benchmark a.tflite b.tflite --target local
      edgeship benchmark builds/new --compare builds/old
      edgeship benchmark builds/new --compare last
      edgeship benchmark builds/demo --target local --target browser:chromium --html page.html
    """
    from edgeship.benchmarking import benchmark as run
    from edgeship.pipeline.results import divide, failures

    wanted = comparing.wanted(files, given)
    with ui.progress_bars() as progress:
        found = run(wanted, progress)
    for note in found.notes:
        ui.say(f"note: {note}", err=True)
    divided = divide(found.rows)

    def show() -> None:
        results.print_results(divided)
        comparing.show(found)

    ui.emit(comparing.document(found, divided), given["as_json"], show)
    if given["html"] is not None:
        from edgeship.files import write_text
        from edgeship.report.benchmark import page

        write_text(given["html"], page(found))
        ui.say(f"page: {given['html']}", err=given["as_json"])
    return max(ui.outcome((), failures(found.rows)), comparing.outcome(found))


@click.command()
@click.argument("file", type=options.MODEL)
@inspection.settings
@sensitivity.settings
@edgetpu.settings
@options.running
@ui.json_option
def inspect(file: Path, **given: Any) -> int:
    """Show what a FILE is and what is in it.

    Ops, tensors, parameters, MACs, bytes by layer, quantization, metadata, the versions that it needs, and what each
    runtime and device would do with it. FILE is of any format, from anywhere; --html draws its graph. With
    --sensitivity: what the precision of each layer of a trained model costs, and which few layers to keep above int8.
    With --edgetpu: which ops run on a Coral Edge TPU, by which rule the others do not, and what to change.

    \b
    Examples:
      edgeship inspect model.h5
      edgeship inspect model.tflite --ops --html graph.html
      edgeship inspect model.tflite --diff model.onnx
      edgeship inspect model.keras --sensitivity --data data.npz --html layers.html
      edgeship inspect builds/demo/artifacts/tflite/int8/model.tflite --edgetpu
    """
    edgetpu.check(given)
    if given["sensitivity"]:
        if given["other"] is not None or given["all_ops"]:
            raise click.UsageError("--diff and --ops do not go with --sensitivity")
        return sensitivity.run(file, given)
    if given["data"] is not None:
        raise click.UsageError("--data goes with --sensitivity")
    return edgetpu.run(file, given) if given["edgetpu"] else inspection.run(file, given)


@click.command()
@click.argument("file", type=options.MODEL)
@click.argument("input", type=options.MODEL)
@click.option(
    "--scale", type=float, metavar="FACTOR", help="Multiplies image pixels (0..255). Default: as recorded in the build."
)
@options.counted("--top", 5, "How many classes to show.")
@ui.json_option
def predict(file: Path, **given: Any) -> int:
    """Run an exported FILE on your own INPUT.

    INPUT is an image, a .npy array of one or more samples, or an .npz file with an array for each input.

    \b
    Example:
      edgeship predict builds/demo/artifacts/tflite/int8/model.tflite seven.png
    """
    from edgeship import standalone

    found = standalone.predict(file, given["input"], given["scale"], given["top"])

    def show() -> None:
        for number, sample in enumerate(found.samples):
            title = f"sample {number}" if len(found.samples) > 1 else ""
            made = ui.table("output", "class" if found.labelled else "index", ">value", title=title)
            for item in sample:
                ui.row(made, item.output, item.label, f"{item.value:.5g}")
            ui.print_table(made)
        if found.claimed != "passed":
            ui.say(f"note: this file is {found.claimed}", err=True)
        for note in found.notes:
            ui.say(f"note: {note}", err=True)
        for assumption in found.assumed:
            ui.say(f"note: not recorded, assumed {assumption}", err=True)

    ui.emit(found, given["as_json"], show)
    return 0
