"""Settings of TFLite operators, by the names that the schema gives them."""

from __future__ import annotations

import math
import re
from typing import Any

from edgeship.inspection.bounds import text

#: Fields that hold the number of a name -> the enumeration with the names.
_ENUMS = {"fusedActivationFunction": "ActivationFunctionType", "padding": "Padding"}


def names_of(schema: Any, enum: str) -> dict[int, str]:
    """Number -> name of an enumeration of the schema."""
    return {value: name for name, value in vars(getattr(schema, enum)).items() if isinstance(value, int)}


def option(schema: Any, operator: Any, name: str) -> Any:
    """One setting of an operator; None where it has none of this name."""
    made = schema.BuiltinOptionsCreator(operator.BuiltinOptionsType(), operator.BuiltinOptions())
    return getattr(made, name, None)


def options_of(schema: Any, operator: Any) -> dict[str, Any]:
    """The settings that differ from the schema's defaults, numbers of names as names; strides and padding always."""
    table = operator.BuiltinOptions()
    if table is None or not operator.BuiltinOptionsType():
        return {}
    made = schema.BuiltinOptionsCreator(operator.BuiltinOptionsType(), table)
    if made is None:
        return {}
    defaults = vars(type(made)())
    found = {}
    for name, value in vars(made).items():
        plain = _plain(schema, name, value)
        always = name == "padding" or name.startswith(("stride", "filter"))
        if plain is not None and (always or _differs(value, defaults.get(name))):
            found[_snake(name)] = plain
    return found


def _differs(value: Any, default: Any) -> bool:
    return bool(hasattr(value, "__len__") or value != default)


def _plain(schema: Any, name: str, value: Any) -> Any:
    """A value as JSON has it; None for tables inside options."""
    enum = _ENUMS.get(name) or ("TensorType" if name.lower().endswith(("datatype", "biastype")) else "")
    if enum and isinstance(value, int):
        return names_of(schema, enum).get(value, str(value))
    if isinstance(value, bytes):
        return text(value)[:200]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if hasattr(value, "tolist"):
        return [item for item in value[:64].tolist() if isinstance(item, int | float)]
    return value if isinstance(value, bool | int | float | str) else None


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
