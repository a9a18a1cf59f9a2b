"""From exceptions to exit codes and messages; see the table in `edgeship.errors`."""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from pathlib import Path

import click


def run(command: click.Command, arguments: list[str]) -> int:
    """Run the CLI and return its exit status; never shows a traceback."""
    from edgeship.errors import EdgeshipError, to_wire

    as_json = "--json" in arguments
    try:
        result = command.main(arguments, prog_name="edgeship", standalone_mode=False)
    except click.exceptions.Exit as error:
        result = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("stopped: finished parts are kept and reused by the same command", err=True)
        return 130
    except click.ClickException as error:
        if as_json:
            click.echo(json.dumps({"error": {"type": "UsageError", "message": error.format_message(), "remedy": ""}}))
        error.show(sys.stderr)
        return 2
    except EdgeshipError as error:
        if as_json:
            click.echo(json.dumps({"error": to_wire(error)}))
        _show(error.message, error.remedy)
        return error.exit_code
    except BrokenPipeError:
        result = 0  # the reader of our output has seen enough
    except Exception as error:  # noqa: BLE001 - the last door: a bug of ours
        if as_json:
            click.echo(json.dumps({"error": to_wire(error)}))
        _show(f"this is a bug in edgeship: {type(error).__name__}: {error}", f"Please attach {_crash_report()}")
        return 4
    return result if isinstance(result, int) else 0


def _show(message: str, remedy: str) -> None:
    from edgeship.report.view import clean_lines

    click.echo(click.style("error: ", fg="red", bold=True) + clean_lines(message), err=True)
    if remedy:
        click.echo(clean_lines(remedy), err=True)


def _crash_report() -> Path:
    from edgeship.cache import versions
    from edgeship.masking import masked

    command = [masked(word) for word in sys.argv[1:]]
    said = masked(traceback.format_exc())
    text = f"command: {command}\npython: {sys.version}\nversions: {versions()}\n\n{said}"
    with tempfile.NamedTemporaryFile("w", prefix="edgeship-crash-", suffix=".txt", delete=False) as file:
        file.write(text)
    return Path(file.name)
