"""Attacks by the network: data without end, data that drips, login pages, redirects; and clocks that are wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from edgeship.device.config import Limits
from tests.device_repository import LINE, NOW, Handler

from .attack import attack
from .world import Thief, World

_PAGE = b"<html><body>Welcome to our network</body></html>"


def _endless(ending: str) -> Callable[[World], None]:
    """More than anybody would send; the connection is closed by the device."""
    return lambda world: world.send(ending, lambda request: request.answer(200, b" " * (8 << 20)))


attack(
    "timestamp without end",
    "exceeding the maximum allowed length of 16384",
    guards=("python-tuf: size of metadata",),
    without="Failed to deserialize JSON",
)(_endless("timestamp.json"))

attack(
    "root without end",
    "exceeding the maximum allowed length of 512000",
    guards=("python-tuf: size of metadata",),
    without="Failed to deserialize JSON",
)(_endless("2.root.json"))

attack(
    "file without end",
    "has more than the .* bytes that were signed",
    guards=("length of files",),
    without="is not the file that was signed",
)(_endless(".manifest.json"))


@attack(
    "document larger than documents are",
    r"bytes, 65,536 are allowed",
    guards=("size of documents",),
    without="not JSON",
    heals="",
)
def large_document(world: World) -> None:
    path = f"rollout/{LINE}.json"
    thief = Thief(world)
    thief.metadata["rollout"].signed.targets[path] = thief.file(path, b" " * 100_000)
    thief.write("rollout")


def _dripping(request: Handler) -> None:
    """The right answer, a byte now and then; it would come to its end."""
    content = (request.server.folder / request.path.lstrip("/")).read_bytes()
    request.send_response(200)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    pause = threading.Event()
    step = 1 + len(content) // 30
    for start in range(0, len(content), step):
        request.wfile.write(content[start : start + step])
        pause.wait(0.05)


def _patience(world: World) -> None:
    world.device.set(limits=Limits(seconds=0.4, bytes_per_second=1 << 30, slowdown=50.0))


def _slow(ending: str) -> Callable[[World], None]:
    def do(world: World) -> None:
        _patience(world)
        world.send(ending, _dripping)

    return do


for _what, _ending in (("timestamp", "timestamp.json"), ("file", ".manifest.json")):
    attack(
        f"{_what} that comes drop by drop",
        "RepositoryUnavailable: .*answers too slowly",
        guards=("deadline",),
        without=r"updated 1\.1\.0",
    )(_slow(_ending))


def _page(kind: str) -> Callable[[World], None]:
    return lambda world: world.send(".json", lambda request: request.answer(200, _PAGE, {"Content-Type": kind}))


attack(
    "login page",
    "RepositoryUnavailable: .*answers with a web page",
    guards=("pages for people", "pages for people under another name"),
    without="UpdateRefused: .*Failed to deserialize JSON",
)(_page("text/html; charset=utf-8"))

attack(
    "login page that says it is JSON",
    "RepositoryUnavailable: .*answers with a web page",
    guards=("pages for people under another name",),
    without="UpdateRefused: .*Failed to deserialize JSON",
)(_page("application/json"))


@attack(
    "redirect to a login page of another host",
    "RepositoryUnavailable: .*answers with a web page",
    guards=("pages for people", "pages for people under another name"),
    without="UpdateRefused: .*Failed to deserialize JSON",
)
def redirected(world: World) -> None:
    elsewhere = world.server.url.replace("127.0.0.1", "localhost") + "/login.html"

    def trick(request: Handler) -> bool:
        if request.path == "/login.html":
            request.answer(200, _PAGE, {"Content-Type": "text/html"})
        else:
            request.answer(302, b"", {"Location": elsewhere})
        return True

    world.server.trick = trick


attack(
    "redirect out of the web",
    r"RepositoryUnavailable: .*leads to file:///etc/passwd",
    guards=("where redirects may lead",),
    without="RepositoryUnavailable: .*cannot be fetched",
)(lambda world: world.send(".json", lambda request: request.answer(302, b"", {"Location": "file:///etc/passwd"})))


@attack(
    "clock at 1970, and a repository that has expired",
    "RepositoryUnavailable: the clock says 1970-01-01",
    guards=("clock that is behind",),
    without=r"updated 1\.1\.0",
)
def in_1970(world: World) -> None:
    world.device.now = datetime(1970, 1, 1, tzinfo=UTC)


@attack(
    "clock that fell back, and a repository that has expired",
    r"RepositoryUnavailable: .*has passed already",
    guards=("clock that is behind",),
    without=r"updated 1\.1\.0",
    heals="",
)
def fell_back(world: World) -> None:
    """The device has seen that it is a month later; what is offered now has expired by then."""
    Thief(world).renew(NOW + timedelta(days=31), "rollout", "snapshot", "timestamp")
    world.device.now = NOW + timedelta(days=30)
    assert world.attempt(check_only=True).startswith("available")
    world.device.now = NOW + timedelta(days=20)


@attack(
    "clock at 2040",
    "UpdateRefused: .*expired",
    guards=("python-tuf: expiry",),
    without=r"updated 1\.1\.0",
)
def in_2040(world: World) -> None:
    world.device.now = datetime(2040, 1, 1, tzinfo=UTC)


@attack(
    "clock that was a day ahead, and is right again",
    r"updated 1\.1\.0",
    guards=("moments are proven by signatures",),
    without="RepositoryUnavailable: .*has passed already",
    serves="1.1.0",
)
def was_ahead(world: World) -> None:
    world.device.now = NOW + timedelta(hours=23)
    assert world.attempt(check_only=True).startswith("available")
    world.device.now = NOW + timedelta(minutes=1)
