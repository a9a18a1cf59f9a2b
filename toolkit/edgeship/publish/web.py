"""A repository as devices get it, over HTTP: to be read, never written."""

from __future__ import annotations

from edgeship.device.config import Limits
from edgeship.device.network import Http
from edgeship.errors import InputError, RepositoryError, RepositoryUnavailable
from edgeship.publish.stores import Stored

_MISSING = (403, 404)  # stores that may not be listed say 403


class WebStore:
    """What a web server, or a CDN before it, answers."""

    def __init__(self, address: str) -> None:
        self.address = self.identity = address.rstrip("/")

    def read(self, path: str, limit_bytes: int) -> Stored | None:
        """The file; None: there is none. Raises RepositoryError if it is larger than the limit."""
        with Http(Limits()) as http, http.get(f"{self.address}/{path}", length=limit_bytes) as answer:
            if answer.status in _MISSING:
                return None
            if answer.status != 200:
                raise RepositoryUnavailable(f"{self.address}/{path} answers with status {answer.status}")
            content = bytearray()
            for chunk in answer.chunks:
                content += chunk
                if len(content) > limit_bytes:
                    raise RepositoryError(f"{self.address}/{path} is larger than {limit_bytes:,} bytes")
        return Stored(bytes(content), "")

    def create(self, path: str, content: bytes) -> bool:  # noqa: ARG002 - it is a store's
        """Raises InputError."""
        raise InputError(f"{self.address}/{path} cannot be written", remedy="Over HTTP a repository is only read.")

    def replace(self, path: str, content: bytes, tag: str) -> bool:  # noqa: ARG002 - it is a store's
        """Raises InputError."""
        return self.create(path, content)
