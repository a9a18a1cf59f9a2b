"""The command line: thin; one file for each group of commands.

Importing this package loads click only: `edgeship --help` must stay quick, so everything else is imported inside the
commands.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from edgeship.cli import (
    bundles,
    devices,
    estimates,
    files,
    history,
    info,
    keys,
    main_job,
    publishing,
    rollouts,
    searching,
    sideloads,
    tracking,
)
from edgeship.cli import targets as places


class _Ordered(click.Group):
    """Lists the commands in the order in which people use them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_Ordered,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: edgeship demo      Then: edgeship build model.keras --data data.npz",
)
@click.version_option(package_name="edgeship")
def cli() -> None:
    """Take a trained Keras model to where it runs: compressed, converted, verified, measured, reported."""


for _command in (
    main_job.demo,
    main_job.build,
    main_job.convert,
    main_job.compress,
    searching.search,
    files.verify,
    files.benchmark,
    estimates.estimate,
    files.inspect,
    files.predict,
    history.history,
    tracking.export_mlflow,
    bundles.report,
    bundles.bundle,
    keys.keys,
    publishing.publish,
    rollouts.rollout,
    publishing.serve,
    devices.device,
    sideloads.sideload,
    info.recipes,
    places.targets,
    info.plugins,
    info.doctor,
    info.completion,
):
    cli.add_command(_command)


def main(args: list[str] | None = None) -> Any:
    """Entry point of the installed script; the only place that exits."""
    from edgeship.cli import failures

    # Work in children must not see what the user's shell set for TensorFlow's verbosity as an error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    arguments = sys.argv[1:] if args is None else args
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup wants SIGHUP ignored
            signal.signal(number, _stop)
    sys.exit(failures.run(cli, arguments))


def _stop(_number: int, _frame: FrameType | None) -> None:
    """End as with Ctrl-C: children are stopped and nothing half-made is left."""
    raise KeyboardInterrupt
