"""No password in what is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeship import api
from edgeship.masking import masked
from edgeship.pipeline import Request
from edgeship.recipe import Recipe


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("postgresql://me:s3cret@db/searches", "postgresql://me:***@db/searches"),
        ("--storage=postgresql://me:s3:c/re@t@db:5432/x", "--storage=postgresql://me:***@db:5432/x"),
        ("postgresql://me:s3 c'ret@db", "postgresql://me:***@db"),
        ("postgresql://:s3cret@db", "postgresql://:***@db"),
        ("postgresql://me@db/x?password=s3cret&sslmode=require", "postgresql://me@db/x?password=***&sslmode=require"),
        ("host=db password=s3cret", "host=db password=***"),
        ("a='HTTPS://me:s3cret@h/x', b={'ssh://pi@b:22': 2}", "a='HTTPS://me:***@h/x', b={'ssh://pi@b:22': 2}"),
    ],
)
def test_passwords_are_masked(word: str, expected: str) -> None:
    assert masked(word) == expected
    assert masked(expected) == expected


@pytest.mark.parametrize(
    "word", ["ssh://pi@board:22+coral", "2@ssh://pi@board", "dask://tcp://127.0.0.1:8786", "a:b@c"]
)
def test_what_has_no_password_stays(word: str) -> None:
    assert masked(word) == word


def test_the_command_of_a_build_is_masked_where_all_records_take_it_from(tmp_path: Path) -> None:
    storage = "postgresql://me:s3 cret@db/x"
    call = api._call("search", "m.keras", "digits", {"storage": storage, "max_ms": {"ssh://pi@b": 2}})
    command = ("edgeship", "search", "--storage", storage, call)
    asked = Request(tmp_path / "m.keras", tmp_path, Recipe("int8"), command=command)
    assert "cret" not in str(asked)
    assert asked.command[3] == "postgresql://me:***@db/x"
    assert "ssh://pi@b" in asked.command[4] or "max_ms=max_ms" in asked.command[4]
