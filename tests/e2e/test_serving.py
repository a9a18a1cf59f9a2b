"""The recipe for nginx in docs/updates/publishing.md, run with the real nginx; a device and the server for demos."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from edgeship.publish import keymaking, release
from edgeship.publish.repository import Repository
from edgeship.publish.rotation import rotate
from edgeship.publish.stores import FolderStore
from tests.device_repository import bundle

from .conftest import Script

ROOT = Path(__file__).parent.parent.parent
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def recipe() -> str:
    page = (ROOT / "docs" / "updates" / "publishing.md").read_text(encoding="utf-8")
    found = re.search(r"^```nginx\n# file: nginx\.conf\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository(FolderStore(tmp_path / "updates"), keymaking.create(tmp_path / "keys", dev=True))
    release.publish(made, [bundle(tmp_path / "bundle", 1, padding=200_000)])
    return made


@pytest.fixture
def nginx(repository: Repository, tmp_path: Path) -> Iterator[int]:
    """The port of an nginx that serves the repository as the page says."""
    if NGINX is None:
        pytest.skip("needs nginx")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    text = (
        recipe().replace("listen 80;", f"listen 127.0.0.1:{port};").replace("/srv/updates", str(tmp_path / "updates"))
    )
    assert f":{port};" in text
    prefix = tmp_path / "nginx"
    prefix.mkdir()
    own = f"daemon off; user root; pid {prefix}/pid; error_log {prefix}/error.log;\n"
    paths = "".join(
        f"{kind}_temp_path {prefix}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (prefix / "nginx.conf").write_text(own + text.replace("http {\n", "http {\naccess_log off;\n" + paths, 1))
    with subprocess.Popen(
        [NGINX, "-p", str(prefix), "-c", str(prefix / "nginx.conf")], stderr=subprocess.PIPE
    ) as child:
        try:
            _wait(port, child)
            yield port
        finally:
            child.terminate()
            child.wait(20)


def _wait(port: int, child: subprocess.Popen[bytes]) -> None:
    """Until it answers; it has no other way to say that it listens."""
    for _ in range(200):
        assert child.poll() is None, child.stderr and child.stderr.read()
        with socket.socket() as tried:
            tried.settimeout(1)
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        try:
            child.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError("nginx does not listen")


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def large(tmp_path: Path) -> Path:
    """The largest file of the repository."""
    return max(
        (p for p in (tmp_path / "updates" / "targets").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size
    )


def test_caches_keep_all_but_the_timestamp(nginx: int, tmp_path: Path) -> None:
    for path in (p for p in (tmp_path / "updates").rglob("*") if p.is_file() and p.name != ".lock"):
        name = path.relative_to(tmp_path / "updates").as_posix()
        status, headers, content = ask(nginx, f"/{name}", **{"Accept-Encoding": "gzip, br"})
        assert (status, content) == (200, path.read_bytes())
        life = "public, max-age=60" if name == "metadata/timestamp.json" else "public, max-age=31536000, immutable"
        assert headers.get_all("Cache-Control") == [life], name
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Content-Encoding"] is None
        kind = "application/json" if name.endswith(".json") else "application/octet-stream"
        assert headers["Content-Type"] == kind


def test_a_root_that_is_not_there_yet_is_asked_for_again(nginx: int, repository: Repository) -> None:
    status, headers, _ = ask(nginx, "/metadata/2.root.json")
    assert (status, headers.get_all("Cache-Control")) == (404, ["no-store"])
    rotate(repository, "timestamp")
    assert ask(nginx, "/metadata/2.root.json")[0] == 200


def test_downloads_are_resumed(nginx: int, tmp_path: Path) -> None:
    path = large(tmp_path)
    name, content = path.relative_to(tmp_path / "updates").as_posix(), path.read_bytes()
    status, headers, rest = ask(nginx, f"/{name}", Range="bytes=100000-")
    assert (status, rest) == (206, content[100_000:])
    assert headers["Content-Range"] == f"bytes 100000-{len(content) - 1}/{len(content)}"
    assert ask(nginx, f"/{name}", Range=f"bytes={len(content)}-")[0] == 416


def test_browsers_may_ask_from_other_pages(nginx: int, tmp_path: Path) -> None:
    name = large(tmp_path).relative_to(tmp_path / "updates").as_posix()
    status, headers, _ = ask(nginx, f"/{name}", "OPTIONS", Origin="https://app.example")
    assert (status, headers["Access-Control-Allow-Headers"]) == (204, "Range")


@pytest.mark.parametrize(
    "path", ["/", "/.lock", "/metadata/", "/metadata/.new.x", "/metadata/../keys/keys.json", "/keys"]
)
def test_nothing_else_is_sent(path: str, nginx: int, tmp_path: Path) -> None:
    (tmp_path / "updates" / "metadata" / ".new.x").write_text("half")
    assert ask(nginx, path)[0] in (400, 403, 404)


def test_a_client_of_python_tuf_follows_it(nginx: int, repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "client").mkdir()
    where = f"http://127.0.0.1:{nginx}"
    for bootstrap in (repository.keys.root, None):
        updater = Updater(
            str(tmp_path / "client"), f"{where}/metadata/", str(tmp_path), f"{where}/targets/", bootstrap=bootstrap
        )
        updater.refresh()
        found = updater.get_targetinfo("rollout/points/v1.json")
        assert found is not None
        assert Path(updater.download_target(found)).is_file()
        rotate(repository, "snapshot")


def test_a_device_follows_the_server_for_demos(edgeship: Script, repository: Repository, tmp_path: Path) -> None:
    child = edgeship.start("serve", tmp_path / "updates", "--port", "0", "--json")
    try:
        assert child.stdout is not None
        shown = "".join(iter(child.stdout.readline, "}\n")) + "}"
        told = json.loads(shown)
        assert told["lines"] == ["points/v1"]
        place = ("--dir", tmp_path / "device", "--json")
        given = ("--repo", told["url"], "--root", told["root"], "--line", "points/v1")
        enrolled = edgeship("device", "init", *given, *place)
        assert enrolled.code == 0, enrolled.err
        updated = edgeship("device", "update", *place)
        assert updated.code == 0, updated.err
        assert "1.0.0" in edgeship("device", "status", *place).out
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.communicate()
