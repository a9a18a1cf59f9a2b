"""Metadata: what is signed when, in which order it appears, and that nothing is built on what was not verified."""

from __future__ import annotations

import json
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from publishing import LINE, Client, Dying, Killed, Raced, Site, publish
from tests.device_repository import Server
from tuf.api.exceptions import ExpiredMetadataError

from edgeship.errors import RepositoryError
from edgeship.publish import keys, memory, overview
from edgeship.publish.repository import overdue
from edgeship.publish.stores import TIMESTAMP, FolderStore
from edgeship.releases.names import policy_path


def test_metadata_live_as_long_as_the_specification_says(site: Site) -> None:
    now, found = datetime.now(UTC), site.repository.read()
    lives = {
        "root": found.root, "targets": found.targets, "snapshot": found.snapshot, "timestamp": found.timestamp,
        "rollout": found.rollout,
    }  # fmt: skip
    days = {role: (metadata.signed.expires - now) / timedelta(days=1) for role, metadata in lives.items()}
    wanted = {"root": 365, "targets": 180, "snapshot": 7, "timestamp": 1, "rollout": 7}
    assert days == pytest.approx(wanted, abs=0.01)


def test_the_online_role_may_only_sign_rollouts(site: Site) -> None:
    delegations = site.repository.read().targets.signed.delegations
    assert delegations is not None
    assert delegations.roles is not None
    (role,) = delegations.roles.values()
    assert (role.name, role.terminating, role.paths, role.threshold) == ("rollout", True, ["rollout/*/*.json"], 1)


def test_every_target_lies_under_the_name_of_its_content(site: Site, client: Client) -> None:
    found = site.repository.read()
    paths = [*found.targets.signed.targets, *found.rollout.signed.targets]
    assert len(paths) == 5
    for path in paths:
        assert client.read(path) is not None
    assert {name.split("/")[0] for name in site.files()} == {".lock", "metadata", "targets"}
    assert all(re.fullmatch(r"[0-9a-f]{64}\..+", Path(n).name) for n in site.files() if n.startswith("targets/"))


def test_files_come_before_what_names_them_and_the_timestamp_last(site: Site) -> None:
    written: list[str] = []

    class Watched(FolderStore):
        def create(self, path: str, content: bytes) -> bool:
            done = super().create(path, content)
            written.extend([path] if done else [])
            return done

        def replace(self, path: str, content: bytes, tag: str) -> bool:
            done = super().replace(path, content, tag)
            written.extend([path] if done else [])
            return done

    publish(site.with_keys(site.keys, Watched(site.folder / "repo")), [site.bundle(2)])
    assert all(path.startswith("targets/") for path in written[:-3])
    assert len(written) > 6
    assert written[-3:] == ["metadata/2.targets.json", "metadata/2.snapshot.json", TIMESTAMP]


def test_a_publisher_may_die_before_any_write(site: Site, client: Client) -> None:
    place, manifest = site.bundle(2), f"models/{LINE}/1.1.0/tflite-float32/manifest.json"
    before, pristine = client.rollout(), site.copy()
    for writes in range(100):
        try:
            publish(site.with_keys(site.keys, Dying(site.folder / "repo", writes)), [place])
        except Killed:
            assert client.rollout() == before
            assert client.read(manifest) is None
        else:
            break
        assert publish(site.repository, [place]).version == "1.1.0"
        assert client.read(manifest) is not None
        site.restore(pristine)
        client = Client(site.folder / f"client-{writes}", client.url, site.keys.root)
    assert client.read(manifest) is not None
    assert writes > 6


def test_what_a_dead_publisher_left_is_in_nobodys_way(site: Site, client: Client) -> None:
    """Metadata under the next numbers, never referred to, and half of the files."""
    with pytest.raises(Killed):
        publish(site.with_keys(site.keys, Dying(site.folder / "repo", 8)), [site.bundle(2)])
    assert "metadata/2.snapshot.json" in site.files() or "metadata/2.targets.json" in site.files()
    assert site.publish(3).version == "1.1.0"
    found = site.repository.read()
    assert found.targets.signed.version == 3
    for path in found.targets.signed.targets:
        assert client.read(path) is not None


def test_the_first_publishing_may_die_before_any_write(tmp_path: Path) -> None:
    from tests.device_repository import served

    for writes in range(9):
        site = Site(tmp_path / str(writes))
        place = site.bundle(1)
        with pytest.raises(Killed):
            publish(site.with_keys(site.keys, Dying(site.folder / "repo", writes)), [place])
        publish(site.repository, [place])
        with served(site.folder / "repo") as server:
            assert Client(site.folder / "client", server.url, site.keys.root).rollout()["stable"] == "1.0.0"


def test_two_publishers_at_a_time_lose_nothing(site: Site, client: Client) -> None:
    mine, theirs = site.bundle(2), site.bundle(3)
    other = [lambda: publish(site.repository, [theirs])]
    made = publish(site.with_keys(site.keys, Raced(site.folder / "repo", TIMESTAMP, other)), [mine])
    assert (made.version, made.change.attempts) == ("1.2.0", 2)
    found = site.repository.read().targets.signed.targets
    assert {path.split("/")[3] for path in found if path.endswith("manifest.json")} == {"1.0.0", "1.1.0", "1.2.0"}
    assert client.read(f"models/{LINE}/1.1.0/tflite-float32/manifest.json") is not None
    assert client.read(f"models/{LINE}/1.2.0/tflite-float32/manifest.json") is not None


def test_others_who_publish_without_pause_are_said(site: Site) -> None:
    others = [site.repository.refresh] * 20
    raced = site.with_keys(site.keys, Raced(site.folder / "repo", TIMESTAMP, list(others)))
    with pytest.raises(RepositoryError, match=r"others published to .* 10 times"):
        publish(raced, [site.bundle(2)])


def test_a_publisher_whose_answer_was_lost_has_published(site: Site) -> None:
    """The store's client asks again then, and is told that the file is not the one that was read."""

    class Forgetful(FolderStore):
        def replace(self, path: str, content: bytes, tag: str) -> bool:
            super().replace(path, content, tag)
            return False

    change = site.with_keys(site.keys, Forgetful(site.folder / "repo")).refresh()
    assert change.attempts == 1
    assert site.repository.read().timestamp.signed.version == 2


def test_a_slower_publisher_does_not_forget_what_was_seen(site: Site) -> None:
    older = site.repository.read()
    site.repository.refresh()
    newest = memory.recall(site.keys.folders, site.store.identity)
    memory.remember(site.keys.folders, site.store.identity, older)
    assert memory.recall(site.keys.folders, site.store.identity) == newest


def test_expired_metadata_are_renewed_with_the_online_keys(site: Site, client: Client) -> None:
    site.later = timedelta(days=-30)
    site.repository.refresh()
    with pytest.raises(ExpiredMetadataError):
        client.updater()
    site.later = timedelta()
    assert site.repository.refresh().signed == ("rollout", "snapshot", "timestamp")
    assert client.rollout()["stable"] == "1.0.0"


def test_a_refresh_renews_offline_metadata_past_half_their_life(site: Site, client: Client) -> None:
    site.later = timedelta(days=100)
    assert site.repository.refresh().signed == ("rollout", "targets", "snapshot", "timestamp")
    assert site.repository.read().root.signed.version == 1
    site.later = timedelta(days=200)
    change = site.repository.refresh()
    assert site.repository.read().root.signed.version == 2
    assert overdue(change.expires, datetime.now(UTC) + timedelta(days=200)) == {}
    client.updater()
    assert json.loads((client.folder / "root.json").read_bytes())["signed"]["version"] == 2


def test_a_refresh_leaves_offline_metadata_whose_keys_are_elsewhere(site: Site) -> None:
    for path in [*(site.folder / "keys").glob("targets-*"), *(site.folder / "keys").glob("root-*")]:
        path.unlink()
    site.later = timedelta(days=360)
    change = site.with_keys(keys.load([site.folder / "keys"])).refresh()
    assert change.signed == ("rollout", "snapshot", "timestamp")
    ends = overdue(change.expires, datetime.now(UTC) + site.later)
    assert list(ends) == ["root", "targets"]
    assert ends["targets"] < timedelta()


def test_a_damaged_file_under_the_name_of_a_target_is_put_right(site: Site, client: Client) -> None:
    place = site.bundle(2)
    with pytest.raises(Killed):
        publish(site.with_keys(site.keys, Dying(site.folder / "repo", 4)), [place])
    for path in (site.folder / "repo" / "targets").rglob("1.1.0/**/*.*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:10])
    publish(site.repository, [place])
    for path in site.repository.read().targets.signed.targets:
        assert client.read(path) is not None


def test_an_old_state_that_is_brought_back_is_noticed(site: Site) -> None:
    copy = shutil.copytree(site.folder / "repo", site.folder / "old")
    site.publish(2)
    shutil.rmtree(site.folder / "repo")
    shutil.copytree(copy, site.folder / "repo")
    with pytest.raises(RepositoryError, match="version 1 of targets, and 2 was seen"):
        site.publish(3)
    (site.folder / "keys" / memory.SEEN).unlink()
    assert site.publish(3).version == "1.1.0"


def test_a_repository_that_is_emptied_is_noticed(site: Site) -> None:
    shutil.rmtree(site.folder / "repo")
    with pytest.raises(RepositoryError, match="version 0 of root, and 1 was seen"):
        site.publish(2)


def test_a_change_that_changes_nothing_signs_nothing(site: Site) -> None:
    before = site.files()
    assert site.repository.change(lambda _: None).signed == ()
    content = b'{"same": true}'
    assert site.repository.change(lambda draft: draft.put(policy_path(LINE), content)).signed[0] == "targets"
    assert site.repository.change(lambda draft: draft.put(policy_path(LINE), content)).signed == ()
    assert before.items() <= {**site.files(), TIMESTAMP: before[TIMESTAMP]}.items()


def test_metadata_larger_than_clients_take_are_not_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeship.publish import trust

    before = site.files()
    monkeypatch.setitem(trust.LIMITS, "targets", len(before["metadata/1.targets.json"]) + 10)
    with pytest.raises(RepositoryError, match="metadata of targets would have"):
        site.publish(2)
    assert site.files()[TIMESTAMP] == before[TIMESTAMP]


def test_the_first_root_of_a_new_repository_is_the_newest_of_its_keys(site: Site, tmp_path: Path) -> None:
    from tests.device_repository import served

    from edgeship.publish.rotation import rotate

    after, _ = rotate(site.repository, "timestamp")
    place = tmp_path / "second"
    publish(site.with_keys(after.keys, FolderStore(place)), [site.bundle(1)])
    assert (place / "metadata" / "2.root.json").is_file()
    with served(place) as server:
        assert Client(tmp_path / "other", server.url, after.keys.root).rollout()["stable"] == "1.0.0"


def test_a_client_of_another_key_refuses_it(server: Server, tmp_path: Path) -> None:
    from tuf.api.exceptions import UnsignedMetadataError

    other = Site(tmp_path / "other")
    with pytest.raises(UnsignedMetadataError):
        Client(tmp_path / "fooled", server.url, other.keys.root).updater()


def test_what_is_no_repository_yet_is_neither_refreshed_nor_shown(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with pytest.raises(RepositoryError, match="is no repository yet"):
        site.repository.refresh()
    with pytest.raises(RepositoryError, match="is no repository yet"):
        overview.status(site.repository)
    assert not (tmp_path / "repo").exists() or not site.files()
