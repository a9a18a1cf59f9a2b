"""Files over a network that stops, lies and drips."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.device_repository import Handler, Server, served

from edgeship.device.config import Limits
from edgeship.device.download import download
from edgeship.device.network import Http
from edgeship.errors import RepositoryUnavailable, UpdateRefused

CONTENT = np.random.default_rng(0).bytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "file").write_bytes(CONTENT)
    with served(tmp_path / "www") as found:
        yield found


@pytest.fixture
def fetch(server: Server, tmp_path: Path) -> Callable[..., bytes]:
    (tmp_path / "downloads").mkdir()

    def run() -> bytes:
        with Http(Limits(seconds=5.0)) as http:
            path = download(http, f"{server.url}/file", SHA256, len(CONTENT), tmp_path / "downloads")
        assert path == tmp_path / "downloads" / SHA256
        assert not part(tmp_path).exists()
        return path.read_bytes()

    return run


def look(url: str, seconds: float = 5.0) -> None:
    """Ask for a file, and leave it."""
    with Http(Limits(seconds=seconds)) as http, http.get(f"{url}/file"):
        pass


def part(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / f"{SHA256}.part"


def cut_after(count: int) -> Callable[[Handler], bool]:
    """Answers as nginx does, and goes away after so many bytes, each time."""

    def trick(request: Handler) -> bool:
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}")
        request.send_header("Content-Length", str(len(CONTENT) - start))
        request.end_headers()
        request.wfile.write(CONTENT[start : start + count])
        request.close_connection = True
        return True

    return trick


def test_a_download_goes_on_where_it_stopped(fetch: Callable[..., bytes], server: Server, tmp_path: Path) -> None:
    server.trick = cut_after(30_000)
    with pytest.raises(RepositoryUnavailable, match=r"ended after|cannot be fetched"):
        fetch()  # it was cut off five times: it is not refused, as another file would be
    got = part(tmp_path).stat().st_size
    assert got >= 100_000  # of several attempts in one check
    server.trick = None
    server.requests.clear()
    assert fetch() == CONTENT
    assert server.requests == [("/file", f"bytes={got}-")]


def test_attempts_end_where_nothing_more_comes(fetch: Callable[..., bytes], server: Server, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(CONTENT[:1000])
    server.trick = cut_after(0)
    with pytest.raises(RepositoryUnavailable):
        fetch()
    assert len(server.requests) == 1
    assert part(tmp_path).stat().st_size == 1000


def test_a_server_that_knows_no_ranges_sends_it_all(
    fetch: Callable[..., bytes], server: Server, tmp_path: Path
) -> None:
    part(tmp_path).write_bytes(CONTENT[:1000])
    server.trick = lambda request: request.answer(200, CONTENT) is None
    assert fetch() == CONTENT


def test_a_part_of_another_file_is_dropped(fetch: Callable[..., bytes], server: Server, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(b"?" * 1000)
    assert fetch() == CONTENT
    assert [start for _, start in server.requests] == ["bytes=1000-", None]


@pytest.mark.parametrize("size", [len(CONTENT), len(CONTENT) + 1])
def test_a_part_that_is_too_long_or_whole_and_wrong_is_dropped(
    fetch: Callable[..., bytes], tmp_path: Path, size: int
) -> None:
    part(tmp_path).write_bytes(b"?" * size)
    assert fetch() == CONTENT


def test_a_part_that_is_whole_and_right_needs_no_request(
    fetch: Callable[..., bytes], server: Server, tmp_path: Path
) -> None:
    part(tmp_path).write_bytes(CONTENT)
    assert fetch() == CONTENT
    assert server.requests == []


@pytest.mark.parametrize(
    "said", ["bytes 0-199999/200000", "bytes 1000-200999/201000", "bytes 1000-1999/200000", "", "?"]
)
def test_a_wrong_content_range_is_not_believed(
    fetch: Callable[..., bytes], server: Server, tmp_path: Path, said: str
) -> None:
    """The server sends the whole file, as if that were what is missing."""
    part(tmp_path).write_bytes(CONTENT[:1000])

    def trick(request: Handler) -> bool:
        if request.headers.get("Range") is None:
            return False
        request.answer(206, CONTENT, {"Content-Range": said})
        return True

    server.trick = trick
    assert fetch() == CONTENT


def test_a_page_for_people_is_no_file(fetch: Callable[..., bytes], server: Server, tmp_path: Path) -> None:
    """It is no attack either: what is here of the file stays."""
    part(tmp_path).write_bytes(CONTENT[:1000])
    page = {"Content-Type": "text/html; charset=utf-8"}
    server.trick = lambda request: request.answer(200, b"<html>", page) is None
    with pytest.raises(RepositoryUnavailable, match="web page"):
        fetch()
    assert part(tmp_path).stat().st_size == 1000


def test_a_range_that_cannot_be_met_begins_anew(fetch: Callable[..., bytes], server: Server, tmp_path: Path) -> None:
    part(tmp_path).write_bytes(CONTENT[:1000])
    server.trick = lambda request: bool(request.headers.get("Range")) and request.answer(416, b"") is None
    assert fetch() == CONTENT


def test_a_file_that_does_not_end_is_cut_off(fetch: Callable[..., bytes], server: Server, tmp_path: Path) -> None:
    server.trick = lambda request: request.answer(200, CONTENT * 20) is None
    with pytest.raises(UpdateRefused, match="more than the 200,000 bytes"):
        fetch()
    assert not part(tmp_path).exists()


def test_another_file_is_refused(fetch: Callable[..., bytes], server: Server, tmp_path: Path) -> None:
    server.trick = lambda request: request.answer(200, CONTENT[::-1]) is None
    with pytest.raises(UpdateRefused, match="not the file that was signed"):
        fetch()
    assert not part(tmp_path).exists()


@pytest.mark.parametrize("status", [403, 404, 500, 503, 511])
def test_an_error_of_the_server_is_no_file(fetch: Callable[..., bytes], server: Server, status: int) -> None:
    server.trick = lambda request: request.answer(status, CONTENT) is None
    with pytest.raises(RepositoryUnavailable):
        fetch()


def test_redirects_are_followed_within_the_web(fetch: Callable[..., bytes], server: Server) -> None:
    (server.folder / "moved").write_bytes(CONTENT)
    server.trick = lambda r: r.path == "/file" and r.answer(302, b"", {"Location": "/moved"}) is None
    assert fetch() == CONTENT
    for place in ("file:///etc/passwd", "ftp://127.0.0.1/file", "gopher://127.0.0.1/"):
        server.trick = lambda r, p=place: r.answer(302, b"", {"Location": p}) is None
        with pytest.raises(RepositoryUnavailable, match="leads to"):
            look(server.url)


def test_redirects_come_to_an_end(server: Server) -> None:
    server.trick = lambda request: request.answer(302, b"", {"Location": "/file"}) is None
    with (
        Http(Limits(seconds=5.0)) as http,
        pytest.raises(RepositoryUnavailable, match="leads on"),
        http.get(server.url),
    ):
        pass
    assert len(server.requests) == 5


def dripping(begin: bytes, ended: threading.Event) -> Callable[[Handler], bool]:
    """One byte now and then, for as long as the client stays."""

    def trick(request: Handler) -> bool:
        request.wfile.write(begin)
        try:
            while not ended.wait(0.05):
                request.wfile.write(b"x")
                request.wfile.flush()
        except OSError:
            pass
        finally:
            ended.set()
        request.close_connection = True
        return True

    return trick


@pytest.mark.parametrize(
    "begin",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\nX-Header: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n",
    ],
    ids=["status", "headers", "header", "content"],
)
def test_a_server_that_drips_is_left(server: Server, tmp_path: Path, begin: bytes) -> None:
    """Each byte comes in time, all of them never would. The server sees that the client has gone."""
    ended = threading.Event()
    server.trick = dripping(begin, ended)
    limits = Limits(seconds=0.5, bytes_per_second=1_000_000)
    with Http(limits) as http, pytest.raises(RepositoryUnavailable, match="too slowly"):
        download(http, f"{server.url}/file", SHA256, len(CONTENT), tmp_path)
    assert ended.wait(30)


def test_a_server_that_says_nothing_is_left(server: Server) -> None:
    ended = threading.Event()
    server.trick = lambda _: ended.wait(60)
    try:
        with pytest.raises(RepositoryUnavailable, match="too slowly"):
            look(server.url, 0.3)
    finally:
        ended.set()


def test_where_nobody_listens_there_is_no_repository(tmp_path: Path) -> None:
    with served(tmp_path) as gone:
        url = gone.url
    with pytest.raises(RepositoryUnavailable, match="cannot be fetched"):
        look(url)
