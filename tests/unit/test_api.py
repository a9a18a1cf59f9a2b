"""The public names: complete, importable, and cheap to have."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import edgeship


def test_all_names_can_be_imported_and_are_documented() -> None:
    for name in edgeship.__all__:
        assert getattr(edgeship, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = edgeship.nonsense


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(edgeship.__file__).read_text())
    block = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {
        (alias.name, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == set(edgeship._HOMES.items())


@pytest.mark.parametrize(
    ("code", "forbidden"),
    [
        ("import edgeship", {"numpy", "tensorflow", "keras", "click", "rich", "yaml"}),
        ("from edgeship.cli import main; main(['--help'])", {"numpy", "tensorflow", "keras", "tuf", "rich", "yaml"}),
        ("import edgeship.pipeline, edgeship.standalone", {"tensorflow", "keras", "tf_keras", "onnx", "onnxruntime"}),
        ("import edgeship.types, edgeship.errors", {"numpy", "cattrs", "tensorflow"}),
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str, forbidden: set[str]) -> None:
    program = (
        "import sys, atexit\n"
        f"atexit.register(lambda: print('LOADED', sorted(m for m in {forbidden!r} if m in sys.modules)))\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "LOADED []"
