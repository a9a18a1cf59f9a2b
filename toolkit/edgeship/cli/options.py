"""Options that several commands share, and how they become values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from edgeship.types import Plan

F = TypeVar("F", bound=Callable[..., Any])

#: A model is a file or a folder; the library says what is wrong with it, in one voice for the CLI and the API.
MODEL = click.Path(path_type=Path)


class _Names(click.ParamType[str]):
    """Names that plug-ins or recipes define; checked by the library, completed here."""

    name = "name"

    def __init__(self, names: Callable[[], tuple[str, ...]]) -> None:
        self._names = names

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]


def _plugin_names(kind: str) -> Callable[[], tuple[str, ...]]:
    def names() -> tuple[str, ...]:
        from edgeship import plugins

        return plugins.names(kind)

    return names


def _addresses() -> tuple[str, ...]:
    from edgeship import plugins

    return tuple(address for scheme in plugins.names("targets") for address in plugins.addresses(scheme))


def recipe_names() -> tuple[str, ...]:
    """The shipped recipes."""
    from edgeship import recipe

    return recipe.shipped()


def _variant_names() -> tuple[str, ...]:
    from edgeship.types import VARIANTS

    return tuple(VARIANTS)


def together(*decorators: Callable[[F], F]) -> Callable[[F], F]:
    """Several click options as one decorator, shown in the order given."""

    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate


_formats = click.option(
    "--to",
    "formats",
    multiple=True,
    type=_Names(_plugin_names("converters")),
    metavar="FORMAT",
    help="tflite, tfjs, onnx, micro or savedmodel; repeatable. Default: the first three, where installed.",
)
_quantize = click.option(
    "--quantize",
    "variants",
    multiple=True,
    type=_Names(_variant_names),
    metavar="VARIANT",
    help="float32, float16, dynamic, int8, int8-floatio, int16x8, mixed, int4, int4-mixed, uint8, uint16; repeatable.",
)
_opset = click.option(
    "--opset",
    type=int,
    metavar="N",
    help="Operator set of ONNX files, 13 to 26. Default: 18; of an .onnx MODEL its own.",
)
_snap_to = click.option(
    "--snap-to",
    multiple=True,
    type=MODEL,
    metavar="FILE",
    help="A float32 file that devices have: makes float32-snapped too, of which patches are small; one for a format.",
)
targets = click.option(
    "--target",
    "targets",
    multiple=True,
    type=_Names(_addresses),
    metavar="TARGET",
    help="Where to measure: local, or another of those that edgeship targets lists; repeat for several.",
)
recipe = click.option(
    "--recipe",
    "recipe_name",
    default="auto",
    show_default=True,
    type=_Names(recipe_names),
    metavar="NAME|FILE",
    help="What to do; see: edgeship recipes.",
)
training_recipe = click.option(
    "--recipe",
    "recipe_name",
    required=True,
    type=_Names(recipe_names),
    metavar="NAME|FILE",
    help="A recipe that trains; see: edgeship recipes.",
)
_max_drop = click.option(
    "--max-drop", type=float, metavar="POINTS", help="Most the metric may drop; overrides the recipe's limit."
)
metric = click.option(
    "--metric", metavar="NAME", help="accuracy, mse, auc, miou or module:function. Default: what the labels suggest."
)
data = click.option(
    "--data", metavar="DATA", help="digits, a .npz file, a folder of images by class, or module:function."
)
scale = click.option(
    "--scale",
    type=float,
    default=1.0,
    show_default=True,
    metavar="FACTOR",
    help="Multiplies float inputs on reading: 0.00392157 for images, where a model was trained on 0..1.",
)
augment = click.option(
    "--augment",
    multiple=True,
    metavar="NAME",
    help="Random variations of training samples: flip, crop (images) or module:function; repeat for several.",
)
seed = click.option("--seed", type=int, metavar="N", help="Of everything random; overrides the recipe's.")
#: More are no processor's.
_MOST_THREADS = 1024
_XNNPACK = {"on": (True,), "off": (False,), "both": (True, False)}

_loading = together(
    click.option(
        "--custom-objects",
        multiple=True,
        metavar="MODULE:NAME",
        help="A custom layer or function that the model needs; repeat for several.",
    ),
    click.option("--allow-unsafe", is_flag=True, help="Load Lambda layers and other code that the model carries."),
    click.option(
        "--signature",
        metavar="NAME",
        help="Of a SavedModel (default: serving_default); of a frozen graph, its outputs, divided by commas.",
    ),
)
_limits = together(
    click.option(
        "--time-limit",
        type=float,
        default=900,
        show_default=True,
        metavar="SECONDS",
        help="Longest silence of a child.",
    ),
    click.option("--memory-limit", type=int, metavar="MIB", help="For each child. Default: this machine's memory."),
)


def counted(name: str, default: int, help_text: str) -> Callable[[F], F]:
    """An option that takes a number of 1 or more, and shows its default."""
    return click.option(name, type=click.IntRange(1), default=default, show_default=True, help=help_text)


class _Counts(click.ParamType[tuple[int, ...]]):
    """One number or several, divided by commas: `1,2,4`."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Numbers of 1 or more, each once."""
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdecimal() and 0 < int(part) <= _MOST_THREADS for part in parts):
            self.fail(f"{value!r} is no number of threads, nor several such as 1,2,4", param, ctx)
        return tuple(dict.fromkeys(map(int, parts)))


force = click.option("--force", is_flag=True, help="Replace another build in --out.")
measuring = together(
    click.option(
        "--threads",
        type=_Counts(),
        default="1",
        show_default=True,
        metavar="N,N",
        help="Of the runtime; several, such as 1,2,4, are measured side by side.",
    ),
    counted("--min-runs", 100, "Inferences to time."),
    click.option("--min-seconds", type=float, default=1.0, show_default=True, help="Time to keep timing."),
    click.option("--profile", is_flag=True, help="Time the operators too, in a run of its own."),
)
comparing = together(
    counted("--repeats", 6, "Starts of each file, which a verdict rests on."),
    click.option(
        "--cool-down",
        "cool_down_seconds",
        type=click.FloatRange(0, 3600),
        default=0,
        show_default=True,
        metavar="SECONDS",
        help="Rest before each repeat but the first.",
    ),
    click.option(
        "--xnnpack",
        type=click.Choice(tuple(_XNNPACK)),
        default="on",
        show_default=True,
        help="Of LiteRT on the CPU; both are measured side by side.",
    ),
    click.option(
        "--batch", type=click.IntRange(2), metavar="N", help="Measure throughput too, with N samples in an inference."
    ),
    click.option("--streaming", is_flag=True, help="Measure throughput too, one sample after another."),
)


def out(default: str) -> Callable[[F], F]:
    """The `--out` option; `default` is shown in the help."""
    return click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help=f"Default: {default}.")


#: What to export.
exports = together(_formats, _quantize, _opset, _snap_to)
#: What files are held to.
gates = together(_max_drop, metric)
#: The folder of a build, and the seed of all in it.
building = together(out("builds/NAME"), force, seed)
#: How a model is opened, and the children that work on it; see `running_values`.
running = together(_loading, _limits)


def running_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options of `running` say, as fields of a request: `limits`, and how a model is opened."""
    from edgeship.child import Limits

    return {
        "limits": Limits(seconds=given["time_limit"], memory_mib=given["memory_limit"]),
        "custom_objects": given["custom_objects"],
        "allow_unsafe": given["allow_unsafe"],
        "signature": given["signature"],
    }


def make_plan(given: Mapping[str, Any]) -> Plan:
    """The plan that the options of `measuring`, and of `comparing` where a command has them, say."""
    from edgeship.types import Plan

    names = ("threads", "min_runs", "min_seconds", "repeats", "cool_down_seconds", "streaming", "profile")
    xnnpack = _XNNPACK[given.get("xnnpack", "on")]
    values = {name: given[name] for name in names if name in given}
    return Plan(batch=given.get("batch") or 0, xnnpack=xnnpack, **values)
