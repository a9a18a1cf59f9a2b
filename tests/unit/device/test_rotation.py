"""New keys of every role, and what thieves of the old ones left behind."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.device_repository import Published, X
from tests.enrolled_device import Device
from tuf.api.metadata import Metadata, MetaFile, Snapshot, Timestamp

from edgeship.device.config import anchor, enrol, read
from edgeship.device.seen import Seen, not_before, read_seen
from edgeship.errors import InputError, RepositoryUnavailable, UpdateRefused
from edgeship.publish.rotation import rotate


@pytest.fixture
def updated(device: Device) -> Device:
    device.update()
    return device


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "rollout"])
def test_a_device_follows_new_keys(updated: Device, published: Published, role: str) -> None:
    published.repository, _ = rotate(published.repository, role)
    assert updated.update().result == "current"
    published.rollout("1.0.0", channels={"canary": "1.0.0"})
    assert updated.update().result == "current"
    with updated.model() as model:
        assert model.predict(X).version == "1.0.0"


def test_a_device_that_was_off_for_many_rotations_follows(updated: Device, published: Published) -> None:
    for role in ("root", "timestamp", "root", "snapshot"):
        published.repository, _ = rotate(published.repository, role)
    assert updated.update().result == "current"
    seen = read_seen(updated.place)
    assert seen is not None
    assert seen.root == 5


def test_enrolling_again_with_a_later_root_of_the_same_repository(updated: Device, published: Published) -> None:
    """Who sets devices up by a script gives the root of today; what a device believes stays what it began with."""
    place = updated.place
    published.repository, _ = rotate(published.repository, "root")
    second = latest_root(published)
    assert not enrol(place, updated.config, second)  # signed by the anchor's keys
    published.repository, _ = rotate(published.repository, "root")
    third = latest_root(published)
    with pytest.raises(InputError, match="by another root"):
        enrol(place, updated.config, third)  # nothing says yet who signed it
    updated.update()
    assert not enrol(place, updated.config, third)
    updated.set(channel="canary")
    assert enrol(place, replace(updated.config, channel="beta"), third)
    assert read(place).channel == "beta"
    assert anchor(place) == published.root != third


def latest_root(published: Published) -> bytes:
    folder = published.folder / "repo/metadata"
    return max(folder.glob("*.root.json"), key=lambda file: int(file.name.partition(".")[0])).read_bytes()


def fast_forward(published: Published) -> None:
    """What a thief of the online keys does: a snapshot that speaks of versions which nobody will reach."""
    folder = published.folder / "repo/metadata"
    timestamp = Metadata[Timestamp].from_file(str(folder / "timestamp.json"))
    number = timestamp.signed.snapshot_meta.version
    snapshot = Metadata[Snapshot].from_file(str(folder / f"{number}.snapshot.json"))
    snapshot.signed.version += 1
    snapshot.signed.meta["targets.json"] = MetaFile(1_000_000)
    timestamp.signed.version += 1
    timestamp.signed.snapshot_meta = MetaFile(number + 1)
    for role, metadata, name in (
        ("snapshot", snapshot, f"{number + 1}.snapshot.json"),
        ("timestamp", timestamp, "timestamp.json"),
    ):
        (_, entry) = published.keys.entries(role)[0]
        signer = published.keys.signer(role, entry.keyid)
        assert signer is not None
        metadata.sign(signer)
        metadata.to_file(str(folder / name))


def test_versions_that_a_thief_set_are_forgotten_with_the_key(updated: Device, published: Published) -> None:
    """Section 5.3.11: the local snapshot goes with the key of the timestamp, else the device would be lost."""
    published.snapshot("before")
    fast_forward(published)
    with pytest.raises(RepositoryUnavailable):
        updated.update()
    local = json.loads((updated.place.tuf / "snapshot.json").read_bytes())
    assert local["signed"]["meta"]["targets.json"]["version"] == 1_000_000
    published.restore("before")
    with pytest.raises(UpdateRefused):
        updated.update()
    published.repository, _ = rotate(published.repository, "timestamp")
    assert updated.update().result == "current"
    with updated.model() as model:
        assert model.predict(X).version == "1.0.0"


def test_what_was_seen_is_no_floor_for_new_keys(updated: Device) -> None:
    seen = read_seen(updated.place)
    assert seen is not None
    thief = Seen(seen.passed, 1, seen.keys, {"timestamp.json": 2**31, "snapshot.json": 2**31})
    with pytest.raises(UpdateRefused):
        not_before(thief, Seen(seen.passed, 2, seen.keys, {"timestamp.json": 1, "snapshot.json": 1}))
    rotated = {**seen.keys, "timestamp": "another", "snapshot": "another"}
    not_before(thief, Seen(seen.passed, 2, rotated, {"timestamp.json": 1, "snapshot.json": 1}))
