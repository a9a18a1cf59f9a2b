"""`module:name` references to the user's code."""

from __future__ import annotations

import importlib
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


@pytest.fixture(autouse=True)
def same_finders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))


def test_the_working_directory_is_searched_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_of_test_references.py").write_text(
        "class A:\n    b = 3\ndef late():\n    import late_of_test\n"
    )
    (tmp_path / "late_of_test.py").write_text("")
    (tmp_path / "colorsys.py").write_text("def evil(): pass\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert resolve("module_of_test_references:A.b") == 3
    assert sys.path == before
    resolve("module_of_test_references:late")()
    assert not hasattr(importlib.import_module("colorsys"), "evil"), "nobody named that one"


def test_only_a_module_of_the_working_directory_opens_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "optional_of_test.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert resolve("json:dumps")
    with pytest.raises(ImportError):
        importlib.import_module("optional_of_test")


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


def test_a_module_of_the_working_directory_comes_before_an_installed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed, here = tmp_path / "site", tmp_path / "here"
    for place, value in ((installed, "installed"), (here, "here")):
        (place / "twice_there").mkdir(parents=True)
        (place / "twice_there" / "data.py").write_text(f"import helper_of_twice\ndef where(): return {value!r}\n")
        (place / "helper_of_twice.py").write_text(f"PLACE = {value!r}\n")
    monkeypatch.syspath_prepend(installed)
    monkeypatch.chdir(here)
    try:
        assert resolve("twice_there.data:where")() == "here"
        import helper_of_twice

        assert helper_of_twice.PLACE == "installed", "what was not named comes from the working directory last"
    finally:
        for name in ("twice_there", "twice_there.data", "helper_of_twice"):
            sys.modules.pop(name, None)
