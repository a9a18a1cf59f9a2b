"""One build and its bundle for all tests; those that spoil something take a copy."""

from __future__ import annotations

import shutil

import pytest
from bundle_builds import make_build

from edgeship.bundle import device_bundle


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    return make_build(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="session")
def pristine(build, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "net"
    return device_bundle(build, out).path


@pytest.fixture
def made(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "bundle")
