"""edgeship inside a Python program: `build` and `convert` for a live model or a path.

report = edgeship.build(model, data=(x_train, y_train, x_test, y_test), recipe="int8")
report.raise_for_gates()
print(report.best.entry)
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship import pipeline
from edgeship import recipe as recipes
from edgeship.data import DataOptions
from edgeship.errors import DataError, InputError
from edgeship.masking import masked
from edgeship.types import Array, ProgressCallback, Report

if TYPE_CHECKING:
    from edgeship.searching.run import Search
    from edgeship.sensitivity.findings import Sensitivity

_TUPLES = {4: ("x_train", "y_train", "x_test", "y_test"), 2: ("x", "y")}
#: A dataset: what `--data` takes, (x_train, y_train, x_test, y_test), (x, y) to be divided, or a mapping with the keys
#: of an .npz file.
Data = str | Path | tuple[Array, ...] | Mapping[str, Array]


def build(
    model: Any,
    data: Data,
    *,
    recipe: str | recipes.Recipe = "auto",
    to: str | Sequence[str] = (),
    quantize: str | Sequence[str] = (),
    out: str | Path | None = None,
    **options: Any,
) -> Report:
    """Compress, convert, verify, measure and report a trained model.

    Args:
        model: a live Keras 3 or tf_keras model, or the path of a saved one. A live model is written once; training
            happens in child processes, so an unguarded script is not run again.
        data: see `Data`.
        recipe: name, path of a .yaml file, or a Recipe.
        to: formats; empty for all that are installed.
        quantize: variants; empty for those of the recipe.
        out: the build folder; default `builds/<the model's name, or that of its file>`.
        options: other fields of `edgeship.pipeline.Request`: targets, metric, data_options, plan, limits,
            custom_objects, allow_unsafe, signature, force, opset (of ONNX files), snap_to, slices, max_slice_drop,
            min_slice, occlusion, exhibits; max_drop, which overrides the recipe's limit; and progress, which is called
            with `edgeship.types.Progress`.

    Returns:
        The report: `report.best.entry` is the file that passed with the fewest bytes to send;
        `report.raise_for_gates()` raises if a gate failed, which does not raise by itself.

    Raises:
        InputError: for a model, dataset, recipe or folder that cannot be used; nothing is written then.
    """
    given = {"recipe": recipe, "to": to, "quantize": quantize, "out": out, **options}
    options.setdefault("command", (_call("build", model, data, given),))
    options.setdefault("targets", ("local",))
    return _run(model, data, _recipe(recipe, quantize, options), to, out, options)


def convert(
    model: Any,
    *,
    to: str | Sequence[str] = (),
    quantize: str | Sequence[str] = ("float32",),
    data: Data | None = None,
    out: str | Path | None = None,
    **options: Any,
) -> Report:
    """Convert and verify a trained model, without training or measuring.

    The variants named in `quantize` are made (int8 needs `data`); all else is as for `build`.
    """
    given = {"quantize": quantize, "to": to, "out": out, **options}
    options.setdefault("command", (_call("convert", model, data, given),))
    plain = recipes.conversion(_words(quantize))
    return _run(model, data, _recipe(plain, (), options), to, out, options)


def search(
    model: Any,
    data: Data,
    *,
    space: str | Path | None = None,
    budget_seconds: float | None = None,
    trials: int | None = None,
    minimize: str | Sequence[str] = (),
    out: str | Path | None = None,
    **options: Any,
) -> Search:
    """Search for the best recipe for a trained model, and build it.

    What is tried is judged on the validation samples; the build that is chosen is verified on the test samples. The
    same call goes on where an earlier one ended.

    Args:
        model: as for `build`.
        data: as for `build`; with labels.
        space: path of a search space; None for what applies to the model.
        budget_seconds: nothing is proposed, and no stage begun, after so long.
        trials: how many there are to be in all, those of earlier calls counted.
        minimize: `bytes`, `ms@TARGET`, `mib@TARGET`, beside the drop; empty for bytes and the ms of each target.
        out: of the chosen build; default `builds/<the model's name, or that of its file>`.
        options: fields of `edgeship.searching.limits.Limits` (max_drop, max_bytes, max_ms, max_mib, max_slice_drop),
            of `edgeship.searching.trials.Task` (format, metric, targets, data_options, limits, custom_objects,
            allow_unsafe, signature, slices, min_slice) and of `edgeship.searching.options.Options` (folder, executor,
            workers, storage, sampler, seed, heartbeat_seconds, force, measuring); and progress, which is called with
            `edgeship.types.Progress`.

    Returns:
        The trials, their front, the choice, the runner-up and why; `report` is that of the chosen build, None where no
        trial keeps all limits.

    Raises:
        InputError: a model, data, space, limit or folder that cannot be used; nothing was tried then.
        UnavailableError: Optuna, a target, the storage or the cluster is not there, or the disk is full: the same call
            goes on with all that was finished.
    """
    if budget_seconds is None and trials is None:
        raise InputError("nothing says how long to search", remedy="Give budget_seconds or trials.")
    bounds = {"budget_seconds": budget_seconds, "trials": trials}
    call = _call("search", model, data, {"space": space, **bounds, "minimize": minimize, **options})
    return _search(model, data, space, _words(minimize), {**bounds, "out": out, "command": (call,), **options})


def _search(
    model: Any, data: Data, space: str | Path | None, minimize: tuple[str, ...], options: dict[str, Any]
) -> Search:
    from edgeship.searching import run
    from edgeship.searching.limits import Limits
    from edgeship.searching.options import Options
    from edgeship.searching.trials import Task

    progress: ProgressCallback = options.pop("progress", lambda _: None)
    limits = Limits(**_taken(Limits, options))
    with tempfile.TemporaryDirectory(prefix="edgeship-") as scratch:
        opening = (tuple(options.get("custom_objects", ())), bool(options.get("allow_unsafe", False)))
        path = Path(model) if isinstance(model, (str, Path)) else _save(model, Path(scratch), *opening)
        given_data = _data(data, Path(scratch))
        assert given_data is not None
        task = Task(path, given_data, **_taken(Task, options))
        options["folder"] = Path(options.get("folder", Path("searches") / path.stem))
        options["out"] = Path(options["out"] or Path("builds") / path.stem)
        space = Path(space) if space is not None else None
        return run.search(task, Options(**options), limits, space, minimize, progress)


def _taken(kind: type, options: dict[str, Any]) -> dict[str, Any]:
    """The options that are fields of a class, taken out of them."""
    return {field.name: options.pop(field.name) for field in fields(kind) if field.name in options}


def layer_sensitivity(model: Any, data: Data, **options: Any) -> Sensitivity:
    """Which layers of a trained model pay for int8, 4 bits and pruning, and which few to keep above int8.

    Args:
        model: as for `build`; a model that Keras 3 reads.
        data: as for `build`; with labels.
        options: fields of `edgeship.sensitivity.findings.Options` (samples, sparsity, max_drop, max_growth, metric,
            seed) and of `edgeship.pipeline.precision.SensitivityRequest` (data_options, limits, custom_objects,
            allow_unsafe); and progress, which is called with `edgeship.types.Progress`.

    Returns:
        `layers`, the most damaging first, and `fix`: `fix.sentence` says what to do, `fix.precision` is what the recipe
        key `precision` takes.

    Raises:
        UnsupportedModelError: names a layer that cannot be simulated.
        InputError: a model, dataset or option that cannot be used.
    """
    from edgeship.pipeline.precision import SensitivityRequest, sensitivity
    from edgeship.sensitivity.findings import Options

    progress: ProgressCallback = options.pop("progress", lambda _: None)
    names = [field.name for field in fields(Options)]
    settings = Options(**{name: options.pop(name) for name in names if name in options})
    with tempfile.TemporaryDirectory(prefix="edgeship-") as scratch:
        opening = (tuple(options.get("custom_objects", ())), bool(options.get("allow_unsafe", False)))
        path = Path(model) if isinstance(model, (str, Path)) else _save(model, Path(scratch), *opening)
        given = _data(data, Path(scratch))
        assert given is not None
        return sensitivity(SensitivityRequest(path, given, settings, **options), progress)


def _call(function: str, model: Any, data: Data | None, options: Mapping[str, Any]) -> str:
    """The call as Python code, for the report; what has no short form goes by a name."""
    shown = {"data": data, **{name: value for name, value in options.items() if value not in (None, ())}}
    arguments = [_code(model, "model"), *(f"{name}={_code(value, name)}" for name, value in shown.items())]
    return f"edgeship.{function}({', '.join(arguments)})"


def _code(value: Any, name: str) -> str:
    if name == "data" and isinstance(value, tuple) and len(value) in _TUPLES:
        return f"({', '.join(_TUPLES[len(value)])})"
    if isinstance(value, (str, Path)):
        return repr(masked(str(value)))
    plain = value is None or isinstance(value, (int, float, tuple, list)) or is_dataclass(value)
    return repr(value) if plain else name


def _words(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _recipe(recipe: str | recipes.Recipe, quantize: str | Sequence[str], options: dict[str, Any]) -> recipes.Recipe:
    found = recipes.load(recipe) if isinstance(recipe, str) else recipe
    return found.changed(max_drop=options.pop("max_drop", None), variants=_words(quantize))


def _run(
    model: Any,
    data: Data | None,
    recipe: recipes.Recipe,
    to: str | Sequence[str],
    out: str | Path | None,
    options: dict[str, Any],
) -> Report:
    progress: ProgressCallback | None = options.pop("progress", None)
    with tempfile.TemporaryDirectory(prefix="edgeship-") as scratch:
        opening = (tuple(options.get("custom_objects", ())), bool(options.get("allow_unsafe", False)))
        path = Path(model) if isinstance(model, (str, Path)) else _save(model, Path(scratch), *opening)
        options.setdefault(
            "data_options", DataOptions(seed=recipe.seed, calibration_samples=recipe.calibration_samples)
        )
        request = pipeline.Request(
            model=path,
            out=Path(out) if out is not None else Path("builds") / path.stem,
            recipe=recipe,
            data=_data(data, Path(scratch)),
            formats=_words(to),
            script=_script(),
            **options,
        )
        return pipeline.build(request) if progress is None else pipeline.build(request, progress)


def _script() -> Path | None:
    """The file of the program that runs; None in a notebook or a console."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


def _save(model: Any, folder: Path, custom_objects: tuple[str, ...], allow_unsafe: bool) -> Path:
    from edgeship.names import safe_names
    from edgeship.source import save_live

    saved = save_live(model, folder, custom_objects, allow_unsafe=allow_unsafe)
    # The file's name becomes the build's.
    return saved.rename(saved.with_stem(safe_names((model.name,), "model")[0]))


def _data(data: Data | None, folder: Path) -> str | None:
    """A dataset as the pipeline takes it: arrays become an .npz file."""
    import numpy as np

    if data is None or isinstance(data, (str, Path)):
        return None if data is None else str(data)
    if isinstance(data, tuple):
        names = _TUPLES.get(len(data))
        if names is None:
            allowed = " or ".join(f"({', '.join(names)})" for names in _TUPLES.values())
            raise DataError(f"data has {len(data)} arrays", remedy=f"Give {allowed}, or a mapping.")
        data = dict(zip(names, data, strict=True))
    path = folder / "data.npz"
    arrays: dict[str, Any] = {name: np.asarray(array) for name, array in data.items()}
    np.savez(path, **arrays)
    return str(path)
