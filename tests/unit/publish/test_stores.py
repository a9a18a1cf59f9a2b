"""One contract for every place that a repository can lie in; S3 is asked over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from publishing import Site, publish

from edgeship.errors import InputError, OutputError, RepositoryError, RepositoryUnavailable
from edgeship.publish.repository import Repository
from edgeship.publish.stores import TIMESTAMP, FolderStore, Store, Stored, open_store, target_path
from edgeship.publish.verifying import verify


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    """The address of a server that speaks S3."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(s3: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A client of that server, with credentials in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    made = boto3.client("s3", endpoint_url=s3)
    yield made
    made.close()


@pytest.fixture
def bucket(aws: Any, tmp_path: Path) -> str:
    name = f"bucket-{abs(hash(tmp_path))}"
    aws.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return open_store(str(tmp_path / "store"))
    bucket = request.getfixturevalue("bucket")
    return open_store(f"s3://{bucket}/some/prefix", endpoint_url=request.getfixturevalue("s3"))


def test_what_was_written_is_read(store: Store) -> None:
    assert store.read("metadata/1.root.json", 10) is None
    assert store.create("metadata/1.root.json", b"one")
    found = store.read("metadata/1.root.json", 10)
    assert found is not None
    assert found.content == b"one"


def test_a_file_is_created_once(store: Store) -> None:
    assert store.create("metadata/a", b"one")
    assert not store.create("metadata/a", b"two")
    found = store.read("metadata/a", 10)
    assert found is not None
    assert found.content == b"one"


def test_a_file_is_replaced_only_while_it_is_the_one_that_was_read(store: Store) -> None:
    store.create("metadata/a", b"one")
    first = store.read("metadata/a", 10)
    assert first is not None
    assert store.replace("metadata/a", b"two", first.tag)
    assert not store.replace("metadata/a", b"three", first.tag)
    second = store.read("metadata/a", 10)
    assert second is not None
    assert second.content == b"two"
    assert second.tag != first.tag
    assert not store.replace("metadata/never", b"one", first.tag)


def test_a_file_larger_than_allowed_is_refused(store: Store) -> None:
    store.create("metadata/a", b"x" * 11)
    with pytest.raises(RepositoryError, match="larger than 10 bytes"):
        store.read("metadata/a", 10)


def test_of_many_who_create_at_once_one_does(store: Store) -> None:
    ready, won = threading.Barrier(6), []

    def create(number: int) -> None:
        ready.wait()
        if store.create("metadata/a", b"%d" % number):
            won.append(number)

    threads = [threading.Thread(target=create, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.read("metadata/a", 10)
    assert found is not None
    assert [found.content] == [b"%d" % n for n in won]


def test_a_repository_in_a_store_is_published_and_read_again(store: Store, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    repository = Repository(store, site.keys)
    made = publish(repository, [site.bundle(1)])
    assert made.change.signed == ("rollout", "targets", "snapshot", "timestamp")
    assert publish(repository, [site.bundle(1)]).change.signed == ()
    assert repository.read().targets.signed.version == 1


def test_a_damaged_file_in_a_store_is_found(store: Store, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    repository = Repository(store, site.keys)
    publish(repository, [site.bundle(1)])
    assert verify(repository).whole
    path = target_path(next(iter(repository.read().targets.signed.targets.values())))
    found = store.read(path, 1 << 20)
    assert found is not None
    store.replace(path, found.content[::-1], found.tag)
    assert (verify(repository).missing, verify(repository).damaged) == ((), (path,))


def test_files_in_a_bucket_have_the_headers_that_clients_need(aws: Any, bucket: str, s3: str, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    store = open_store(f"s3://{bucket}?endpoint_url={s3}")
    publish(Repository(store, site.keys), [site.bundle(1)])
    found = {each["Key"]: aws.head_object(Bucket=bucket, Key=each["Key"]) for each in _objects(aws, bucket)}
    assert "metadata/1.root.json" in found
    for key, head in found.items():
        life = "public, max-age=60" if key == "metadata/timestamp.json" else "public, max-age=31536000, immutable"
        kind = "application/json" if key.endswith(".json") else "application/octet-stream"
        assert (head["CacheControl"], head["ContentType"]) == (life, kind), key
        assert "ContentEncoding" not in head


class Heedless:
    """A store in front of another one, which writes whatever the condition is."""

    def __init__(self, behind: Store, create: bool, replace: bool) -> None:
        self.behind, self.address, self.identity = behind, behind.address, behind.identity
        self._create, self._replace = create, replace

    def read(self, path: str, limit_bytes: int) -> Stored | None:
        return self.behind.read(path, limit_bytes)

    def create(self, path: str, content: bytes) -> bool:
        return self.behind.create(path, content) or (self._create and self._write(path, content))

    def replace(self, path: str, content: bytes, tag: str) -> bool:
        return self.behind.replace(path, content, tag) or (self._replace and self._write(path, content))

    def _write(self, path: str, content: bytes) -> bool:
        found = self.behind.read(path, 1 << 20)
        assert found is not None
        return self.behind.replace(path, content, found.tag)


@pytest.mark.parametrize(("create", "replace"), [(True, False), (False, True), (True, True)])
def test_a_store_that_heeds_no_conditions_is_refused(store: Store, create: bool, replace: bool, tmp_path: Path) -> None:
    """Two publishers would both be told that they were the first."""
    site = Site(tmp_path / "site")
    heedless = Heedless(store, create, replace)
    with pytest.raises(RepositoryError, match="does not know conditional writes") as caught:
        publish(Repository(heedless, site.keys), [site.bundle(1)])
    assert "If-None-Match" in caught.value.remedy
    assert store.read(TIMESTAMP, 1 << 20) is None
    publish(Repository(store, site.keys), [site.bundle(1)])
    before = store.read(TIMESTAMP, 1 << 20)
    with pytest.raises(RepositoryError, match="does not know conditional writes"):
        Repository(heedless, site.keys).refresh()
    assert store.read(TIMESTAMP, 1 << 20) == before


def test_a_store_that_contradicts_itself_is_not_asked_forever(site: Site) -> None:
    class Contrary(FolderStore):
        def create(self, path: str, content: bytes) -> bool:
            return not path.startswith("targets/") and super().create(path, content)

    with pytest.raises(RepositoryUnavailable, match="10 times the store said"):
        publish(site.with_keys(site.keys, Contrary(site.folder / "repo")), [site.bundle(2)])


def _objects(aws: Any, bucket: str) -> list[dict[str, Any]]:
    return list(aws.list_objects_v2(Bucket=bucket)["Contents"])


def test_a_bucket_that_is_not_there_is_said(aws: Any, s3: str) -> None:
    with pytest.raises(RepositoryUnavailable, match="NoSuchBucket"):
        open_store("s3://never-made", endpoint_url=s3).read("metadata/timestamp.json", 10)


def test_a_server_that_does_not_answer_is_said(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store("s3://bucket", endpoint_url="http://127.0.0.1:9")
    with pytest.raises(RepositoryUnavailable, match="Could not connect"):
        store.create("metadata/a", b"one")


@pytest.mark.parametrize("address", ["http://models/x", "s3://", "s3://bucket?region=x"])
def test_an_address_that_is_no_store_is_refused(address: str) -> None:
    with pytest.raises(InputError):
        open_store(address)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError):
        FolderStore(tmp_path / "file").create("metadata/a", b"one")


def test_nothing_unfinished_lies_in_a_folder(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.create("metadata/a", b"one")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == [".lock", "a"]
