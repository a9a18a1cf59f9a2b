"""The server for demos sends what a real one has to."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator

import pytest
from publishing import Client, Site

from edgeship.errors import InputError, UnavailableError
from edgeship.publish.serve import DemoServer, server


@pytest.fixture
def running(site: Site) -> Iterator[DemoServer]:
    with server(site.folder / "repo") as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(
    running: DemoServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", running.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_a_client_updates_from_it(running: DemoServer, site: Site) -> None:
    assert Client(site.folder / "c", running.url, site.keys.root).rollout()["stable"] == "1.0.0"


def test_only_the_timestamp_is_asked_for_again(running: DemoServer, site: Site) -> None:
    _, headers, content = ask(running, "/metadata/timestamp.json")
    assert headers["Cache-Control"] == "public, max-age=60"
    assert content == site.files()["metadata/timestamp.json"]
    _, headers, _ = ask(running, "/metadata/1.root.json")
    assert headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert headers["Content-Type"] == "application/json"
    assert headers["Access-Control-Allow-Origin"] == "*"


def test_a_root_that_is_not_there_yet_is_not_remembered(running: DemoServer) -> None:
    status, headers, _ = ask(running, "/metadata/2.root.json")
    assert (status, headers["Cache-Control"]) == (404, "no-store")


def test_downloads_are_resumed(running: DemoServer, site: Site) -> None:
    whole = site.files()["metadata/1.root.json"]
    status, headers, content = ask(running, "/metadata/1.root.json", Range="bytes=100-")
    assert (status, content) == (206, whole[100:])
    assert headers["Content-Range"] == f"bytes 100-{len(whole) - 1}/{len(whole)}"
    assert ask(running, "/metadata/1.root.json", Range="bytes=0-9")[2] == whole[:10]
    status, headers, _ = ask(running, "/metadata/1.root.json", Range=f"bytes={len(whole)}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
    for given in ("bytes=-5", "lines=1-2", "bytes=9-3", "bytes=0-1,4-5"):
        assert ask(running, "/metadata/1.root.json", Range=given)[0] == 200


def test_browsers_may_ask_from_other_pages(running: DemoServer) -> None:
    status, headers, _ = ask(running, "/metadata/timestamp.json", "OPTIONS")
    assert (status, headers["Access-Control-Allow-Headers"]) == (204, "Range")
    status, headers, content = ask(running, "/metadata/timestamp.json", "HEAD")
    assert (status, content) == (200, b"")
    assert int(headers["Content-Length"]) > 100


@pytest.mark.parametrize(
    "path",
    ["/", "/metadata", "/.lock", "/../keys/keys.json", "/metadata/../../keys/keys.json", "/targets/%2e%2e/%2e%2e/keys",
     "/metadata/%00", "//etc/passwd", "/metadata/link"],
)  # fmt: skip
def test_nothing_but_the_repository_is_sent(path: str, running: DemoServer, site: Site) -> None:
    (site.folder / "repo" / "metadata" / "link").symlink_to(site.folder / "keys" / "keys.json")
    assert ask(running, path)[0] == 404


def test_what_cannot_be_served_is_said(site: Site, running: DemoServer) -> None:
    with pytest.raises(InputError, match="is no repository"), server(site.folder):
        pass
    with pytest.raises(UnavailableError, match="cannot listen"), server(site.folder / "repo", port=running.server_port):
        pass
