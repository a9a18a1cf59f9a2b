"""The names of TFLite's built-in operators.

Schema: tensorflow/compiler/mlir/lite/schema/schema.fbs, as `ai_edge_litert.schema_py_generated`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any


@functools.cache
def builtin_names() -> Mapping[int, str]:
    """Number of a built-in operator -> its name, such as CONV_2D."""
    from ai_edge_litert import schema_py_generated as schema

    return {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def builtin_number(code: Any) -> int:
    """The built-in operator of an OperatorCode, or of the object (OperatorCodeT) of one.

    Files for old runtimes have it in a field of one byte, new ones in another, or in both.
    """
    if hasattr(code, "builtinCode"):
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


def builtin_name(code: Any) -> str:
    """As `builtin_number`, by name. Raises KeyError for a number that no operator has."""
    return builtin_names()[builtin_number(code)]
