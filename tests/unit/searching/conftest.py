"""A PostgreSQL for the tests of a module."""

from __future__ import annotations

import pytest
from tests.postgres import SERVER, Postgres


@pytest.fixture(scope="module")
def postgres():
    """Real, empty, and the module's own: its tests crash it."""
    if SERVER is None:
        pytest.skip("needs PostgreSQL")
    with Postgres() as server:
        yield server
