"""`module:name` references to the user's code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgeship.errors import DataError, InputError
from edgeship.references import is_reference, resolve


@pytest.mark.parametrize("text", ["a:b", "a.b_c:D.e", "_m:f"])
def test_references(text: str) -> None:
    assert is_reference(text)


@pytest.mark.parametrize(
    "text", ["digits", "a:", ":b", "a b:c", "C:/x.npz", "a:b()", "os:system('x')", "a::b", "../m:f"]
)
def test_other_texts(text: str) -> None:
    assert not is_reference(text)


def test_the_working_directory_is_searched_and_the_path_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_of_test_references.py").write_text("class A:\n    b = 3\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert resolve("module_of_test_references:A.b") == 3
    assert sys.path == before


def test_errors_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_module_of_test.py").write_text("raise RuntimeError('no licence')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="'a b' is not of the form module:name"):
        resolve("a b", DataError)
    with pytest.raises(InputError, match=r"cannot import 'no_such_module'[\s\S]*in the folder of that module"):
        resolve("no_such_module:f")
    with pytest.raises(InputError, match="RuntimeError: no licence"):
        resolve("failing_module_of_test:f")
    with pytest.raises(InputError, match="there is no 'nothing' in json"):
        resolve("json:nothing")
