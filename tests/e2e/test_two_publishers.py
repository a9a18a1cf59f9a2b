"""Publishers at the same time, as processes of their own, in a folder and in a bucket: nothing of any is lost."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from edgeship.publish import keymaking, keys, overview
from edgeship.publish.repository import Repository
from edgeship.publish.stores import open_store
from tests.device_repository import bundle

from .conftest import Script


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket in a server that speaks S3; credentials are in the environment."""
    given = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket="models")
    client.close()
    yield f"s3://models/updates?endpoint_url={url}"
    server.stop()


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_each_of_four_publishers_gets_its_release(
    where: str, edgeship: Script, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = str(tmp_path / "updates") if where == "folder" else request.getfixturevalue("s3")
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    keymaking.create(tmp_path / "keys", dev=True)
    started = [
        edgeship.start("publish", bundle(tmp_path / f"b{n}", n), "--repo", address, "--keys", tmp_path / "keys", **aws)
        for n in range(4)
    ]
    try:
        said = [child.communicate(timeout=200) for child in started]
    finally:
        for child in started:
            child.kill()
    assert [child.returncode for child in started] == [0] * 4, said
    found = overview.status(Repository(open_store(address), keys.load([tmp_path / "keys"])))
    assert [row.version for row in found.lines[0].releases] == ["1.3.0", "1.2.0", "1.1.0", "1.0.0"]
    assert found.lines[0].rollout.stable == "1.0.0"
