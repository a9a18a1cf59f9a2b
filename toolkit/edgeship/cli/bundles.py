"""report and bundle: what a build folder is good for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeship.cli import options, ui

if TYPE_CHECKING:
    from edgeship.bundle import Wishes


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
    from edgeship.pipeline import lineage

    found = reports.read(build)
    place = build if build.is_dir() else build.parent
    reports.check_files(found.artifacts)
    lineage.check(place)
    reports.write_pages(found, place, earlier(found.artifacts))

    def show() -> None:
        ui.print_report(found)
        click.echo(f"report: {place / 'report.html'}")
        ui.say(ui.last_line(found, str(place)))

    ui.emit(reports.to_document(found, place), as_json, show)
    return ui.report_outcome(found)


_WISHES = options.together(
    click.option(
        "--artifact",
        metavar="FORMAT/VARIANT",
        help="The file to deliver, such as onnx/int8. Default: the smallest TFLite (web: TF.js) file that passed.",
    ),
    click.option(
        "--max-latency",
        "latency_ms",
        type=click.FloatRange(0, min_open=True),
        metavar="MS",
        help="Devices refuse it if 95 % of inferences do not stay below.",
    ),
    click.option(
        "--max-memory",
        "memory_mib",
        type=click.IntRange(1, 1 << 20),
        metavar="MIB",
        help="Devices refuse it if it takes more memory while it runs.",
    ),
    click.option(
        "--card",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Model card, YAML or JSON: description, license, intended_use, limitations.",
    ),
)

_WEB = options.together(
    click.option(
        "--runtime",
        "runtimes",
        multiple=True,
        metavar="RUNTIME",
        help="Of a web package: tfjs-wasm (default), litert-wasm, litert-webgpu, tfjs-webgpu, tfjs-webgl; repeatable.",
    ),
    click.option("--name", metavar="NAME", help="Of the npm package. Default: that of the build."),
    click.option("--package-version", metavar="VERSION", help="Of the npm package. Default: 1.0.0."),
)

_DOCUMENTS = options.together(
    click.option(
        "--bom",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Also write a bill of materials of the bundle (CycloneDX 1.6).",
    ),
    click.option(
        "--provenance",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Also write how it came to be (in-toto statement, SLSA provenance 1).",
    ),
)


@click.command()
@click.argument("build", type=options.MODEL)
@click.option("--for", "kind", required=True, type=click.Choice(["device", "web"]), help="Who receives it.")
@_WISHES
@_WEB
@_DOCUMENTS
@options.out("bundles/NAME")
@options.force
@ui.json_option
def bundle(build: Path, kind: str, out: Path | None, force: bool, as_json: bool, **given: Any) -> int:
    """Pack the best file of a BUILD for delivery.

    The manifest has files with SHA-256, what runs them, inputs and outputs with ranges, labels, golden samples with
    tolerances, limits that the self-test on devices holds the model to, and lineage. Files are stored compressed
    (brotli or zstd) where that makes them smaller. Of the TFLite files that passed their gates, the smallest one so
    compressed is taken, or the file that --artifact names; a build without one is refused.

    --for web writes an npm package instead: the smallest TF.js file that passed with a runtime that holds just its
    operators, types, and a worker; edgeship publish takes it, and it follows what is published. It needs Node and:
    edgeship doctor --install node.

    \b
    Examples:
      edgeship bundle builds/demo --for device --max-latency 20 --out bundles/demo
      edgeship bundle builds/demo --for web --out bundles/demo-web
    """
    _check_kind(kind, given)
    if kind == "web":
        return _web(build, out or Path("bundles") / f"{build.resolve().name}-web", force, as_json, given)
    from edgeship import bundle as bundles

    place = out or Path("bundles") / build.resolve().name
    made = bundles.device_bundle(build, place, _wishes(given), force=force)
    bundles.write_documents(made, bom=given["bom"], provenance=given["provenance"], force=force)

    def show() -> None:
        sizes = f"{made.wire_bytes:,} B in {len(made.files)} files, {made.size_bytes:,} B decoded"
        ui.say(f"{kind} bundle: {place} {made.artifact} {sizes}")

    ui.emit(made, as_json, show)
    return 0


#: Options of one kind of bundle only, with what they are where they are not given.
_ONLY: Mapping[str, Mapping[str, Any]] = {
    "device": {"latency_ms": None, "memory_mib": None, "card": None, "bom": None, "provenance": None},
    "web": {"runtimes": (), "name": None, "package_version": None},
}
_SPELLED = {"latency_ms": "max-latency", "memory_mib": "max-memory", "runtimes": "runtime"}


def _check_kind(kind: str, given: Mapping[str, Any]) -> None:
    from edgeship.errors import InputError

    for other, names in _ONLY.items():
        wrong = [name for name, absent in names.items() if other != kind and given[name] != absent]
        if wrong:
            option = "--" + _SPELLED.get(wrong[0], wrong[0]).replace("_", "-")
            raise InputError(f"{option} is for bundles --for {other}", remedy=f"Leave it out with --for {kind}.")


def _web(build: Path, out: Path, force: bool, as_json: bool, given: Mapping[str, Any]) -> int:
    from edgeship.bundle.web import WebWishes, web_package

    version = given["package_version"] or "1.0.0"
    wishes = WebWishes(given["artifact"], tuple(given["runtimes"]), given["name"], version)
    made = web_package(build, out, wishes, force=force)

    def show() -> None:
        runtimes = ", ".join(f"{name} ({artifact})" for name, artifact in made.artifacts.items())
        wire = f"runtime {made.wire_bytes['runtime']:,} B, model {made.wire_bytes['model']:,} B with brotli"
        click.echo(f"web package: {out} {made.name}@{made.version}")
        click.echo(f"runs: {runtimes}")
        click.echo(f"sent: {wire}")
        click.echo(f"checked in Node: {', '.join(made.checked) or 'nothing, it has no GPU'}")
        click.echo("")
        click.echo(made.install)
        click.echo("")
        for line in made.usage:
            click.echo(line)

    ui.emit(made, as_json, show)
    return 0


def _wishes(given: Mapping[str, Any]) -> Wishes:
    from edgeship import bundle as bundles
    from edgeship.types import Budget

    memory_bytes = None if given["memory_mib"] is None else given["memory_mib"] << 20
    card = None if given["card"] is None else bundles.read_card(given["card"])
    return bundles.Wishes(given["artifact"], Budget(given["latency_ms"], memory_bytes), card)
