"""The cache: whole entries or none, keys that cover what matters, the system's errors as ours."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edgeship import cache
from edgeship.errors import OutputError, StorageFullError


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path / "cache"))


def test_an_entry_is_produced_once() -> None:
    made = []

    def produce(place: Path) -> None:
        made.append(place)
        (place / "x").write_text("1")

    first = cache.entry("thing", "k" * 64, produce)
    assert cache.entry("thing", "k" * 64, produce) == first
    assert len(made) == 1
    assert (first / "x").read_text() == "1"
    assert first.is_relative_to(cache.root())


def test_a_failed_entry_leaves_nothing() -> None:
    def fail(place: Path) -> None:
        (place / "half").write_text("1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.entry("thing", "a" * 64, fail)
    assert list((cache.root() / "thing").iterdir()) == []


def test_another_process_may_finish_first() -> None:
    def slow(place: Path) -> None:
        (place / "x").write_text("mine")
        other = cache.root() / "thing" / ("b" * 40)
        other.mkdir()
        (other / "x").write_text("theirs")

    place = cache.entry("thing", "b" * 64, slow)
    assert (place / "x").read_text() in ("mine", "theirs")
    assert len(list(place.parent.iterdir())) == 1


def test_key_covers_options_versions_and_code(monkeypatch: pytest.MonkeyPatch) -> None:
    key = cache.key("convert", variant="int8", seed=0)
    assert key == cache.key("convert", seed=0, variant="int8")
    assert key != cache.key("convert", variant="int8", seed=1)
    assert key != cache.key("run", variant="int8", seed=0)
    monkeypatch.setattr(cache, "versions", lambda: {"tensorflow": "0"})
    assert key != cache.key("convert", variant="int8", seed=0)
    monkeypatch.undo()
    monkeypatch.setattr(cache, "code_version", lambda: "other")
    assert key != cache.key("convert", variant="int8", seed=0)


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (errno.ENOSPC, StorageFullError, "the disk is full"),
        (errno.EACCES, OutputError, "cannot write"),
        (errno.EROFS, OutputError, "cannot write"),
    ],
)
def test_errors_of_the_system_become_ours(tmp_path: Path, number: int, error: type[Exception], message: str) -> None:
    def fail() -> None:
        with cache.storage_errors(tmp_path):
            raise OSError(number, "no")

    with pytest.raises(error, match=message):
        fail()


def test_write_text_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    cache.write_text(path, "one")
    cache.write_text(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_is_named() -> None:
    with pytest.raises(StorageFullError) as caught, cache.storage_errors(Path("/dev/full")):
        Path("/dev/full").write_text("x")
    assert "--out" in caught.value.remedy
