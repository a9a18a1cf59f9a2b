"""Recipes: what to do with a model, as frozen, versioned, validated data.

A recipe is a YAML file with `schema: edgeship.recipe/1`. Shipped ones lie in `recipes/`; a path to a file of your own
works wherever a name does. Training stages run in the order written; variants are made afterwards from their result.

    schema: edgeship.recipe/1
    name: int8-qat
    purpose: int8 with the accuracy of float, for models that lose points when quantized after training
    stages:
      - quantize-aware: {epochs: 3}
    variants: [int8]
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from edgeship.errors import RecipeError
from edgeship.types import VARIANTS

SCHEMA = "edgeship.recipe/1"

T = TypeVar("T")


@dataclass(frozen=True)
class Prune:
    """Magnitude pruning of kernels, gradual, with fine-tuning.

    Attributes:
        sparsity: share of zeros to reach, over all prunable kernels together, 0 < sparsity < 1.
        schedule: `cubic` ramps as in arXiv 1710.01878, eq. 1; `constant` prunes at the first step.
        ramp: share of the epochs spent ramping; the rest recovers accuracy at the final sparsity.
    """

    sparsity: float = 0.5
    epochs: int = 6
    schedule: Literal["cubic", "constant"] = "cubic"
    ramp: float = 0.6
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class Cluster:
    """Weight clustering with fine-tuning (arXiv 1510.00149, section 3); zeros of an earlier prune are kept.

    Attributes:
        clusters: how many different values a kernel may have, 4 to 128.
    """

    clusters: int = 16
    epochs: int = 4
    learning_rate: float = 1e-4


@dataclass(frozen=True)
class Distil:
    """Knowledge distillation from the original model (arXiv 1503.02531).

    Attributes:
        student: `self` (the model as the earlier stages left it, masks kept), `narrow` (the same architecture with
            `width` times the channels, trained from scratch), or `module:function` that returns a Keras model.
        width: for `narrow`, 0 < width < 1.
        temperature: softens both outputs; the soft loss is scaled by its square.
        weight: share of the soft loss, the rest is the task's own loss.
    """

    student: str = "self"
    width: float = 0.5
    epochs: int = 6
    temperature: float = 3.0
    weight: float = 0.5
    learning_rate: float = 1e-3


@dataclass(frozen=True)
class QuantizeAware:
    """Quantization-aware training to int8 (arXiv 1712.05877, section 3); zeros and clusters stay."""

    epochs: int = 3
    learning_rate: float = 1e-4


StageSpec = Prune | Cluster | Distil | QuantizeAware

#: The word in a recipe -> its settings.
STAGES: Mapping[str, type[StageSpec]] = {
    "prune": Prune,
    "cluster": Cluster,
    "distil": Distil,
    "quantize-aware": QuantizeAware,
}


@dataclass(frozen=True)
class Recipe:
    """What to do. `variants` are made for every format that has them (or an equivalent).

    Attributes:
        max_drop: limit of the metric gate, in the metric's drop unit (points).
        inconclusive: what a gate whose interval spans its limit means: `fail` or `pass`.
        calibration_samples: how many training samples set activation ranges.
        batch_size: of all training stages.
        seed: of everything random.
    """

    name: str
    purpose: str = ""
    stages: tuple[StageSpec, ...] = ()
    variants: tuple[str, ...] = ("float32",)
    max_drop: float = 0.5
    inconclusive: Literal["fail", "pass"] = "fail"
    calibration_samples: int = 200
    batch_size: int = 64
    seed: int = 0

    def to_data(self) -> dict[str, Any]:
        """The recipe as it is written in YAML; `parse` reads it back."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        words = {cls: word for word, cls in STAGES.items()}
        plain["stages"] = [{words[type(s)]: dataclasses.asdict(s)} for s in self.stages]
        plain["variants"] = list(self.variants)
        return {"schema": SCHEMA, **plain}


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with edgeship."""
    folder = resources.files("edgeship") / "recipes"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or one from a file. Raises RecipeError with what is allowed."""
    import yaml

    if name_or_path in shipped():
        text = (resources.files("edgeship") / "recipes" / f"{name_or_path}.yaml").read_text()
    elif Path(name_or_path).suffix in (".yaml", ".yml") and Path(name_or_path).is_file():
        try:
            text = Path(name_or_path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{name_or_path} cannot be read: {error}") from error
    else:
        raise RecipeError(
            f"no recipe is called {name_or_path!r}",
            remedy=f"Shipped: {', '.join(shipped())}; or give a path to a .yaml file. See: edgeship recipes",
        )
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{name_or_path} is not YAML: {error}") from error
    return parse(data, name_or_path)


def parse(data: Any, where: str) -> Recipe:
    """Validate plain data as a recipe; `where` names it in errors. Raises RecipeError."""
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: a recipe is a mapping of keys, not {type(data).__name__}")
    if data.get("schema") != SCHEMA:
        raise RecipeError(f"{where}: schema is {data.get('schema')!r}", remedy=f"This edgeship reads {SCHEMA!r}.")
    values = {key: value for key, value in data.items() if key != "schema"}
    if "stages" in values:
        values["stages"] = tuple(_stage(item, where) for item in _sequence(values["stages"], f"{where}: stages"))
    if "variants" in values:
        values["variants"] = tuple(_sequence(values["variants"], f"{where}: variants"))
    recipe = _build(Recipe, values, where)
    _check(recipe, where)
    return recipe


def check_variants(variants: tuple[str, ...], where: str) -> None:
    """Raise RecipeError for a variant name that does not exist."""
    for variant in variants:
        if not isinstance(variant, str) or variant not in VARIANTS:
            raise RecipeError(f"{where}: unknown variant {variant!r}", remedy=f"Allowed: {', '.join(VARIANTS)}.")


def _sequence(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise RecipeError(f"{where} is a list, not {type(value).__name__}")
    return value


def _stage(item: Any, where: str) -> StageSpec:
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, dict) or len(item) != 1:
        raise RecipeError(f"{where}: a stage is one word with its settings, such as `- prune: {{sparsity: 0.5}}`")
    ((word, settings),) = item.items()
    if word not in STAGES:
        raise RecipeError(f"{where}: unknown stage {word!r}", remedy=f"Allowed: {', '.join(STAGES)}.")
    if not isinstance(settings, dict | None):
        raise RecipeError(f"{where}: the settings of {word} are a mapping, such as {{epochs: 3}}")
    return _build(STAGES[word], settings or {}, f"{where}: {word}")


def _build(cls: type[T], values: Mapping[str, Any], where: str) -> T:
    """Construct a settings dataclass from plain values, refusing unknown keys and wrong types."""
    hints = get_type_hints(cls)
    for key, value in values.items():
        if key not in hints:
            raise RecipeError(f"{where}: unknown key {key!r}", remedy=f"Allowed: {', '.join(hints)}.")
        _check_type(value, hints[key], f"{where}: {key}")
    for field in dataclasses.fields(cls):  # type: ignore[arg-type] # T is one of our dataclasses
        if field.default is dataclasses.MISSING and field.name not in values:
            raise RecipeError(f"{where}: {field.name} is missing")
    return cls(**values)


def _check_type(value: Any, hint: Any, where: str) -> None:
    choices = get_args(hint) if getattr(hint, "__origin__", None) is Literal else ()
    if choices and value not in choices:
        raise RecipeError(f"{where} is {value!r}", remedy=f"Allowed: {', '.join(map(repr, choices))}.")
    wanted = {float: (int, float), int: (int,), str: (str,)}.get(hint)
    if wanted and (not isinstance(value, wanted) or isinstance(value, bool)):
        raise RecipeError(f"{where} is {value!r}, which is not of type {hint.__name__}")


def _check(recipe: Recipe, where: str) -> None:
    """Limits of single values, and of their order."""
    check_variants(recipe.variants, where)
    if len(set(recipe.variants)) < len(recipe.variants):
        raise RecipeError(f"{where}: variants names one twice: {', '.join(recipe.variants)}")
    if not recipe.name:
        raise RecipeError(f"{where}: name is empty")
    if not recipe.variants:
        raise RecipeError(f"{where}: variants is empty", remedy=f"Name at least one of: {', '.join(VARIANTS)}.")
    limits: list[tuple[str, float, float, float]] = [
        ("max_drop", recipe.max_drop, 0, 100),
        ("calibration_samples", recipe.calibration_samples, 1, 100_000),
        ("batch_size", recipe.batch_size, 1, 65_536),
        ("seed", recipe.seed, 0, 2**31 - 1),
    ]
    for stage in recipe.stages:
        limits += [("epochs", stage.epochs, 1, 10_000), ("learning_rate", stage.learning_rate, 1e-9, 10)]
        if isinstance(stage, Prune):
            limits += [("sparsity", stage.sparsity, 0.01, 0.99), ("ramp", stage.ramp, 0, 1)]
        if isinstance(stage, Cluster):
            limits += [("clusters", stage.clusters, 4, 128)]
        if isinstance(stage, Distil):
            limits += [("width", stage.width, 0.01, 0.99), ("temperature", stage.temperature, 0.1, 100)]
            limits += [("weight", stage.weight, 0, 1)]
            if stage.student not in ("self", "narrow") and ":" not in stage.student:
                raise RecipeError(
                    f"{where}: student is {stage.student!r}", remedy="Allowed: self, narrow, module:function."
                )
    for key, value, low, high in limits:
        if not low <= value <= high:
            raise RecipeError(f"{where}: {key} is {value}", remedy=f"Allowed: {low:g} to {high:g}.")
    _check_order(recipe.stages, where)


def _check_order(stages: tuple[StageSpec, ...], where: str) -> None:
    if any(isinstance(s, QuantizeAware) for s in stages[:-1]):
        raise RecipeError(f"{where}: quantize-aware must be the last stage", remedy="Later training would undo it.")
    clustered = [number for number, stage in enumerate(stages) if isinstance(stage, Cluster)]
    for number, stage in enumerate(stages):
        anew = isinstance(stage, Prune) or (isinstance(stage, Distil) and stage.student != "self")
        if anew and any(before < number for before in clustered):
            word = next(word for word, kind in STAGES.items() if isinstance(stage, kind))
            raise RecipeError(f"{where}: {word} after cluster would undo it", remedy="Put cluster after it.")
