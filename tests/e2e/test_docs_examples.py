"""Every example of the README and of docs/ is run; the rules that authors follow are in docs/index.md."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import EDGESHIP, Demo, Script

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: Languages whose blocks are run; a block of any language that begins with `# file: NAME` is saved instead.
RUN = ("console", "python")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# file: ([\w./-]+)\n")
_EXIT = re.compile(r"  # exit (\d+)$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        found = _FILE.match(self.text)
        return found[1] if found else None


@dataclass(frozen=True)
class Command:
    """One command of a console block and the lines shown after it."""

    line: str
    shown: tuple[str, ...]

    @property
    def code(self) -> int:
        found = _EXIT.search(self.line)
        return int(found[1]) if found else 0


def blocks(page: Path) -> list[Block]:
    return [Block(m[1], m[2]) for m in _FENCE.finditer(page.read_text(encoding="utf-8"))]


def runnable(page: Path) -> bool:
    return any(block.language in RUN and not (block.language == "python" and _is_api(page)) for block in blocks(page))


def _is_api(page: Path) -> bool:
    return page.name == "api.md"  # its python blocks are signatures, checked by tests/unit/test_docs.py


def commands(text: str) -> Iterator[Command]:
    """The commands of a console block; a line that ends in a backslash goes on."""
    joined = text.replace("\\\n", " ")
    for part in re.split(r"^\$ ", joined, flags=re.MULTILINE)[1:]:
        line, *shown = part.rstrip("\n").split("\n")
        yield Command(line, tuple(s for s in shown if s.strip() and s.strip() != "..."))


def skeleton(line: str) -> str:
    """What must be equal: numbers, rulers, runs of spaces, and whether a latency was steady differ by machine.

    So do the last digits of a trained model, and with them which way of compressing a small file is the shorter.
    """
    line = re.sub(r"\.(br|zst)\b", "", line.replace(" unstable", ""))
    return re.sub(r"\s+", " ", re.sub(r"[+-]?\d[\d.,]*", "N", re.sub(r"[─-]{3,}", "-", line))).strip()


def test_a_wrong_example_is_noticed() -> None:
    """The rule itself: a number may differ, a word may not."""
    assert skeleton("tflite/int8   45,352  +0.17 [-0.50, +0.00]") == skeleton(" tflite/int8 9  -1 [0, 2]")
    assert skeleton("tflite/int8 passed") != skeleton("tflite/int8 failed")
    (first, second) = commands("$ edgeship a \\\n  b\nx\n...\n$ edgeship c  # exit 2\n")
    assert (first.line, first.shown, first.code) == ("edgeship a    b", ("x",), 0)
    assert second.code == 2


@pytest.mark.parametrize("page", [p for p in PAGES if runnable(p)], ids=lambda p: p.stem)
def test_examples_of(page: Path, edgeship: Script, demo: Demo, tmp_path: Path) -> None:
    if "builds/demo" in page.read_text(encoding="utf-8"):
        shutil.copytree(demo.build, tmp_path / "builds" / "demo")
    for number, block in enumerate(blocks(page)):
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "console":
            for command in commands(block.text):
                run(command, edgeship, tmp_path)
        elif block.language == "python" and not _is_api(page):
            script = tmp_path / f"block_{number}.py"
            script.write_text(block.text)
            run(Command(f"python {script.name}", ()), edgeship, tmp_path)


def run(command: Command, edgeship: Script, folder: Path) -> None:
    """Run one command in the page's folder and compare its exit status and what it shows."""
    path = f"{EDGESHIP.parent}:{edgeship.env.get('PATH', '')}"
    env = {**edgeship.env, "PATH": path, "COLUMNS": "120", "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        ["bash", "-c", command.line], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    said = f"$ {command.line}\n{done.stdout}{done.stderr}"
    assert done.returncode == command.code, said
    found = {skeleton(line) for line in said.splitlines()}
    for line in command.shown:
        if "tfjs" in line and not _has_node():
            continue  # the page was written with Node, which is optional
        assert skeleton(line) in found, f"the page shows {line!r}\n{said}"


def _has_node() -> bool:
    from edgeship_benchmarks import node

    return not node.missing()


def test_python_is_the_one_of_the_suite() -> None:
    assert Path(sys.executable).parent == EDGESHIP.parent
