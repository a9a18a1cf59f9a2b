"""The public names: complete, importable, and cheap to have."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgeship
from edgeship.errors import MissingPackageError


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


def test_a_call_is_written_down_as_code(tmp_path: Path) -> None:
    """As the report of a build shows it."""
    from edgeship import api, recipe
    from edgeship.types import Plan

    four = (np.zeros(1),) * 4
    shown = api._call("build", object(), four, {"recipe": "int8", "to": (), "out": None, "max_drop": 0.5})
    assert shown == "edgeship.build(model, data=(x_train, y_train, x_test, y_test), recipe='int8', max_drop=0.5)"
    options = {"recipe": recipe.load("int8"), "to": ["tflite"], "plan": Plan(threads=(2,))}
    shown = api._call("build", tmp_path / "a'b.keras", {"x": four[0]}, options)
    call = ast.parse(shown, mode="eval").body
    assert isinstance(call, ast.Call)
    assert ast.literal_eval(call.args[0]) == str(tmp_path / "a'b.keras")
    assert [k.arg for k in call.keywords] == ["data", "recipe", "to", "plan"]


def test_a_build_asks_for_the_packages_of_the_report_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingPackageError, match="jinja2") as caught:
        edgeship.build(tmp_path / "absent.keras", data="digits", out=tmp_path / "out")
    assert "edgeship[report]" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []
