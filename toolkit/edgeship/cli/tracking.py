"""export-mlflow: builds in MLflow's tracking and registry."""

from __future__ import annotations

from pathlib import Path

import click

from edgeship.cli import options, ui


@click.command("export-mlflow")
@click.argument("build", type=options.MODEL)
@click.option(
    "--uri", metavar="URI", help="http://HOST:PORT or sqlite:///FILE. Default: what MLFLOW_TRACKING_URI says."
)
@click.option("--experiment", default="edgeship", show_default=True, metavar="NAME", help="Is made where absent.")
@click.option("--register", metavar="NAME", help="Also make a version of this model for each file that passed.")
@ui.json_option
def export_mlflow(build: Path, uri: str | None, experiment: str, register: str | None, as_json: bool) -> int:
    """Put a BUILD into MLflow.

    A run has parameters, metrics by file and stage, and the report with its lineage and files. A build that is there
    already is not put there twice. Needs: pip install 'edgeship[mlflow]'

    \b
    Examples:
      edgeship export-mlflow builds/demo --uri sqlite:///mlflow.db
      edgeship export-mlflow builds/demo --uri http://localhost:5000 --register digits
    """
    from edgeship.tracking import Wishes, export

    found = export(build, Wishes(uri, experiment, register))

    def show() -> None:
        ui.say(f"run {found.run_id} in {found.experiment} at {found.uri}{'' if found.new else ' (was there)'}")
        for name, version in found.versions.items():
            ui.say(f"{found.model} version {version}: {name}   models:/{found.model}@{name.replace('/', '-')}")

    ui.emit(found, as_json, show)
    return 0
