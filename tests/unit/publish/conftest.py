"""A repository on disk with real keys, and a client of python-tuf that follows it over loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from publishing import Client, Site
from tests.device_repository import Server, served


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The release 1.0.0 of a model is published."""
    made = Site(tmp_path)
    made.publish(1)
    return made


@pytest.fixture
def server(site: Site) -> Iterator[Server]:
    with served(site.folder / "repo") as found:
        yield found


@pytest.fixture
def client(site: Site, server: Server) -> Client:
    """Enrolled with the first root; it has not asked yet."""
    return Client(site.folder / "client", server.url, site.keys.root)
