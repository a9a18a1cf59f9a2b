"""report and bundle: what a build folder is good for."""

from __future__ import annotations

from pathlib import Path

import click

from edgeship.cli import options, ui


@click.command()
@click.argument("build", type=options.MODEL)
@ui.json_option
def report(build: Path, as_json: bool) -> int:
    """Show the report of a BUILD folder again.

    Writes its Markdown and HTML anew, after the SHA-256 of every file was checked.

    \b
    Example:
      edgeship report builds/demo
    """
    from edgeship import report as reports
    from edgeship.history.remembering import earlier

    found = reports.read(build)
    reports.check_files(found.artifacts)
    reports.write(found, build, earlier(found.artifacts))

    def show() -> None:
        ui.print_report(found)
        click.echo(f"report: {build / 'report.html'}")
        ui.say(ui.last_line(found, str(build)))

    ui.emit(reports.to_document(found, build), as_json, show)
    return ui.report_outcome(found)


@click.command()
@click.argument("build", type=options.MODEL)
@click.option("--for", "kind", required=True, type=click.Choice(["device"]), help="Who receives it.")
@options.out("bundles/NAME")
@options.force
@ui.json_option
def bundle(build: Path, kind: str, out: Path | None, force: bool, as_json: bool) -> int:
    """Pack the best file of a BUILD for delivery.

    The manifest has files with SHA-256, inputs and outputs with ranges, labels, golden samples with tolerances, and
    lineage. Files are stored compressed (brotli or zstd) where that makes them smaller. Of the TFLite files that
    passed their gates, the smallest one so compressed is taken; a build without one is refused.

    \b
    Example:
      edgeship bundle builds/demo --for device --out bundles/demo
    """
    from edgeship import bundle as bundles

    place = out or Path("bundles") / build.resolve().name
    made = bundles.device_bundle(build, place, force=force)

    def show() -> None:
        sizes = f"{made.wire_bytes:,} B in {len(made.files)} files, {made.size_bytes:,} B decoded"
        ui.say(f"{kind} bundle: {place} {made.artifact} {sizes}")

    ui.emit(made, as_json, show)
    return 0
