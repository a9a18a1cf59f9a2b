"""docs/updates/threats.md is about these attacks, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from . import on_files, on_keys, on_metadata, on_network
from .attack import ATTACKS, Attack

_PAGE = Path(__file__).parent.parent.parent / "docs" / "updates" / "threats.md"
_MODULES = (on_metadata, on_keys, on_files, on_network)


def test_the_page_names_each_attack_and_what_holds() -> None:
    text = _PAGE.read_text(encoding="utf-8")
    attacks = text.partition("## The attacks")[2].partition("### The device itself")[0]
    rows = re.findall(r"^\| (.+) \| (.+) \|$", attacks, re.MULTILINE)
    said = [row for row in rows if row != ("Attack", "What holds")]
    assert said == [(found.name, "; ".join(found.guards)) for module in _MODULES for found in _of(module.__name__)]


def test_each_attack_has_a_name_of_its_own() -> None:
    assert len({found.name for found in ATTACKS}) == len(ATTACKS)


def _of(module: str) -> list[Attack]:
    return [found for found in ATTACKS if found.do.__module__ == module]
