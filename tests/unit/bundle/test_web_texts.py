"""Whatever a model calls its inputs and classes, it stays text in the files of its package."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from edgeship.bundle.web import texts
from edgeship.errors import InputError

HOSTILE = (
    '"; alert(1); "',
    "'; process.exit(1); '",
    "`${alert(1)}`",
    "*/ alert(1) /*",
    "// x\nalert(1)",
    "</script><script>alert(1)</script>",
    "\\",
    '\\"',
    "a\u2028alert(1)\u2029",
    "\x00\x1b[2J\r\n",
    "[x](javascript:alert(1))",
    "| x | y |",
    "![i](http://example.org/i.png)",
    "```\n# x",
    "%NAME%",
    "__proto__",
    "constructor",
    "\ud800",
    "\u202egnp.exe",
    "<!--",
    "猫",
    "",
)
_LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"')


def described(names: list[str], labels: list[str]) -> dict[str, Any]:
    image = {"height": 8, "width": 9, "channels": "RGB", "scale": 1 / 255, "mean": [0.5], "std": []}
    spec = {"shape": [None, 8, 9, 3], "dtype": "float32"}
    return {
        "name": "model",
        "version": "1.0.0",
        "inputs": [{**spec, "name": name, "image": image if k == 0 else None} for k, name in enumerate(names)],
        "outputs": [{"name": name, "shape": [None, len(labels)], "dtype": "float32"} for name in names],
        "labels": labels,
        "scoring": "values",
        "runtimes": [{"name": "tfjs-wasm"}],
    }


def hostile_sets() -> list[tuple[list[str], list[str]]]:
    rng = random.Random(0)
    pieces = ["".join(rng.sample(HOSTILE, 3)) for _ in range(40)]
    drawn = [[rng.choice((*HOSTILE, *pieces)) + str(k) for k in range(5)] for _ in range(60)]
    return [(found[:2], found[2:]) for found in drawn]


@pytest.mark.parametrize("names", [1, 2])
def test_names_stay_in_string_literals(names: int) -> None:
    for inputs, labels in hostile_sets():
        given = described(inputs[:names], labels)
        found, plain = texts.written(given, []), texts.written(described(["a", "b"][:names], ["x", "y", "z"]), [])
        assert json.loads(found["package.json"])["name"] == "model"
        for kind in ("model.d.ts", "README.md"):
            assert len(found[kind].splitlines()) == len(plain[kind].splitlines())
        assert found["model.d.ts"].isascii()
        assert _LITERAL.sub("S", found["model.d.ts"]) == _LITERAL.sub("S", plain["model.d.ts"])
        literals = [json.loads(text) for text in _LITERAL.findall(found["model.d.ts"])]
        assert literals[:3] == labels
        usage = "\n".join(texts.usage(given))
        assert _LITERAL.sub("S", usage) == _LITERAL.sub(
            "S", "\n".join(texts.usage(described(["a", "b"][:names], labels)))
        )
        assert usage in found["README.md"]


def test_a_readme_has_no_markup_of_the_model() -> None:
    for inputs, labels in hostile_sets():
        rows = [
            line for line in texts.written(described(inputs, labels), [])["README.md"].splitlines() if line[:2] == "| "
        ]
        assert len(rows) == 6
        for row in rows:
            assert not re.search(r"<|(?<!\\)`|(?<!\\)\[[^\]]*(?<!\\)\]\(|://", row.replace("\\\\", "")), row
            assert len(re.findall(r"(?<!\\)\|", row.replace("\\\\", ""))) == 4, row


def test_many_labels_are_strings() -> None:
    text = texts.written(described(["x"], [f"class {k}" for k in range(3000)]), [])["model.d.ts"]
    assert "export type Label = string;" in text
    assert "3,000" in texts.written(described(["x"], [f"class {k}" for k in range(3000)]), [])["README.md"]


def test_labels_that_occur_twice_are_one_type() -> None:
    assert 'export type Label = "a" | "b";' in texts.written(described(["x"], ["a", "b", "a"]), [])["model.d.ts"]


@pytest.mark.parametrize("name", ["digits", "@acme/my-model", "a.b_c-1"])
def test_names_that_npm_takes(name: str) -> None:
    assert texts.checked_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "A", ".x", "_x", "a b", "../x", "@x", "@/x", "@a/../b", "x" * 215, "node_modules", 'a"b', "a\n"]
)
def test_names_that_npm_refuses(name: str) -> None:
    with pytest.raises(InputError):
        texts.checked_name(name)


@pytest.mark.parametrize("version", ["1.2", "01.2.3", "1.2.3\n", "1.2.3+x", 'v1.2.3"', "latest", ""])
def test_versions_that_npm_refuses(version: str) -> None:
    with pytest.raises(InputError):
        texts.checked_version(version)


@pytest.mark.parametrize("name", ["digits", "My Model!", "…", "../..", "node_modules", "UPPER", ".x", "-"])
def test_a_build_of_any_name_gives_a_package(name: str) -> None:
    assert texts.checked_name(texts.package_name(name))


def test_folders_are_named_so_that_npm_and_shells_take_them_for_folders() -> None:
    assert texts.shell_path(Path("bundles/x")) == "./bundles/x"
    assert texts.shell_path(Path("/a b/$(x)")) == "'/a b/$(x)'"
    assert texts.shell_path(Path("-rf")) == "./-rf"
