"""`edgeship keys`, `publish`, `rollout`: from a bundle to a rollout, by commands alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from tests.device_repository import bundle

from edgeship.cli import cli
from edgeship.cli.failures import run


class Shell:
    """Runs commands in a folder, with the repository and the keys that they all name."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        self.where = ("--repo", str(folder / "updates"), "--keys", str(folder / "keys"))

    def __call__(self, *words: str, code: int = 0) -> tuple[str, str]:
        found = run(cli, list(words))
        said = self._capsys.readouterr()
        assert found == code, said
        return said.out, said.err

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code)[0])

    def signed(self, *words: str, code: int = 0) -> tuple[str, str]:
        return self(*words, *self.where, code=code)


@pytest.fixture
def shell(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EDGESHIP_PASSPHRASE", raising=False)
    made = Shell(tmp_path, capsys)
    for number in (1, 2):
        bundle(tmp_path / f"b{number}", number)
    return made


@pytest.fixture
def published(shell: Shell) -> Shell:
    shell("keys", "init", "keys", "--dev")
    shell.signed("publish", "b1")
    shell.signed("publish", "b2")
    return shell


def test_from_bundles_to_a_rollout(shell: Shell) -> None:
    out, err = shell("keys", "init", "keys", "--dev")
    assert "warning: --dev: these private keys are not encrypted" in err
    assert "enrol devices with keys/root.json" in out
    out, _ = shell.signed("publish", "b1")
    assert "published: points 1.0.0 (tflite-float32), for all devices   next: edgeship serve" in out
    assert "published already; nothing was changed" in shell.signed("publish", "b1")[0]
    out, _ = shell.signed("publish", "b2")
    assert "patch: 1.0.0 to 1.1.0 tflite-float32 model.tflite" in out
    assert "for no device yet   next: edgeship rollout start points/v1 --version 1.1.0 --percent 1" in out
    out, _ = shell.signed("rollout", "start", "points/v1", "--version", "1.1.0", "--percent", "1")
    assert out == "points/v1 running: stable 1.0.0, 1.1.0 to 1 %\n"
    out, _ = shell.signed("rollout", "set", "points/v1", "--percent", "100", "--channel", "canary=1.1.0", code=2)
    assert "10 %" in shell.signed("rollout", "set", "points/v1", "--percent", "10")[0]
    assert "halted" in shell.signed("rollout", "halt", "points/v1")[0]
    assert "running" in shell.signed("rollout", "resume", "points/v1")[0]
    assert "has reached 10 %" in shell.signed("rollout", "finish", "points/v1", code=2)[1]
    out, _ = shell.signed("rollout", "finish", "points/v1", "--force")
    assert out == "points/v1 running: stable 1.1.0, no arms\n"
    assert "revoked 1.0.0" in shell.signed("rollout", "revoke", "points/v1", "1.0.0")[0]
    assert "nothing was changed" in shell.signed("rollout", "retire", "points/v1")[0]
    assert "floor 1.1.0" in shell.signed("rollout", "floor", "points/v1", "1.1.0")[0]
    out, _ = shell.signed("rollout", "retire", "points/v1")
    assert out == "points/v1: 1.0.0 signed no more; the list has 7 files, 4 fewer\n"


def test_the_status_for_people_and_for_programs(published: Shell) -> None:
    published.signed("rollout", "start", "points/v1", "--arm", "1.1.0=5", "--channel", "canary=1.1.0")
    out, _ = published.signed("rollout", "status")
    for word in ("points/v1: running", "arm 5 %, channel canary", "stable", "floor 1.0.0; revoked none", "timestamp"):
        assert word in out
    found = published.json("rollout", "status", "points/v1", *published.where)
    (line,) = found["lines"]
    assert line["rollout"]["arms"] == [{"version": "1.1.0", "percent": 5.0}]
    assert [row["version"] for row in line["releases"]] == ["1.1.0", "1.0.0"]
    assert list(line["releases"][0]["patches"]) == ["1.0.0"]
    assert found["expired"] == []
    assert "other/v1 is not published" in published.signed("rollout", "status", "other/v1", code=2)[1]


def test_json_of_every_command_is_one_document(published: Shell) -> None:
    where = published.where
    assert published.json("publish", "b2", *where)["new"] is False
    assert published.json("publish", "--refresh", *where)["signed"] == ["rollout", "snapshot", "timestamp"]
    started = published.json("rollout", "start", "points/v1", "--version", "1.1.0", "--percent", "2.5", *where)
    assert started["rollout"]["arms"][0]["percent"] == 2.5
    assert published.json("rollout", "revoke", "points/v1", "1.1.0", *where)["still_named"] == ["1.1.0"]
    assert published.json("rollout", "retire", "points/v1", *where)["paths"] == []
    assert len(published.json("keys", "show", "keys")["keys"]) == 7
    rotated = published.json("keys", "rotate", "timestamp", *where)
    assert (rotated["role"], len(rotated["new"])) == ("timestamp", 1)


def test_a_revoked_release_that_a_rollout_names_is_warned_of(published: Shell) -> None:
    published.signed("rollout", "start", "points/v1", "--version", "1.1.0", "--percent", "1")
    _, err = published.signed("rollout", "revoke", "points/v1", "1.1.0")
    assert "warning: the rollout of points/v1 still names 1.1.0" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["publish"], "give BUNDLES to publish, or --refresh"),
        (["publish", "b1", "--refresh"], "give BUNDLES to publish, or --refresh"),
        (["publish", "nowhere"], "nowhere is not a bundle"),
        (["publish", "b2", "--version", "1.1"], "'1.1' is not a version"),
        (["publish", "b2", "--version", "1.0.1"], "it was made from another model than 1.0.0"),
        (["rollout", "start", "points/v1", "--version", "1.0.0"], "--version and --percent belong together"),
        (["rollout", "start", "points", "--arm", "1.0.0=5"], "'points' is no line of releases"),
        (["rollout", "start", "points/v1", "--arm", "1.0.0"], "'1.0.0' is no arm"),
        (["rollout", "start", "points/v1", "--channel", "canary"], "'canary' is no channel"),
        (["rollout", "start", "points/v1", "--arm", "1.0.0=5", "--not-before", "soon"], "'soon' is no moment"),
        (["rollout", "set", "points/v1"], "give --percent, of the only arm, or else"),
    ],
)
def test_what_was_wrong_is_said(words: list[str], message: str, published: Shell) -> None:
    assert message in published.signed(*words, code=2)[1]


def test_passphrases_come_from_files_or_the_environment(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "not written unencrypted" in shell("keys", "init", "keys", code=2)[1]
    (shell.folder / "secret").write_text("correct horse battery\nnot a part of it\n")
    shell("keys", "init", "offline", "--online", "online", "--passphrase-file", "secret")
    for path in [*(shell.folder / "offline").glob("*.pem"), *(shell.folder / "online").glob("*.pem")]:
        assert b"ENCRYPTED" in path.read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    where = ("--repo", "updates", "--keys", "offline", "--keys", "online")
    assert "no passphrase was given" in shell("publish", "b1", *where, code=2)[1]
    monkeypatch.setenv("EDGESHIP_PASSPHRASE", "wrong horse battery")
    assert "passphrase is wrong" in shell("publish", "b1", *where, code=2)[1]
    assert "1.0.0" in shell("publish", "b1", *where, "--passphrase-file", "secret")[0]
    monkeypatch.setenv("EDGESHIP_PASSPHRASE", "correct horse battery")
    assert "signed rollout" in shell("publish", "--refresh", "--repo", "updates", "--keys", "online")[0]
    _, err = shell("publish", "b2", "--repo", "updates", "--keys", "online", code=2)
    assert "targets cannot sign" in err
    assert "cannot read the passphrase" in shell("publish", "b2", *where, "--passphrase-file", "none", code=2)[1]


def test_keys_that_are_elsewhere_are_shown_so(shell: Shell) -> None:
    shell("keys", "init", "offline", "--online", "online", "--dev")
    out, _ = shell("keys", "show", "online")
    assert out.count("not here") == 4


def test_metadata_that_end_soon_are_warned_of(published: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import timedelta

    from edgeship.publish import signing

    monkeypatch.setitem(signing.LIFE, "targets", timedelta(days=5000))
    for path in (published.folder / "keys").glob("targets-*.pem"):
        path.unlink()
    _, err = published.signed("publish", "--refresh")
    assert "warning: the metadata of targets expires in 179 days; renew: edgeship publish --refresh" in err


def test_serving_needs_a_repository(shell: Shell) -> None:
    assert "is no repository" in shell("serve", str(shell.folder), code=2)[1]


def test_throw_away_keys_are_warned_of_where_others_can_reach_what_they_sign(
    shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeship.cli import repositories

    shell("keys", "init", "keys", "--dev")
    repositories.open_repository("s3://models/updates", "http://127.0.0.1:9", [shell.folder / "keys"], ())
    assert "do not let real devices trust s3://models/updates" in capsys.readouterr().err
    repositories.open_repository("updates", None, [shell.folder / "keys"], ())
    assert capsys.readouterr().err == ""


def test_status_takes_the_options_of_its_neighbours_and_reads_no_passphrase(published: Shell) -> None:
    out, _ = published.signed("rollout", "status", "--passphrase-file", "not-there.txt")
    assert "points/v1" in out


def test_publish_warns_of_what_was_probably_not_meant(published: Shell) -> None:
    bundle(published.folder / "b3", 3)
    _, err = published.signed("publish", "b3", "--version", "0.9.0")
    assert "warning: 0.9.0 is lower than 1.1.0" in err
    bundle(published.folder / "b4", 4)
    found = published.json("publish", "b4", "--version", "3.0.0", *published.where)
    assert [each["kind"] for each in found["warnings"]] == ["new-line"]
