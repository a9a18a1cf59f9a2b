"""What commands of a publisher say, and their exit status: what a timer and a monitor go by."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from publishing import Site
from tests.device_repository import Server

from edgeship.cli import cli
from edgeship.cli.failures import run
from edgeship.publish.rotation import rotate
from edgeship.publish.signing import LIFE


class Shell:
    """Runs commands on the repository of a site."""

    def __init__(self, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
        self._where = ("--repo", str(site.folder / "repo"), "--keys", str(site.folder / "keys"))
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        found = run(cli, [*words[:2], *self._where, *words[2:]])
        said = self._capsys.readouterr()
        assert found == code, said
        return said.out, said.err

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code)[0])


@pytest.fixture
def shell(site: Site, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(site, capsys)


def test_the_status_fails_where_a_refresh_is_overdue(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shell.json("rollout", "status")["overdue"] == []
    monkeypatch.setitem(LIFE, "timestamp", timedelta(days=3))  # of which a day is left
    out, _ = shell("rollout", "status", code=1)
    assert "overdue: edgeship publish --refresh" in out
    assert "EXPIRED" not in out
    assert shell.json("rollout", "status", code=1)["overdue"] == ["timestamp"]


def test_the_status_fails_where_metadata_have_expired(site: Site, shell: Shell) -> None:
    site.later = timedelta(days=-2)
    site.repository.refresh()
    out, _ = shell("rollout", "status", code=1)
    assert "EXPIRED: no device takes updates" in out
    site.later = timedelta()
    site.repository.refresh()
    shell("rollout", "status")


def test_a_repository_that_is_whole_is_verified(shell: Shell, server: Server) -> None:
    out, _ = shell("rollout", "verify")
    assert "5 files, " in out
    assert out.endswith("B: all as they were signed\n")
    over_http = shell.json("rollout", "verify", "--repo", server.url)
    assert (over_http["address"], over_http["files"], over_http["missing"]) == (server.url, 5, [])
    assert "points/v1: running" in shell("rollout", "status", "--repo", server.url)[0]


@pytest.mark.parametrize("over_http", [False, True])
def test_missing_and_damaged_files_are_named(over_http: bool, site: Site, shell: Shell, server: Server) -> None:
    where = ["--repo", server.url] if over_http else []
    rotate(site.repository, "snapshot")
    files = sorted(path for path in (site.folder / "repo" / "targets").rglob("*") if path.is_file())
    names = [path.relative_to(site.folder / "repo").as_posix() for path in files]
    files[0].unlink()
    files[1].write_bytes(bytes(files[1].stat().st_size))
    files[2].write_bytes(files[2].read_bytes() + b"x")
    files[3].write_bytes(files[3].read_bytes()[:-1])
    (site.folder / "repo" / "metadata" / "1.root.json").unlink()
    found = shell.json("rollout", "verify", *where, code=1)
    assert found["missing"] == ["metadata/1.root.json", names[0]]
    assert sorted(found["damaged"]) == names[1:4]
    out, _ = shell("rollout", "verify", *where, code=1)
    assert f"missing: {names[0]}" in out
    assert out.endswith("2 missing, 3 damaged\n")


def test_a_server_without_a_repository_is_said(shell: Shell, server: Server) -> None:
    shell("rollout", "verify", "--repo", f"{server.url}/elsewhere", code=2)
    shell("publish", "--refresh", "--repo", server.url, code=2)


def test_a_dry_run_says_what_would_be_published(site: Site, shell: Shell, server: Server) -> None:
    place, nothing = str(site.bundle(2)), site.files()
    hidden = [path.rename(path.with_suffix(".away")) for path in (site.folder / "keys").glob("*.pem")]
    seen = (site.folder / "keys" / "seen.json").read_bytes()
    tried = shell.json("publish", place, "--dry-run")
    over_http = shell.json("publish", place, "--dry-run", "--repo", server.url)
    out, _ = shell("publish", place, "--dry-run")
    assert "would be published: points 1.1.0 (tflite-float32), for no device yet; nothing was written" in out
    assert (site.files(), (site.folder / "keys" / "seen.json").read_bytes()) == (nothing, seen)
    for path in hidden:
        path.rename(path.with_suffix(".pem"))
    made = shell.json("publish", place)
    for found in (tried, over_http):
        assert found["change"]["attempts"] == 0
        assert {**found, "change": 0} == {**made, "change": 0}
    out, _ = shell("publish", place, "--dry-run")
    assert "points 1.1.0 (tflite-float32) is published already; nothing was changed" in out


def test_a_dry_run_of_the_first_release(site: Site, shell: Shell, tmp_path: Path) -> None:
    out, _ = shell("publish", str(site.bundle(1)), "--dry-run", "--repo", str(tmp_path / "new"))
    assert "would be published: points 1.0.0 (tflite-float32), for all devices; nothing was written" in out
    assert not (tmp_path / "new").exists()
    assert "--dry-run is for BUNDLES" in shell("publish", "--refresh", "--dry-run", code=2)[1]


def test_a_halted_release_that_a_channel_does_not_get_back_is_said(site: Site, shell: Shell) -> None:
    site.publish(2)
    site.publish(3)
    shell("rollout", "start", "points/v1", "--version", "1.1.0", "--percent", "10", "--channel", "canary=1.1.0")
    shell("rollout", "halt", "points/v1")
    out, err = shell("rollout", "start", "points/v1", "--version", "1.2.0", "--percent", "1")
    assert out == "points/v1 running: stable 1.0.0, 1.2.0 to 1 %\n"
    assert "warning: canary does not get 1.1.0 back, which was halted" in err
