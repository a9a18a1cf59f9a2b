"""The cache: whole entries or none, which never change, and keys that cover what matters."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgeship import cache


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
    assert (place / "x").read_text() == "theirs"
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


def test_what_others_read_stays_where_it_is() -> None:
    """The second of two processes drops its own copy: the first one's may be open somewhere."""

    def theirs(place: Path) -> None:
        (place / "x").write_text("theirs")

    def slow(place: Path) -> None:
        (place / "x").write_text("mine")
        cache.entry("thing", "c" * 64, theirs)

    place = cache.entry("thing", "c" * 64, slow)
    assert (place / "x").read_text() == "theirs"
    assert [p.name for p in place.parent.iterdir()] == ["c" * 40]


def test_key_covers_interpreter_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    key = cache.key("convert")
    assert {"flatbuffers", "protobuf", "sympy", "ai-edge-quantizer"} <= set(cache.versions())
    for name in ("python_version", "machine"):
        with monkeypatch.context() as patch:
            patch.setattr(f"platform.{name}", lambda: "other")
            assert cache.key("convert") != key


def test_unknown_code_is_never_the_same() -> None:
    assert cache.key_with_code("x", "a", "b", n=1) == cache.key_with_code("x", "a", "b", n=1)
    assert cache.key_with_code("x", "a", "b", n=1) != cache.key_with_code("x", "a", "c", n=1)
    assert cache.key_with_code("x", "a", None, n=1) != cache.key_with_code("x", "a", None, n=1)


def test_what_cannot_be_found_again_goes_at_the_end(tmp_path: Path) -> None:
    script = (
        "from edgeship import cache\n"
        "for code in ('known', None):\n"
        "    place = cache.entry('thing', cache.key_with_code('thing', code), lambda folder: None)\n"
        "    assert place.is_dir()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "EDGESHIP_CACHE": str(tmp_path)})
    assert len(list((tmp_path / "thing").iterdir())) == 1


def _aged(name: str, days: float, size: int = 1, kind: str = "convert") -> Path:
    place = cache.root() / kind / name
    place.mkdir(parents=True)
    (place / "content").write_bytes(b"x" * size)
    when = time.time() - 24 * 3600 * days
    os.utime(place, (when, when))
    return place


def test_what_nothing_uses_goes() -> None:
    old, young, left = _aged("a" * 40, 31), _aged("b" * 40, 29), _aged("." + "c" * 40 + ".half", 40)
    beside = _aged("d" * 40, 99, kind="node")
    assert cache.tidy() > 0
    assert [place.is_dir() for place in (old, young, left, beside)] == [False, True, False, True]
    assert sorted(p.name for p in (cache.root() / "convert").iterdir()) == ["b" * 40]


def test_beyond_its_size_the_oldest_goes_but_nothing_of_today() -> None:
    places = [_aged(letter * 40, days, 1 << 20) for letter, days in (("a", 9), ("b", 5), ("c", 0.5), ("d", 0.1))]
    cache.tidy(most_bytes=(3 << 20) + (1 << 19))
    assert [place.is_dir() for place in places] == [False, True, True, True]
    cache.tidy(most_bytes=0)
    assert [place.is_dir() for place in places] == [False, False, True, True]


def test_what_is_used_stays() -> None:
    place = _aged("e" * 40, 31)
    assert cache.entry("convert", "e" * 64, pytest.fail) == place
    assert cache.tidy() == 0
    assert place.is_dir()
