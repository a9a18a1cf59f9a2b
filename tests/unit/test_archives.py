"""ZIP files from outside."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from edgeship import archives
from edgeship.archives import check_zip
from edgeship.errors import SourceError


def make(path: Path, names: list[str], content: bytes = b"x") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return path


def test_a_plain_archive_passes(tmp_path: Path) -> None:
    members = check_zip(make(tmp_path / "a.zip", ["config.json", "assets/words.txt"]), SourceError)
    assert [member.filename for member in members] == ["config.json", "assets/words.txt"]


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "C:/evil", "a\\evil"])
def test_members_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=r"a\.zip holds a member that points outside of it"):
        check_zip(make(tmp_path / "a.zip", ["good", name]), SourceError)


def test_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(SourceError, match="points outside"):
        check_zip(tmp_path / "a.zip", SourceError)


def test_duplicates_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a", "2")
    with pytest.raises(SourceError, match="holds 'a' twice"):
        check_zip(tmp_path / "a.zip", SourceError)


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = make(tmp_path / "bomb.zip", ["zeros"], bytes(70 << 20))
    with pytest.raises(SourceError, match="zeros unpacks to 73,400,320 bytes, more than is plausible"):
        check_zip(bomb, SourceError)
    assert check_zip(bomb, SourceError, ratio=None)
    monkeypatch.setattr(archives, "MAX_BYTES", 1 << 20)
    with pytest.raises(SourceError, match=r"bomb\.zip unpacks to 73,400,320 bytes"):
        check_zip(bomb, SourceError, ratio=None)


@pytest.mark.parametrize("content", [b"", b"text, not a ZIP", b"PK\x03\x04 cut off"])
def test_what_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.zip is damaged or not a ZIP archive"):
        check_zip(tmp_path / "a.zip", SourceError)
