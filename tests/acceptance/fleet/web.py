"""What nginx's access log says of each device."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.nginx import Nginx

#: Kind of a request -> what its path looks like.
_KINDS = {
    "root probe": r"metadata/\d+\.root\.json",
    "timestamp": r"metadata/timestamp\.json",
    "snapshot": r"metadata/\d+\.snapshot\.json",
    "targets": r"metadata/\d+\.targets\.json",
    "rollout": r"metadata/\d+\.rollout\.json|targets/rollout/.*",
    "policy": r"targets/models/.*\.policy\.json",
    "manifest": r"targets/models/.*\.manifest\.json",
    "patch": r"targets/models/.*\.esd",
    "whole model": r"targets/models/.*\.model\.tflite(\.br|\.zst)?",
    "golden samples": r"targets/models/.*\.npy(\.br|\.zst)?",
}
KINDS = tuple(_KINDS)
_PATH = re.compile(r"/device/(\d+)/(.*)")
_FORMAT = "log_format counted '$request_uri $status $body_bytes_sent $bytes_sent $request_length $http_range';"


@dataclass(frozen=True)
class Line:
    """One request in the log.

    Attributes:
        device: whose.
        kind: of `KINDS`.
        status: of the answer.
        body_bytes: of the content that was sent.
        sent_bytes: with the answer's header.
        received_bytes: of the request.
        resumed: whether it asked for the rest of a file.
    """

    device: int
    kind: str
    status: int
    body_bytes: int
    sent_bytes: int
    received_bytes: int
    resumed: bool


def kind(path: str) -> str:
    """What a request is for; `path` without the part that names the device."""
    return next(name for name, form in _KINDS.items() if re.fullmatch(form, path))


class Web(Nginx):
    """An nginx that serves a repository to each device under `/device/<n>/`, by which its log tells them apart."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self._log = folder / "access.log"
        super().__init__(
            folder,
            repository,
            http=f"{_FORMAT} access_log {self._log} counted;",
            server="rewrite ^/device/\\d+(/.*)$ $1;",
        )

    def lines(self) -> Iterator[Line]:
        """Every request so far."""
        with self._log.open(encoding="utf-8") as file:
            for text in file:
                yield _line(text)


def _line(text: str) -> Line:
    uri, status, body, sent, received, ranged = text.split()
    found = _PATH.fullmatch(uri)
    assert found is not None, uri
    return Line(int(found[1]), kind(found[2]), int(status), int(body), int(sent), int(received), ranged != "-")
