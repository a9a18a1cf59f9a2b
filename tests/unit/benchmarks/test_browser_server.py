"""The server of the page: what it serves, what it takes, and what it refuses from whoever is in the network."""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import brotli
import pytest

from edgeship.errors import ArtifactError, ChildCrashed, ChildTimeout
from edgeship.types import Progress
from edgeship_benchmarks.targets.browser import answers, listing
from edgeship_benchmarks.targets.browser.hub import RENEW, Hub
from edgeship_benchmarks.targets.browser.server import PageServer, Start

MODEL = listing.listed("model.tflite", b"model " * 1000)


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer(Hub(grace_seconds=0.1)) as found:
        found.starts[1] = Start({"model.tflite": MODEL})
        yield found


def ask(
    server: PageServer, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Status, content and headers of one request; the path is sent as it is."""
    port = server.url.split(":")[2].split("/")[0]
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    try:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request("GET" if body is None else "POST", path, body, given)
        found = connection.getresponse()
        return found.status, found.read(), found.headers
    finally:
        connection.close()


class Page:
    """What a page does, without a browser."""

    def __init__(self, server: PageServer, name: str = "page") -> None:
        self.server, self.name = server, name
        port = int(server.url.split(":")[2].split("/")[0])
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.connection.request("GET", f"{server.root}events?page={name}")
        self.stream = self.connection.getresponse()

    def next(self) -> Any:
        """The next message, or the reason of a refusal."""
        while True:
            line = self.stream.readline()
            assert line, "the stream ended"
            if line.startswith(b"data: "):
                return json.loads(line[6:])

    def post(self, **answer: Any) -> int:
        body = json.dumps({"page": self.name, **answer}).encode()
        return ask(self.server, f"{self.server.root}answer", body)[0]

    def close(self) -> None:
        self.stream.close()
        self.connection.close()


@pytest.fixture
def page(server: PageServer) -> Iterator[Page]:
    found = Page(server)
    assert server.hub.wait_for_page(5)
    yield found
    found.close()


def test_the_page_is_isolated_and_typed(server: PageServer) -> None:
    status, content, headers = ask(server, server.root)
    assert status == 200
    assert content.startswith(b"<!doctype html>")
    assert headers["Content-Type"].startswith("text/html")
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    for name, kind in (
        ("page.mjs", "text/javascript"),
        ("page.css", "text/css"),
        ("service_worker.js", "text/javascript"),
    ):
        status, content, headers = ask(server, server.root + name)
        assert (status, headers["ETag"]) == (200, f'"{hashlib.sha256(content).hexdigest()}"')
        assert headers["Content-Type"].startswith(kind)


def test_bytes_are_counted_as_they_were_sent(server: PageServer) -> None:
    path = f"{server.root}start/1/model/model.tflite"
    status, content, headers = ask(server, path, Accept_Encoding="gzip, deflate, br, zstd")
    assert (status, headers["Content-Encoding"]) == (200, "br")
    assert brotli.decompress(content) == MODEL.content
    assert "immutable" in headers["Cache-Control"]
    start = server.starts[1]
    assert start.sent == {"model/model.tflite": len(content)}
    assert start.encodings == {"br"}
    _, plain, headers = ask(server, path)
    assert plain == MODEL.content
    assert headers["Content-Encoding"] is None
    assert ask(server, f"{server.root}start/1/web/npy.mjs")[2]["Content-Type"].startswith("text/javascript")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/{token}",
        "/wrong-token/",
        "/{token}/nothing",
        "/{token}/../../../../etc/passwd",
        "/{token}/start/1/../../../../../../etc/passwd",
        "/{token}/start/1/web/../../../../../etc/passwd",
        "/{token}/start/1/web/%2e%2e/%2e%2e/session.py",
        "/{token}/start/1/web/agent.mjs",
        "/{token}/start/1/web/package.json",
        "/{token}/start/1/packages/@tensorflow/tfjs-core/package.json",
        "/{token}/start/1/packages/../../../../etc/passwd",
        "/{token}/start/1/model/",
        "/{token}/start/1/model/../model.tflite",
        "/{token}/start/2/model/model.tflite",
        "/{token}/start/-1/model/model.tflite",
        "/{token}/start/%EF%BC%91/model/model.tflite",
        "/{token}/data/1",
        "/{token}/data/99999999999999999999",
        "//etc/passwd",
        "/{token}//etc/passwd",
    ],
)
def test_what_is_not_listed_is_not_there(server: PageServer, path: str) -> None:
    path = path.replace("{token}", server.token)
    status, content, _ = ask(server, path)
    assert (status, content) == (404, b"")


def test_nobody_but_the_page_itself_may_ask(server: PageServer) -> None:
    assert ask(server, server.root, Origin="http://evil.example")[0] == 404
    assert ask(server, f"{server.root}bye", b'{"page": "page"}', Origin="http://evil.example")[0] == 404
    host = server.url.split("/")[2]
    assert ask(server, server.root, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("answer", b""),
        ("answer", b"{"),
        ("answer", b"[" * 100_000),
        ("answer", b"[]"),
        ("answer", b"{}"),
        ("answer", b'{"page": "page", "id": 1}'),
        ("answer", b'{"page": "page", "id": true, "result": {}}'),
        ("answer", b'{"page": "page", "id": "1", "result": {}}'),
        ("answer", b'{"page": "page", "id": 99, "result": {}}'),
        ("answer", b'{"page": "page", "id": 1, "result": []}'),
        ("answer", b'{"page": "page", "id": 1, "result": {}, "error": {}}'),
        ("answer", b'{"page": "page", "id": 1, "result": {"x": NaN}}'),
        ("answer", b'{"page": "other", "id": 1, "result": {}}'),
        ("bye", b"7"),
        ("bye", b'{"page"}'),
        ("data/1/0.npy", b"x"),
        ("data/../0.npy", b"x"),
        ("start/1/model/model.tflite", b"x"),
        ("", b"x"),
    ],
)
def test_hostile_posts_are_refused_and_change_nothing(server: PageServer, page: Page, path: str, body: bytes) -> None:
    done: list[Any] = []
    waiting = threading.Thread(target=lambda: done.append(server.hub.request({"op": "describe"}, 10)))
    waiting.start()
    number = page.next()["id"]
    assert number == 1
    assert ask(server, server.root + path, body)[0] in (400, 404)
    assert not done
    assert page.post(id=number, result={"facts": {}}) == 204
    waiting.join(10)
    assert done == [{"facts": {}}]


@pytest.mark.parametrize("length", ["99999999999999", "1e3", "-5", "\N{FULLWIDTH DIGIT TWO}"])
def test_bodies_that_are_too_long_or_have_no_length_are_not_read(server: PageServer, length: str) -> None:
    port = int(server.url.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest("POST", f"{server.root}answer")
    connection.putheader("Content-Length", length.encode())
    connection.endheaders()
    assert connection.getresponse().status == 400
    connection.close()


def test_an_address_in_the_network_is_there_for_cables_too() -> None:
    """127.0.0.2 stands for the address in the network; `adb reverse` and `ssh -R` lead to 127.0.0.1."""
    try:
        server = PageServer(Hub(grace_seconds=0.1), "127.0.0.2")
    except OSError:
        pytest.skip("needs a second loopback address, as Linux has")
    with server:
        assert server.url.startswith("http://127.0.0.2:")
        assert ask(server, server.root)[0] == 200
    with pytest.raises(ConnectionRefusedError):
        ask(server, server.root)


def test_offline_starts_get_nothing(server: PageServer) -> None:
    server.starts[1].offline = True
    assert ask(server, f"{server.root}start/1/model/model.tflite")[0] == 503
    assert dict(server.starts[1].sent) == {}


def test_a_request_and_its_progress(server: PageServer, page: Page) -> None:
    events: list[Progress] = []
    done: list[Any] = []
    waiting = threading.Thread(target=lambda: done.append(server.hub.request({"op": "run"}, 10, events.append)))
    waiting.start()
    number = page.next()["id"]
    assert page.post(id=number, progress={"stage": "run", "done": 3, "total": 7}) == 204
    assert page.post(id=number, result={"outputs": {"y": "z"}}) == 204
    waiting.join(10)
    assert done == [{"outputs": {"y": "z"}}]
    assert events == [Progress("run", 3, 7)]
    assert page.post(id=number, result={}) == 400  # nobody waits for a second answer


def test_errors_of_the_page_are_typed_and_harmless(server: PageServer, page: Page) -> None:
    found: list[BaseException] = []

    def request() -> None:
        with pytest.raises(Exception) as caught:
            server.hub.request({"op": "load"}, 10)
        found.append(caught.value)

    for kind, expected in (
        ("ArtifactError", ArtifactError),
        ("SystemExit", Exception),
        ("KeyboardInterrupt", Exception),
    ):
        waiting = threading.Thread(target=request)
        waiting.start()
        error = {"type": kind, "message": "\x1b]0;owned\x07 broken", "remedy": "x" * 10_000}
        assert page.post(id=page.next()["id"], error=error) == 204
        waiting.join(10)
        assert isinstance(found[-1], expected)
        assert "\x1b" not in str(found[-1])
        assert len(str(found[-1])) < 5000


def test_a_page_that_goes_away_is_noticed_at_once(server: PageServer, page: Page) -> None:
    def leave() -> None:
        page.next()  # it has its work
        page.close()

    leaving = threading.Thread(target=leave)
    leaving.start()
    with pytest.raises(ChildCrashed, match="closed or crashed"):
        server.hub.request({"op": "load"}, 60)
    leaving.join()
    assert not server.hub.here


def test_a_page_that_says_good_bye_is_gone(server: PageServer, page: Page) -> None:
    assert ask(server, f"{server.root}bye", b'{"page": "page"}')[0] == 204
    with pytest.raises(ChildCrashed, match="closed"):
        server.hub.request({"op": "load"}, 60)


def test_a_page_that_says_nothing_runs_out_of_time(server: PageServer, page: Page) -> None:
    with pytest.raises(ChildTimeout, match=r"load for 0\.3 s"):
        server.hub.request({"op": "load"}, 0.3)


def test_only_one_page_works(server: PageServer, page: Page) -> None:
    second = Page(server, "second")
    assert "Another page" in second.next()["reason"]
    second.close()
    server.hub.expect()
    assert not server.hub.here
    third = Page(server, "third")
    assert server.hub.wait_for_page(5)
    assert page.post(id=1, result={}) == 400
    third.close()


def test_a_page_that_renews_itself_makes_room_with_its_answer(server: PageServer, page: Page) -> None:
    waiting = threading.Thread(target=lambda: server.hub.request({"op": RENEW}, 10))
    waiting.start()
    assert page.next()["op"] == RENEW
    assert page.post(id=1, result={}) == 204
    renewed = Page(server, "renewed")  # whether the thread has heard of the answer or not
    assert server.hub.wait_for_page(5)
    waiting.join()
    assert page.post(id=1, result={}) == 400
    renewed.close()


def test_a_page_that_reconnects_gets_what_is_open_again() -> None:
    with PageServer(Hub(grace_seconds=10)) as server:
        first = Page(server)
        assert server.hub.wait_for_page(5)
        done: list[Any] = []
        waiting = threading.Thread(target=lambda: done.append(server.hub.request({"op": "describe"}, 10)))
        waiting.start()
        assert first.next()["id"] == 1
        first.close()
        again = Page(server)
        assert again.next()["id"] == 1
        assert again.post(id=1, result={"facts": {}}) == 204
        waiting.join(10)
        again.close()
        assert done == [{"facts": {}}]


LOADED = {
    "import_ms": 1,
    "load_ms": 2.5,
    "download_ms": 0,
    "batch": None,
    "warnings": [],
    "threads": 1,
    "versions": {},
    "operations": ["throughput"],
    "inputs": [{"name": "x", "shape": [None, 3], "dtype": "float32", "quantization": None}],
    "outputs": [{"name": "y", "shape": [1, 2], "dtype": "float32", "quantization": None}],
}


@pytest.mark.parametrize(
    ("operation", "result"),
    [
        ("load", {**LOADED, "import_ms": -1}),
        ("load", {**LOADED, "load_ms": 1e300}),
        ("load", {**LOADED, "load_ms": True}),
        ("load", {**LOADED, "inputs": []}),
        ("load", {**LOADED, "inputs": LOADED["inputs"] * 1000}),
        (
            "load",
            {**LOADED, "inputs": [{"name": "x", "shape": [1 << 30, 1 << 30], "dtype": "f", "quantization": None}]},
        ),
        ("load", {**LOADED, "inputs": [{"name": "x", "shape": [-1], "dtype": "f", "quantization": None}]}),
        ("load", {**LOADED, "inputs": [{"name": "x", "shape": [1], "dtype": "f", "quantization": {"scale": 1}}]}),
        ("load", {**LOADED, "more": 1}),
        ("load", {}),
        ("measure", {"latency_ms": [], "inferences_per_time": 1}),
        ("measure", {"latency_ms": [1, "2"], "inferences_per_time": 1}),
        ("measure", {"latency_ms": [1] * 1_000_001, "inferences_per_time": 1}),
        ("measure", {"latency_ms": [1], "inferences_per_time": 1.5}),
        ("warm_up", {"first_inference_ms": 1, "runs": 1, "stable": 1}),
        ("memory", {"peak_memory_mib": 3}),
        ("describe", {"facts": {"a": 1}}),
        ("describe", {"facts": {str(k): "" for k in range(1000)}}),
        ("run", {"outputs": {"y": ["z"]}}),
        ("show", {"anything": 1}),
    ],
)
def test_results_outside_of_their_bounds_are_refused(operation: str, result: dict[str, Any]) -> None:
    with pytest.raises(ChildCrashed, match="no valid"):
        answers.check(operation, result)


def test_results_within_their_bounds_are_taken() -> None:
    assert answers.check("load", LOADED) == LOADED
    assert answers.check("describe", {"facts": {"gpu": "a\x1b[31m\nb"}}) == {"facts": {"gpu": "a [31m b"}}
    assert answers.check("show", {}) == {}
