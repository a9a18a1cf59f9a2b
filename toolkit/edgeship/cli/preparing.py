"""Options that say how raw values become what a model takes, and what is delivered with a file about that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from edgeship.cli import options


class _Numbers(click.ParamType[tuple[float, ...]]):
    """One number, or several divided by commas."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not a number, or numbers divided by commas", param, ctx)


_MODES = ("raw", "unit", "tf", "torch", "caffe")
#: What happens to samples on reading.
samples = options.together(
    options.scale,
    click.option("--mean", type=_Numbers(), default=(), metavar="M[,M...]", help="Subtracted from scaled inputs."),
    click.option("--std", type=_Numbers(), default=(), metavar="S[,S...]", help="Then divides them."),
    click.option(
        "--preprocess",
        type=click.Choice(_MODES),
        help="By name instead: raw (0..255), unit (0..1), or as keras.applications does it.",
    ),
)
#: What exported files say and do about it.
delivered = options.together(
    click.option(
        "--labels", type=options.MODEL, metavar="FILE", help="Class names, one a line. Default: those of the data."
    ),
    click.option(
        "--bake-preprocessing", is_flag=True, help="Files take raw values: scale, mean and std go into the graph."
    ),
)


def sample_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of `samples` say, as fields of `edgeship.data.DataOptions`."""
    from edgeship.preprocessing import NAMED

    said = {"scale": given["scale"], "mean": given["mean"], "std": given["std"]}
    mode = given["preprocess"]
    if mode is None:
        return said
    if said != {"scale": 1.0, "mean": (), "std": ()}:
        raise click.UsageError("--preprocess says what --scale, --mean and --std say: give one or the other")
    named = NAMED[mode]
    return {"scale": named.scale, "mean": named.mean, "std": named.std, "channels": named.channels}


def words(given: Mapping[str, Any]) -> list[str]:
    """The options of `samples` as they were given, for a command that follows."""
    numbers = {name: given.get(name, ()) for name in ("mean", "std")}
    found = ["--scale", f"{given['scale']:g}"] if given["scale"] != 1.0 else []
    found += [
        word for name, said in numbers.items() if said for word in (f"--{name}", ",".join(f"{n:g}" for n in said))
    ]
    return [*found, "--preprocess", given["preprocess"]] if given.get("preprocess") else found


def delivered_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of `delivered` say, as fields of a request. Raises DataError for labels that cannot be read."""
    file: Path | None = given["labels"]
    return {"labels": () if file is None else _labels(file), "bake_preprocessing": given["bake_preprocessing"]}


def _labels(file: Path) -> tuple[str, ...]:
    from edgeship.errors import DataError
    from edgeship.usage.values import MAX_TEXT

    try:
        with file.open("rb") as stream:
            lines = stream.read(MAX_TEXT).decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}", remedy="Give a text file with one name a line.") from error
    return tuple(line.strip() for line in (lines if lines[-1].strip() else lines[:-1]))
