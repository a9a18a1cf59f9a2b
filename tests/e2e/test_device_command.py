"""`edgeship device` as a person uses it; the page docs/updates/device.md is run against a real repository."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.device_repository import LINE, Handler, Published, Server, X, served

from .conftest import Script
from .test_docs_examples import ROOT, blocks, commands, run

PAGE = ROOT / "docs" / "updates" / "device.md"


@pytest.fixture
def published(tmp_path: Path) -> Published:
    """Published now: commands look at the system's clock."""
    made = Published(tmp_path / "publisher")
    made.now = datetime.now(UTC)
    made.release("1.0.0", 1)
    (tmp_path / "root.json").write_bytes(made.root)
    return made


@pytest.fixture
def server(published: Published) -> Iterator[Server]:
    with served(published.folder / "repo") as found:
        yield found


@pytest.fixture
def device(edgeship: Script, server: Server, tmp_path: Path) -> Script:
    """The command, on a device that is enrolled."""
    script = replace(edgeship, env={**edgeship.env, "EDGESHIP_DEVICE_DIR": str(tmp_path / "devices")})
    init = script("device", "init", "--repo", server.url, "--root", tmp_path / "root.json", "--line", str(LINE))
    assert init.code == 0, init.err
    return script


def test_the_page_says_what_commands_print(
    edgeship: Script, server: Server, published: Published, tmp_path: Path
) -> None:
    here = tmp_path / "devices"
    words = {
        "https://models.example": server.url,
        "/var/lib/edgeship": str(here),
        "/etc/systemd/system": str(tmp_path / "units"),
        "wake-word": LINE.model,
    }

    def mine(text: str) -> str:
        for word, own in words.items():
            text = text.replace(word, own)
        return text

    script = replace(edgeship, env={**edgeship.env, "EDGESHIP_DEVICE_DIR": str(here)})
    for block in blocks(PAGE):
        if block.file is not None:
            (tmp_path / block.file).write_text(mine(block.text))
        elif block.language == "sh":
            for command in commands(mine(block.text)):
                if not command.line.startswith("pip "):
                    run(command, script, tmp_path)
    run(next(commands("$ python application.py\n1.0.0 ('up',) {'x': 0}\n")), script, tmp_path)


def test_exit_codes_and_documents(device: Script, server: Server, published: Published) -> None:
    assert device("device", "update", "--check", "--json").json["result"] == "available"
    assert device("device", "update", "--json").json["result"] == "updated"
    published.release("1.1.0", 2, golden=X[:, :3])
    published.rollout("1.1.0")
    refused = device("device", "update", "--json")
    assert (refused.code, refused.json["result"]) == (1, "kept")
    assert "self-test" in refused.json["refused"][0]
    server.trick = lambda request: request.answer(200, b"<html>", {"Content-Type": "text/html"}) is None
    away = device("device", "update", "--json")
    assert (away.code, away.json["error"]["type"]) == (3, "RepositoryUnavailable")
    status = device("device", "status", "--json").json
    assert (status["active"]["version"], status["last_check"]["ok"]) == ("1.0.0", False)
    assert "install_id" not in status
    assert len(device("device", "status", "--json", "--install-id").json["install_id"]) == 32


def test_the_install_id_leaves_the_device_in_no_request(device: Script, server: Server) -> None:
    found = device("device", "status", "--json", "--install-id").json["install_id"]
    device("device", "update")
    assert server.requests
    assert not [path for path, _ in server.requests if found in path]


def stopped_at(part: str, reached: Callable[[], None]) -> Callable[[Handler], bool]:
    """Tells when a file is asked for, and never answers."""

    def trick(request: Handler) -> bool:
        if part not in request.path:
            return False
        reached()
        request.rfile.read(1)  # until the client goes
        return True

    return trick


@pytest.mark.parametrize("part", ["timestamp.json", "policy.json", "manifest.json", ".esd"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_update_that_is_killed_is_taken_up_again(
    device: Script, server: Server, published: Published, part: str, number: int
) -> None:
    device("device", "update")
    published.policy("1.0.0")
    published.release("1.1.0", 2, compress=False)
    published.rollout("1.1.0")
    asked = threading.Event()
    server.trick = stopped_at(part, asked.set)
    with device.start("device", "update") as process:
        assert asked.wait(60)
        process.send_signal(number)
        process.communicate(timeout=60)
    server.trick = None
    assert device("device", "status", "--json").json["active"]["version"] == "1.0.0"
    done = device("device", "update", "--json")
    assert (done.code, done.json["result"], done.json["version"]) == (0, "updated", "1.1.0"), done.err


def test_units_are_printed_and_nothing_else_is_needed(device: Script, server: Server, tmp_path: Path) -> None:
    words = ("--repo", server.url, "--root", tmp_path / "root.json", "--line", str(LINE), "--systemd", "-")
    assert "OnUnitActiveSec=4h" in device("device", "init", *words).out
    assert set(json.loads(device("device", "init", *words, "--json").out)["units"]) == {
        "edgeship-points.service", "edgeship-points.timer",
    }  # fmt: skip


def test_enrolling_again_says_what_changed_and_keeps_the_rest(device: Script, server: Server, tmp_path: Path) -> None:
    words = ("device", "init", "--repo", server.url, "--root", tmp_path / "root.json", "--line", str(LINE))
    first = device(*words, "--channel", "canary", "--variant", "tflite-float32")
    assert "channel: canary (was: none)" in first.out
    assert "points has other settings now" in first.out
    second = device(*words, "--otlp", "http://127.0.0.1:4318/v1/metrics", "--json").json
    assert [each["setting"] for each in second["changed"]] == ["telemetry.otlp"]
    assert device("device", "status", "--json").json["channel"] == "canary"
    assert device(*words, "--json").json["changed"] == []
    assert "points was enrolled already" in device(*words).out
    assert "channel: none (was: canary)" in device(*words, "--channel", "").out


def test_all_enrolments_are_updated_whatever_comes_of_one(device: Script, server: Server, tmp_path: Path) -> None:
    words = ("device", "init", "--root", tmp_path / "root.json", "--line", str(LINE))
    device(*words, "--name", "away", "--repo", "http://127.0.0.1:9")
    device(*words, "--name", "other", "--repo", server.url)
    done = device("device", "update", "--all", "--json")
    assert done.code == 3
    found = done.json
    assert found["away"]["error"]["type"] == "RepositoryUnavailable"
    assert (found["other"]["result"], found["points"]["result"]) == ("updated", "updated")
    again = device("device", "update", "--all")
    assert again.out.count("nothing is newer") == 2
    assert "away: " in again.err
    assert device("device", "update", "--all", "points").code == 2
