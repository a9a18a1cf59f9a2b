"""Values that readers do not expect."""

from __future__ import annotations

from typing import Any

import numpy as np

INTEGERS = (0, 1, -1, 127, 128, 255, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32 - 1, 2**53 + 1, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1e-45, 1e308, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    "",
    "../../../../etc/passwd",
    "/etc/passwd",
    "a" * 100_000,
    "\x00",
    "\x1b[31m\u202e",
    "<script>alert(1)</script>",
    "__import__('os').abort",
    "NaN",
    "Lambda",
    "%s%n{0}",
)


def like(value: Any, rng: np.random.Generator) -> Any:
    """An extreme value of the same type as `value`."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + int(rng.integers(-3, 4)) if rng.random() < 0.3 else INTEGERS[rng.integers(len(INTEGERS))]
    if isinstance(value, float):
        return FLOATS[rng.integers(len(FLOATS))]
    if isinstance(value, str):
        return value[: rng.integers(len(value) + 1)] if rng.random() < 0.3 else TEXTS[rng.integers(len(TEXTS))]
    return any_value(rng)


def any_value(rng: np.random.Generator) -> Any:
    """A value of any type that JSON can hold."""
    deep: Any = 0
    for _ in range(500):
        deep = [deep]
    values = (None, True, {}, [], [[]], {"": {}}, deep, [2**31] * 4, {"class_name": "Lambda", "config": {}})
    choices = (*INTEGERS, *FLOATS, *TEXTS, *values)
    return choices[rng.integers(len(choices))]
