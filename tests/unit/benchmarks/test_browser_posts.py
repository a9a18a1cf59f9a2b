"""Outputs that a page posts: so many bytes for one run, and kept no longer than it takes."""

from __future__ import annotations

import http.client
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import ChildError
from edgeship.types import Artifact
from edgeship_benchmarks.targets.browser import server as serving
from edgeship_benchmarks.targets.browser import worker
from edgeship_benchmarks.targets.browser.hub import Hub
from edgeship_benchmarks.targets.browser.server import PageServer
from edgeship_benchmarks.targets.browser.worker import PageFiles

ARTIFACT = Artifact(Path(), "tflite", "float32", (), (), (), "0" * 64)


@pytest.fixture
def server() -> Iterator[PageServer]:
    with PageServer(Hub(grace_seconds=0.1)) as found:
        yield found


def post(server: PageServer, path: str, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", int(server.url.split(":")[2].split("/")[0]), timeout=10)
    try:
        connection.request("POST", path, body)
        return connection.getresponse().status
    finally:
        connection.close()


def test_outputs_are_taken_where_a_request_waits_for_them(server: PageServer) -> None:
    server.outputs[5] = {}
    assert post(server, f"{server.root}data/5/0.npy", b"abc") == 204
    for name in ("0.npy", "1.npz", "x.npy", "../0.npy", "0.npy/0.npy", ".npy", ""):
        assert post(server, f"{server.root}data/5/{name}", b"abc") in (400, 404)
    assert server.outputs == {5: {"0.npy": b"abc"}}


def test_all_outputs_of_a_run_have_one_bound(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "MAX_RUN_BYTES", 5)
    server.outputs.update({5: {}, 6: {}})
    sent = [("5/0.npy", b"abc"), ("5/1.npy", b"abc"), ("5/2.npy", b"ab"), ("5/3.npy", b"a"), ("6/0.npy", b"abcde")]
    assert [post(server, f"{server.root}data/{path}", body) for path, body in sent] == [204, 400, 204, 400, 204]
    assert server.outputs == {5: {"0.npy": b"abc", "2.npy": b"ab"}, 6: {"0.npy": b"abcde"}}


def test_what_was_fetched_is_no_longer_kept(server: PageServer) -> None:
    written = io.BytesIO()
    np.save(written, np.ones((1, 2), np.float32))
    files = PageFiles(server, ARTIFACT)
    folder = files.make_folder()
    assert post(server, f"{folder}/0.npy", written.getvalue()) == 204
    np.testing.assert_array_equal(np.load(files.fetch(folder) / "0.npy"), np.ones((1, 2)))
    assert server.outputs == {}
    assert post(server, f"{folder}/1.npy", written.getvalue()) == 400
    files.close()


def test_outputs_are_what_their_header_says() -> None:
    def npy(array: np.ndarray) -> bytes:
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    for shape in ((2, 3), (4,), (0, 2), (1, 1, 1, 5)):
        worker._check_npy(npy(np.zeros(shape, np.float32)))
    good = npy(np.zeros((1, 1), np.float32))
    for content in (
        b"",
        b"\x93NUMPY\x01\x00\xff\xff",
        good[:-1],
        good + b"x",
        good.replace(b"(1, 1), }  ", b"(1, 999), }"),
        good.replace(b"(1, 1)", b"(1,-1)"),
        good.replace(b"(1, 1)", b"(9**9)"),
        good.replace(b"<f4", b"|O8"),
        good.replace(b"False", b"True "),
        npy(np.array(["a"])),
    ):
        with pytest.raises(ChildError):
            worker._check_npy(content)
