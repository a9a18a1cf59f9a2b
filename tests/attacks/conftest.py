"""What attacks share: a repository and devices, made once."""

from __future__ import annotations

import pytest

from .world import Origin, make_origin


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return make_origin(tmp_path_factory.mktemp("origin"))
