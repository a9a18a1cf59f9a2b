"""YAML that may come from anywhere, as plain data."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from edgeship.errors import InputError


class _Loader(yaml.SafeLoader):
    """Refuses what YAML 1.2 calls an error and the parser lets pass: a key that is written twice (section 3.2.1.1)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                told = f"the key {key.value[:100]!r} is written twice"
                raise yaml.constructor.ConstructorError(None, None, told, key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def parse(text: str, where: str) -> Any:
    """Plain data of YAML text. Raises InputError for what is none, has a key twice, or is nested without end."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader that refuses more
    except RecursionError as error:
        raise InputError(f"{where} is nested without end") from error
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not YAML: {str(error)[:300]}") from error
