"""Which samples belong to which slice: values of columns, pairs of columns, conditions, quality of inputs."""

from __future__ import annotations

import itertools
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgeship.errors import DataError
from edgeship.types import Array

#: Values of a column, and slices altogether, beyond which nothing can be told about each.
MAX_VALUES, MAX_SLICES = 200, 1000
#: Columns of numbers with more values than this are divided at their quartiles.
MAX_NUMBERS = 12
_ITEM = re.compile(
    r"\s*(?P<column>[A-Za-z0-9_-]{1,64})\s*"
    r"(?:\sx\s+(?P<other>[A-Za-z0-9_-]{1,64})|(?P<sign><=|>=|==|!=|=|<|>)\s*(?P<value>[^\s,][^,]*?))?\s*"
)
_SIGNS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Wanted:
    """One item of `--slices`: a column, two columns, or a condition."""

    column: str
    other: str = ""
    sign: str = ""
    value: str = ""


@dataclass(frozen=True)
class Slice:
    """Some samples under a name; `mask` is (N,) of bool."""

    name: str
    mask: Array


def parse(text: str) -> tuple[Wanted, ...]:
    """`label, sex x race, age>60`: columns, pairs and conditions, divided by commas. Raises DataError."""
    found = []
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise DataError(
                f"{item.strip()!r} is no slice",
                remedy="Allowed: COLUMN, COLUMN x COLUMN, COLUMN>NUMBER (<, <=, >=, ==, !=), divided by commas.",
            )
        found.append(Wanted(match["column"], match["other"] or "", match["sign"] or "", match["value"] or ""))
    return tuple(dict.fromkeys(found))


def slices_of(columns: Mapping[str, Array], wanted: Sequence[Wanted]) -> tuple[Slice, ...]:
    """The slices that are wanted, none of them empty, each name once.

    Args:
        columns: name -> (N,) values: text, numbers, or bool (a predicate: only where it is true).
        wanted: what of them.

    Raises:
        DataError: for an unknown column, a condition that cannot be, two slices of one name, or more slices than can
            be told apart.
    """
    found: dict[str, Slice] = {}
    for want in wanted:
        for name in filter(None, (want.column, want.other)):
            if name not in columns:
                raise DataError(f"there is no column {name!r}", remedy=f"There are: {', '.join(columns) or 'none'}.")
        if want.sign:
            made = [_condition(want, columns[want.column])]
        else:
            made = _values(want.column, columns[want.column])
            if want.other:
                made = _pairs(made, _values(want.other, columns[want.other]))
        for part in made:
            _add(found, part)
    if len(found) > MAX_SLICES:
        raise DataError(f"these are {len(found):,} slices; {MAX_SLICES:,} are allowed", remedy="Name fewer columns.")
    return tuple(found.values())


def _add(found: dict[str, Slice], part: Slice) -> None:
    """One more slice, unless it is empty or there already; two under one name could not be told apart."""
    if not part.mask.any():
        return
    known = found.setdefault(part.name, part)
    if not np.array_equal(known.mask, part.mask):
        raise DataError(f"two different slices are called {part.name!r}", remedy="Rename a column, or its values.")


def _condition(want: Wanted, values: Array) -> Slice:
    limit: object = want.value
    if values.dtype.kind in "fiu":
        try:
            limit = float(want.value)
        except ValueError:
            raise DataError(f"{want.column} holds numbers, and {want.value!r} is none") from None
    elif want.sign in ("<", "<=", ">", ">="):
        raise DataError(f"{want.column} holds no numbers", remedy="Compare it by == or !=.")
    else:
        values = values.astype(str)
    name = f"{want.column}{want.sign.replace('==', '=')}{want.value}"
    return Slice(name, np.asarray(_SIGNS[want.sign](values, limit), bool))


def _values(column: str, values: Array) -> list[Slice]:
    if values.dtype.kind == "b":
        return [Slice(column, values)]
    kinds = np.unique(values[~np.isnan(values)] if values.dtype.kind == "f" else values)
    if values.dtype.kind in "fiu" and len(kinds) > MAX_NUMBERS:
        return _quartiles(column, values)
    if len(kinds) > MAX_VALUES:
        raise DataError(
            f"column {column} has {len(kinds):,} different values; {MAX_VALUES} are allowed",
            remedy="Group them, or give a condition such as COLUMN==VALUE.",
        )
    return [Slice(f"{column}={kind}", values == kind) for kind in kinds]


def _quartiles(column: str, values: Array) -> list[Slice]:
    """Four slices of about as many samples each; values that are no numbers are in none."""
    edges = np.unique(np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1]))
    place = np.clip(np.searchsorted(edges, values, side="left"), 1, max(1, len(edges) - 1))
    known = ~np.isnan(values.astype(np.float64))
    return [
        Slice(f"{column}={low}..{high}", known & (place == k))
        for k, (low, high) in enumerate(itertools.pairwise(_texts(edges)), start=1)
    ]


def _texts(numbers: Array) -> list[str]:
    """Each of these different numbers with four digits, or as many as tell all of them apart: 17 do for any."""
    for digits in range(4, 18):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(texts):
            break
    return texts


def _pairs(first: Sequence[Slice], second: Sequence[Slice]) -> list[Slice]:
    return [Slice(f"{a.name} x {b.name}", a.mask & b.mask) for a in first for b in second]


#: Words of `--slices` for what is measured in the inputs themselves.
QUALITIES = ("brightness", "contrast", "noise", "level")


def is_image(shape: Sequence[int | None]) -> bool:
    """Whether inputs of this shape (without the batch axis) are images: (H, W, 1, 3 or 4)."""
    return len(shape) == 3 and shape[2] in (1, 3, 4) and all(side is not None and side >= 4 for side in shape[:2])


def quality(word: str, inputs: Array) -> Array:
    """(N,): one of `QUALITIES` of each input (N, ...), in the units of the model's input. Raises DataError.

    `brightness`: mean. `contrast`: standard deviation over pixels of the mean of the channels. `noise`: standard
    deviation of the noise by Immerkaer, Computer Vision and Image Understanding 64 (1996). `level`: root mean square.
    """
    if word != "level" and not is_image(inputs.shape[1:]):
        raise DataError(f"{word} is of images, and inputs have the shape {inputs.shape[1:]}", remedy="Try: level.")
    measure = {"brightness": _brightness, "contrast": _contrast, "noise": _noise, "level": _level}[word]
    step = max(1, (1 << 22) // max(1, inputs[0].size))
    return np.concatenate([measure(np.asarray(inputs[i : i + step], np.float64)) for i in range(0, len(inputs), step)])


def _brightness(x: Array) -> Array:
    return np.asarray(x.mean(axis=(1, 2, 3)))


def _contrast(x: Array) -> Array:
    return np.asarray(x.mean(axis=3).std(axis=(1, 2)))


def _noise(x: Array) -> Array:
    grey = x.mean(axis=3)
    rows = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    both = rows[:, :, :-2] - 2 * rows[:, :, 1:-1] + rows[:, :, 2:]
    return np.asarray(np.sqrt(np.pi / 2) / 6 * np.abs(both).mean(axis=(1, 2)))


def _level(x: Array) -> Array:
    return np.asarray(np.sqrt((x.reshape(len(x), -1) ** 2).mean(axis=1)))
