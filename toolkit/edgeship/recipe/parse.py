"""Reads recipes: plain data in, a `Recipe` or one error that says what is allowed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from edgeship.errors import InputError, RecipeError
from edgeship.recipe.stages import STAGES, StageSpec, Training, limited
from edgeship.types import LAYER_PRECISIONS, VARIANTS

SCHEMA = "edgeship.recipe/1"

#: Keys that attempts have of the recipe that tries them, where they do not state them.
_HANDED_ON = ("batch_size", "max_growth")

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """What to do. `variants` are made for every format that has them (or an equivalent).

    Attributes:
        attempts: recipes that are tried in this order on the validation split; the first that is good enough is done,
            and its variants join `variants`, which are then made from the model as given. Limits and seed of this
            recipe (`max_drop`, `inconclusive`, `seed`) hold for all of them; the `batch_size` and `max_growth` that it
            states for those that state none.
        undecided: what an attempt counts as whose drop is within the limit, where there are too few validation samples
            to be sure of any: `accept` takes it, `reject` goes on.
        minutes: no attempt is trained beyond this much time for all of them together.
        max_drop: limit of the metric gate, in the metric's drop unit (points).
        inconclusive: what a gate whose interval spans its limit means: `fail` or `pass`.
        precision: of variant `mixed`: layer -> `int16x8` or `float32`, layers that are not named are int8; or `auto`,
            which measures and chooses the fewest layers that `max_drop` needs.
        max_growth: how much larger than the int8 file `auto` may make it, as a share.
        calibration_samples: how many training samples set activation ranges; of a recipe with attempts, what the one
            states that states most, unless it says so itself.
        batch_size: of all training stages.
        seed: of everything random.
    """

    name: str
    purpose: str = ""
    stages: tuple[StageSpec, ...] = ()
    variants: tuple[str, ...] = ("float32",)
    attempts: tuple[Recipe, ...] = ()
    undecided: Literal["accept", "reject"] = "reject"
    minutes: float = limited(30, 0, 100_000)
    max_drop: float = limited(0.5, 0, 100)
    inconclusive: Literal["fail", "pass"] = "fail"
    precision: str | Mapping[str, str] = "auto"
    max_growth: float = limited(1.0, 0, 4)
    calibration_samples: int = limited(200, 1, 100_000)
    batch_size: int = limited(64, 1, 65_536)
    seed: int = limited(0, 0, 2**31 - 1)

    def to_data(self) -> dict[str, Any]:
        """The recipe as it is written in YAML; `parse` reads it back."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain["stages"] = [{s.word: dataclasses.asdict(s)} for s in self.stages]
        plain["variants"] = list(self.variants)
        plain["attempts"] = [attempt.to_data() for attempt in self.attempts]
        return {"schema": SCHEMA, **plain}

    @property
    def trains(self) -> bool:
        """Whether a stage needs training data; other stages need calibration samples at most."""
        return any(isinstance(stage, Training) for stage in self.stages)

    def changed(
        self, *, max_drop: float | None = None, seed: int | None = None, variants: Sequence[str] = ()
    ) -> Recipe:
        """The recipe with other limits (None: as it is), or for some variants only, validated again.

        Of `attempts`, those stay that make one of the variants. Raises RecipeError.
        """
        data = self.to_data()
        data |= {key: value for key, value in (("max_drop", max_drop), ("seed", seed)) if value is not None}
        if variants:
            check_variants(tuple(variants), "--quantize")
            tried = [(a, [v for v in a["variants"] if v in variants]) for a in data["attempts"]]
            data["attempts"] = [a | {"variants": left} for a, left in tried if left]
            made = {v for a in data["attempts"] for v in a["variants"]}
            data["variants"] = [v for v in variants if v in self.variants or v not in made]
        return parse(data, self.name)


def shipped() -> tuple[str, ...]:
    """Names of the recipes that come with edgeship."""
    folder = resources.files("edgeship") / "recipes"
    return tuple(sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")))


def load(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or one from a file. Raises RecipeError with what is allowed."""
    return _parse(_read(name_or_path), name_or_path)


def _read(name_or_path: str) -> Any:
    """What the YAML of a recipe says."""
    from edgeship.yaml_text import parse as parse_yaml

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
        return parse_yaml(text, name_or_path)
    except InputError as error:
        raise RecipeError(error.message) from error


def conversion(variants: Sequence[str]) -> Recipe:
    """The recipe that makes these variants of a model as it is. Raises RecipeError for an unknown one."""
    check_variants(tuple(variants), "--quantize")
    return Recipe("convert", "conversion, no training", variants=tuple(variants))


def parse(data: Any, where: str) -> Recipe:
    """Validate plain data as a recipe; `where` names it in errors. Raises RecipeError."""
    return _parse(data, where)


def _parse(data: Any, where: str, *, attempt: bool = False) -> Recipe:
    """`attempt`: of another recipe, which has none itself: so no recipe leads back to itself."""
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: a recipe is a mapping of keys, not {type(data).__name__}")
    if data.get("schema") != SCHEMA:
        raise RecipeError(f"{where}: schema is {data.get('schema')!r}", remedy=f"This edgeship reads {SCHEMA!r}.")
    values = {key: value for key, value in data.items() if key != "schema"}
    if "stages" in values:
        values["stages"] = tuple(_stage(item, where) for item in _sequence(values["stages"], f"{where}: stages"))
    if "variants" in values:
        values["variants"] = tuple(_sequence(values["variants"], f"{where}: variants"))
    if values.get("attempts"):
        if attempt:
            raise RecipeError(f"{where}: an attempt has no attempts itself", remedy="List those instead.")
        values.setdefault("variants", ())
        values["attempts"] = tuple(
            _attempt(item, {key: values[key] for key in _HANDED_ON if key in values}, where)
            for item in _sequence(values["attempts"], f"{where}: attempts")
        )
        # The data are divided once: as the attempt wants it that takes most samples.
        values.setdefault("calibration_samples", max(a.calibration_samples for a in values["attempts"]))
    else:
        values.pop("attempts", None)
    recipe = _build(Recipe, values, where)
    _check(recipe, where)
    return recipe


def _attempt(item: Any, given: Mapping[str, Any], where: str) -> Recipe:
    """A recipe by its name, or written out; what it does not state it has as `given`."""
    if isinstance(item, dict):
        return _parse({"schema": SCHEMA, **given, **item}, f"{where}: attempts", attempt=True)
    if isinstance(item, str):
        found = _read(item)
        data = {**given, **found} if isinstance(found, dict) else found
        return _parse(data, f"{where}: attempts: {item}", attempt=True)
    raise RecipeError(f"{where}: an attempt is the name of a recipe or a mapping, not {type(item).__name__}")


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
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type] # T is one of our dataclasses
    for key, value in values.items():
        if key not in names:
            raise RecipeError(f"{where}: unknown key {key!r}", remedy=f"Allowed: {', '.join(names)}.")
        _check_type(value, hints[key], f"{where}: {key}")
    for field in dataclasses.fields(cls):  # type: ignore[arg-type] # T is one of our dataclasses
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise RecipeError(f"{where}: {field.name} is missing")
    return cls(**values)


def _check_type(value: Any, hint: Any, where: str) -> None:
    choices = get_args(hint) if getattr(hint, "__origin__", None) is Literal else ()
    if choices and value not in choices:
        raise RecipeError(f"{where} is {value!r}", remedy=f"Allowed: {', '.join(map(repr, choices))}.")
    if hint == Mapping[str, float]:
        if not isinstance(value, dict):
            raise RecipeError(f"{where} is a mapping of names to numbers, not {type(value).__name__}")
        for key, number in value.items():
            _check_type(key, str, f"{where}: {key!r}")
            _check_type(number, float, f"{where}: {key}")
    wanted = {float: (int, float), int: (int,), str: (str,)}.get(hint)
    if wanted and (not isinstance(value, wanted) or isinstance(value, bool)):
        raise RecipeError(f"{where} is {value!r}, which is not of type {hint.__name__}")


def _check(recipe: Recipe, where: str) -> None:
    """Limits of single values, and the order of the stages."""
    check_variants(recipe.variants, where)
    if len(set(recipe.variants)) < len(recipe.variants):
        raise RecipeError(f"{where}: variants names one twice: {', '.join(recipe.variants)}")
    if not recipe.name:
        raise RecipeError(f"{where}: name is empty")
    if not recipe.variants and not recipe.attempts:
        raise RecipeError(f"{where}: variants is empty", remedy=f"Name at least one of: {', '.join(VARIANTS)}.")
    names = [attempt.name for attempt in recipe.attempts]
    if len(set(names)) < len(names):
        raise RecipeError(f"{where}: attempts names one twice: {', '.join(names)}")
    if recipe.attempts and recipe.stages:
        raise RecipeError(f"{where} has attempts and stages", remedy="Write the stages into an attempt.")
    _check_limits(recipe, where)
    _check_precision(recipe.precision, where)
    for number, stage in enumerate(recipe.stages):
        _check_limits(stage, where)
        if stage.last and number + 1 < len(recipe.stages):
            raise RecipeError(f"{where}: {stage.word} must be the last stage", remedy="Later training would undo it.")
        problem = stage.problem(recipe.stages[:number])
        if problem is not None:
            raise RecipeError(f"{where}: {problem[0]}", remedy=problem[1])


def _check_precision(precision: Any, where: str) -> None:
    """`auto`, or a mapping of layers to precisions."""
    if precision == "auto":
        return
    if not isinstance(precision, dict) or not all(isinstance(layer, str) for layer in precision):
        raise RecipeError(
            f"{where}: precision is {precision!r}", remedy="Allowed: auto, or a mapping such as {conv2d_3: int16x8}."
        )
    for layer, word in precision.items():
        if word not in LAYER_PRECISIONS:
            raise RecipeError(
                f"{where}: precision of {layer} is {word!r}", remedy=f"Allowed: {', '.join(LAYER_PRECISIONS)}."
            )


def _check_limits(settings: Recipe | StageSpec, where: str) -> None:
    for field in dataclasses.fields(settings):
        if "limits" in field.metadata:
            value, (low, high) = getattr(settings, field.name), field.metadata["limits"]
            if not low <= value <= high:
                raise RecipeError(f"{where}: {field.name} is {value}", remedy=f"Allowed: {low:g} to {high:g}.")
