"""The exception tree: exit codes, and the way across a process boundary."""

from __future__ import annotations

import errno

import pytest

from edgeship import errors
from edgeship.errors import EdgeshipError, first_line, from_wire, to_wire

_CLASSES = sorted(
    (c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, EdgeshipError)), key=lambda c: c.__name__
)


@pytest.mark.parametrize("cls", _CLASSES)
def test_crosses_a_process_boundary_unchanged(cls: type[EdgeshipError]) -> None:
    back = from_wire(to_wire(cls("what", remedy="how")))
    assert type(back) is cls
    assert (back.message, back.remedy, str(back)) == ("what", "how", "what\nhow")


@pytest.mark.parametrize("cls", _CLASSES)
def test_the_drawing_shows_the_class_with_its_exit_code(cls: type[EdgeshipError]) -> None:
    (line,) = [text for text in (errors.__doc__ or "").splitlines() if f" {cls.__name__} " in f" {text.strip()} "]
    assert str(cls.exit_code) in line.split(cls.__name__)[1].split()[0]


def test_an_error_without_words_is_told_by_its_class() -> None:
    assert first_line(AssertionError()) == "AssertionError"
    assert first_line(ValueError("\n one \ntwo")) == "one"


def test_errors_from_outside_the_tree() -> None:
    assert to_wire(KeyError("k")) == {"type": "EdgeshipError", "message": "KeyError: 'k'", "remedy": ""}
    assert to_wire(MemoryError())["type"] == "ChildOutOfMemory"
    assert to_wire(OSError(errno.ENOSPC, "full", "f"))["type"] == "StorageFullError"
    assert to_wire(OSError(errno.ENOENT, "none", "f"))["type"] == "EdgeshipError"


@pytest.mark.parametrize("kind", ["", "KeyError", "Mapping", "to_wire", "__doc__", "nothing"])
def test_an_unknown_class_becomes_the_root(kind: str) -> None:
    assert type(from_wire({"type": kind, "message": "m"})) is EdgeshipError
    assert from_wire({}).message == "unknown error"


def test_without_a_remedy_the_text_is_the_message() -> None:
    assert str(EdgeshipError("only this")) == "only this"


def test_a_message_without_end_is_cut_in_the_middle() -> None:
    found = from_wire({"type": "SourceError", "message": "begin" + 100_000 * "a" + "end", "remedy": 5000 * "b"})
    assert found.message.startswith("begin")
    assert found.message.endswith("end")
    assert "[... 97,008 characters ...]" in found.message
    assert len(found.message) < 3100
    assert len(found.remedy) < 3100
