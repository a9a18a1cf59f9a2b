"""The space of a search: recipes in which settings may be ranges; a point of it is a plain recipe.

schema: edgeship.search/1
recipes:
  - int8                                        # a shipped recipe, or the path of one: tried once
  - name: pruned
    stages:
      - prune: {sparsity: {from: 0.3, to: 0.9}, epochs: {from: 2, to: 6}}
      - quantize-aware: {epochs: 2, learning_rate: {from: 0.0001, to: 0.001, log: true}}
    variants: {any: [[int8], [int16x8]]}
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from edgeship import cache
from edgeship import recipe as recipes
from edgeship.errors import InputError, RecipeError
from edgeship.recipe import Recipe
from edgeship.references import is_reference

SCHEMA = "edgeship.search/1"
#: Of a space that comes from anywhere.
_MOST_RECIPES, _MOST_RANGES, _MOST_CHOICES = 200, 200, 1000
#: What a range is written with.
_RANGE_KEYS = {"from", "to", "log", "step"}
#: Digits of a number on a range: what a recipe says should be readable, and finer steps change nothing.
_DIGITS = 3

Value = str | int | float | bool | None


class Suggests(Protocol):
    """What chooses the values; an Optuna trial is one."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number."""

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool = False) -> float:
        """A number."""

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str:
        """One of several."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both allowed; whole ones where both are whole. `log`: by equal factors."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are on it."""
        return isinstance(self.low, int) and isinstance(self.high, int) and not isinstance(self.step, float)

    def suggest(self, chooser: Suggests, name: str) -> float:
        """A value that `chooser` chooses."""
        if self.whole:
            return chooser.suggest_int(name, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return self.rounded(chooser.suggest_float(name, self.low, self.high, step=self.step, log=self.log))

    def rounded(self, value: float) -> float:
        """With so many digits as a person would write, and within the ends."""
        digits = _DIGITS if value == 0 else _DIGITS - 1 - math.floor(math.log10(abs(value)))
        return min(max(round(value, digits), self.low), self.high)

    def holds(self, value: Any) -> bool:
        """Whether a value lies on it."""
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and self.low <= value <= self.high and (not self.whole or value == int(value))

    def ends(self) -> tuple[Any, ...]:
        """Values that stand for all, when settings are checked."""
        return (self.low, self.high)


@dataclass(frozen=True)
class Choice:
    """One of some values, which may be lists."""

    values: tuple[Any, ...]

    def suggest(self, chooser: Suggests, name: str) -> Any:
        """A value that `chooser` chooses; it is given the numbers of the values, because these need not be scalars."""
        words = [str(number) for number in range(len(self.values))]
        return self.values[int(chooser.suggest_categorical(name, words))]

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return value in self.values

    def ends(self) -> tuple[Any, ...]:
        """All of them."""
        return self.values


Open = Range | Choice
#: Where in the plain data of a recipe something is: keys of mappings and indices of lists.
Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Entry:
    """A recipe of a space.

    Attributes:
        data: plain data of the recipe, with the first end of each range in its place.
        open: where settings are left open, and what they may be; empty for a recipe that is tried once.
    """

    name: str
    data: Mapping[str, Any]
    open: Mapping[Place, Open]

    def parameter(self, place: Place) -> str:
        """Name of an open setting in the study: `pruned/stages/0/prune/sparsity`."""
        return "/".join((self.name, *map(str, place)))

    def parameters(self, values: Mapping[Place, Any]) -> dict[str, Any]:
        """Values of open settings as the study has them."""
        choices = {p: str(o.values.index(values[p])) for p, o in self.open.items() if isinstance(o, Choice)}
        return {self.parameter(place): choices.get(place, value) for place, value in values.items()}

    def at(self, values: Mapping[Place, Any]) -> Recipe:
        """The recipe with these values. Raises RecipeError where they do not go together."""
        data = _copy(self.data)
        for place, value in values.items():
            _put(data, place, value)
        for where, layers in [("precision", data.get("precision"))]:
            if isinstance(layers, dict):  # a layer that is int8 is not named
                data[where] = {layer: word for layer, word in layers.items() if word != "int8"}
        return recipes.parse(data, self.name)

    def suggest(self, chooser: Suggests) -> Recipe:
        """The recipe with values of `chooser`. Raises RecipeError where they do not go together."""
        return self.at({place: what.suggest(chooser, self.parameter(place)) for place, what in self.open.items()})

    def holds(self, recipe: Recipe) -> dict[Place, Any] | None:
        """The values with which this is `recipe`; None where it never is. Names and limits do not count."""
        mine, other = self.at({}).to_data(), recipe.to_data()
        values: dict[Place, Any] = {}
        for place, what in self.open.items():
            try:
                value = _get(other, place)
            except (KeyError, IndexError, TypeError):
                if place[0] != "precision":
                    return None
                value = "int8"  # a layer that is int8 is not named
            if not what.holds(value):
                return None
            values[place] = value
            if place[0] != "precision":
                _put(mine, place, value)
        mine |= {"precision": self.at(values).precision}
        return values if _training(mine) == _training(other) else None


@dataclass(frozen=True)
class Space:
    """All recipes of a search."""

    entries: tuple[Entry, ...]

    def entry(self, name: str) -> Entry:
        """The entry of this name."""
        return next(entry for entry in self.entries if entry.name == name)

    @property
    def fixed(self) -> tuple[Entry, ...]:
        """Those without open settings."""
        return tuple(entry for entry in self.entries if not entry.open)

    def suggest(self, chooser: Suggests) -> Recipe:
        """An open recipe with values of `chooser`. Raises RecipeError where these do not go together."""
        name = chooser.suggest_categorical("recipe", [entry.name for entry in self.open])
        return self.entry(str(name)).suggest(chooser)

    @property
    def open(self) -> tuple[Entry, ...]:
        """Those with open settings."""
        return tuple(entry for entry in self.entries if entry.open)

    def references(self) -> tuple[str, ...]:
        """Names of the user's own code (`module:function`) that a recipe of it may run."""
        texts = [text for e in self.entries for text in (*_texts(e.data), *_texts(list(e.open.values())))]
        return tuple(dict.fromkeys(filter(is_reference, texts)))

    @property
    def sha256(self) -> str:
        """Of what is in it."""
        return cache.digest(
            entries=[(e.name, dict(e.data), [(p, repr(w)) for p, w in e.open.items()]) for e in self.entries]
        )


def _texts(value: Any) -> Iterator[str]:
    """All texts in plain data, and in what settings may be."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Choice):
        yield from _texts(value.values)
    elif isinstance(value, Mapping):
        yield from _texts(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def load(path: Path) -> Space:
    """A space from a YAML file. Raises RecipeError with what is allowed."""
    from edgeship.yaml_text import parse as parse_yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} cannot be read: {error}", remedy="Give the path of a .yaml file.") from error
    try:
        data = parse_yaml(text, str(path))
    except InputError as error:
        raise RecipeError(error.message) from error
    return parse(data, str(path))


def parse(data: Any, where: str) -> Space:
    """Validate plain data as a space; `where` names it in errors. Raises RecipeError."""
    if not isinstance(data, dict):
        raise RecipeError(f"{where}: a search space is a mapping of keys, not {type(data).__name__}")
    if data.get("schema") != SCHEMA:
        raise RecipeError(f"{where}: schema is {data.get('schema')!r}", remedy=f"This edgeship reads {SCHEMA!r}.")
    unknown = [key for key in data if key not in ("schema", "name", "recipes")]
    if unknown:
        raise RecipeError(f"{where}: unknown key {unknown[0]!r}", remedy="Allowed: schema, name, recipes.")
    items = data.get("recipes")
    if not isinstance(items, list) or not 0 < len(items) <= _MOST_RECIPES:
        raise RecipeError(f"{where}: recipes is a list of 1 to {_MOST_RECIPES} recipes")
    entries = tuple(entry(item, f"{where}: recipes") for item in items)
    names = [found.name for found in entries]
    if len(set(names)) < len(names):
        raise RecipeError(f"{where}: recipes names one twice: {', '.join(names)}")
    return Space(entries)


def entry(item: Any, where: str) -> Entry:
    """One recipe: by its name, or written out with ranges. Raises RecipeError."""
    if isinstance(item, str):
        return fixed(recipes.load(item))
    if not isinstance(item, dict):
        raise RecipeError(f"{where}: a recipe is a name or a mapping, not {type(item).__name__}")
    name = item.get("name")
    if not isinstance(name, str) or not name or len(name) > 100:
        raise RecipeError(f"{where}: a recipe needs a name of 1 to 100 characters, not {name!r}"[:300])
    where = f"{where}: {name}"
    openings: dict[Place, Open] = {}
    data = {"schema": recipes.SCHEMA, **_closed(item, (), openings, where)}
    if len(openings) > _MOST_RANGES:
        raise RecipeError(f"{where}: {len(openings)} settings are open", remedy=f"Allowed: {_MOST_RANGES}.")
    made = Entry(name, data, openings)
    for recipe in _corners(made):
        _check(recipe, where)
    return made


def fixed(recipe: Recipe) -> Entry:
    """An entry without open settings. Raises RecipeError."""
    _check(recipe, recipe.name)
    return Entry(recipe.name, recipe.to_data(), {})


def _corners(made: Entry) -> Iterator[Recipe]:
    """All settings at their first end, at their last, and each end alone. Raises RecipeError for one that is none."""
    yield made.at({})
    for place, what in made.open.items():
        for value in what.ends():
            yield made.at({place: value})


def _check(recipe: Recipe, where: str) -> None:
    if recipe.attempts:
        names = ", ".join(attempt.name for attempt in recipe.attempts)
        raise RecipeError(f"{where} tries others in order", remedy=f"List those instead: {names}.")
    if len(recipe.variants) != 1:
        raise RecipeError(
            f"{where}: a trial makes one file, and variants has {len(recipe.variants)}",
            remedy="Name one variant, or leave it open: variants: {any: [[int8], [int16x8]]}.",
        )


def _closed(node: Any, place: Place, openings: dict[Place, Open], where: str) -> Any:
    """Plain data with each range noted, and its first end in its place."""
    if isinstance(node, dict):
        found = _opening(node, f"{where}: {'/'.join(map(str, place))}")
        if found is not None:
            openings[place] = found
            return found.ends()[0]
        return {key: _closed(value, (*place, key), openings, where) for key, value in node.items()}
    if isinstance(node, list):
        return [_closed(value, (*place, index), openings, where) for index, value in enumerate(node)]
    return node


def _opening(node: Mapping[Any, Any], where: str) -> Open | None:
    """What a mapping leaves open; None for one that is a setting itself. Raises RecipeError."""
    if set(node) == {"any"}:
        values = node["any"]
        if not isinstance(values, list) or not 1 < len(values) <= _MOST_CHOICES:
            raise RecipeError(f"{where}: any is a list of 2 to {_MOST_CHOICES} values")
        return Choice(tuple(values))
    if not {"from", "to"} <= set(node):
        return None
    if not set(node) <= _RANGE_KEYS:
        raise RecipeError(
            f"{where}: a range has {', '.join(map(repr, node))}"[:300], remedy="Allowed: from, to, log, step."
        )
    low, high, log, step = node["from"], node["to"], node.get("log", False), node.get("step")
    for value in (low, high, *([] if step is None else [step])):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise RecipeError(f"{where}: {value!r} is no finite number"[:300])
    if not isinstance(log, bool):
        raise RecipeError(f"{where}: log is {log!r}"[:300], remedy="Allowed: true, false.")
    if not low < high or (log and low <= 0) or (step is not None and (log or not 0 < step <= high - low)):
        raise RecipeError(
            f"{where}: no range goes from {low} to {high}" + (f" by {step}" if step is not None else ""),
            remedy="from is less than to, above 0 with log; step is above 0, at most their difference, not with log.",
        )
    return Range(low, high, log, step)


def _copy(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _copy(value) for key, value in node.items()}
    return [_copy(value) for value in node] if isinstance(node, (list, tuple)) else node


def _get(data: Any, place: Place) -> Any:
    for key in place:
        data = data[key]
    return data


def _put(data: Any, place: Place, value: Any) -> None:
    for key in place[:-1]:
        data = data[key]
    data[place[-1]] = value


def _training(data: Mapping[str, Any]) -> dict[str, Any]:
    """What determines the file that a recipe makes."""
    return {key: value for key, value in data.items() if key not in ("name", "purpose", "max_drop", "inconclusive")}


def same(recipe: Recipe) -> str:
    """Hash of what determines the file that a recipe makes: equal for equal files."""
    return cache.digest(recipe=_training(recipe.to_data()))
