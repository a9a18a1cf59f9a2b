"""Writing: whole or not at all, the system's errors as ours."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edgeship import files
from edgeship.errors import OutputError, StorageFullError


def test_a_folder_is_replaced_unless_it_is_kept(tmp_path: Path) -> None:
    place = tmp_path / "place"
    for text, keep, expected in (("one", False, "one"), ("two", False, "two"), ("three", True, "two")):
        with files.whole_folder(place, keep=keep) as folder:
            (folder / text).write_text(text)
        assert [p.name for p in place.iterdir()] == [expected]
    assert list(tmp_path.iterdir()) == [place]


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
        with files.storage_errors(tmp_path):
            raise OSError(number, "no")

    with pytest.raises(error, match=message):
        fail()


def test_write_text_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    files.write_text(path, "one")
    files.write_text(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which only Linux has")
def test_a_full_disk_is_named() -> None:
    with pytest.raises(StorageFullError) as caught, files.storage_errors(Path("/dev/full")):
        Path("/dev/full").write_text("x")
    assert "--out" in caught.value.remedy
