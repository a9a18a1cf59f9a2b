"""Rollouts and policies: what operators may do, and what devices then choose."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from publishing import LINE, Client, Site, other_labels, publish

from edgeship.errors import InputError, RepositoryError
from edgeship.publish import overview, policies, rollout, verifying
from edgeship.publish.rollout import Shares
from edgeship.releases import choice, documents
from edgeship.releases.documents import Constraints, Policy, Rollout
from edgeship.releases.names import line, rollout_path, version

NOW = datetime(2026, 11, 21, tzinfo=UTC)


@pytest.fixture
def three(site: Site) -> Site:
    """With the releases 1.0.0 (stable), 1.1.0 and 1.2.0."""
    site.publish(2)
    site.publish(3)
    return site


def start(site: Site, *, channels: dict[str, str | None] | None = None, **arms: float) -> Rollout:
    shares = {text.replace("_", ".").removeprefix("v"): percent for text, percent in arms.items()}
    return rollout.start(site.repository, LINE, Shares(shares, channels or {}), Constraints()).rollout


def chosen(client: Client, channel: str | None = None) -> list[str]:
    """What each of 1,000 devices wants."""
    document = documents.rollout(json.dumps(client.rollout()).encode(), LINE)
    found = client.read("models/points/v1/policy.json")
    allowed = documents.policy(found, LINE) if found is not None else documents.no_policy(LINE)
    members = [choice.Member(f"{n:032x}", ("tflite-float32",), channel) for n in range(1000)]
    wishes = [choice.wish(document, allowed, member, NOW).versions for member in members]
    return [str(wish[0]) if wish else "" for wish in wishes]


def test_a_rollout_grows_and_keeps_its_devices(three: Site, client: Client) -> None:
    start(three, v1_1_0=1)
    before = chosen(client)
    assert 0 < before.count("1.1.0") < 30
    rollout.set_percent(three.repository, LINE, 25)
    after = chosen(client)
    assert 200 < after.count("1.1.0") < 300
    assert all(new == "1.1.0" for old, new in zip(before, after, strict=True) if old == "1.1.0")


def test_each_rollout_draws_anew(three: Site, client: Client) -> None:
    first = start(three, v1_1_0=50)
    one = chosen(client)
    rollout.halt(three.repository, LINE)
    second = start(three, v1_2_0=50)
    assert first.rollout != second.rollout
    both = [a != "1.0.0" and b != "1.0.0" for a, b in zip(one, chosen(client), strict=True)]
    assert 200 < sum(both) < 300


def test_a_halt_takes_all_back_and_a_resume_the_same_ones_forth(three: Site, client: Client) -> None:
    start(three, v1_1_0=20)
    before = chosen(client)
    assert rollout.halt(three.repository, LINE).rollout.state == "halted"
    assert set(chosen(client)) == {"1.0.0"}
    rollout.resume(three.repository, LINE)
    assert chosen(client) == before


def test_a_finished_release_is_for_all(three: Site, client: Client) -> None:
    start(three, v1_1_0=20, channels={"canary": "1.1.0", "nightly": "1.2.0"})
    with pytest.raises(InputError, match="has reached 20 % of all devices"):
        rollout.finish(three.repository, LINE)
    rollout.set_percent(three.repository, LINE, 100)
    done = rollout.finish(three.repository, LINE).rollout
    assert (done.stable, done.arms, done.channels) == ("1.1.0", (), {"nightly": "1.2.0"})
    assert set(chosen(client)) == {"1.1.0"}
    assert set(chosen(client, "nightly")) == {"1.2.0"}


def test_of_an_a_b_test_one_arm_is_named_the_winner(three: Site, client: Client) -> None:
    start(three, v1_1_0=50, v1_2_0=50)
    assert set(chosen(client)) == {"1.1.0", "1.2.0"}
    with pytest.raises(InputError, match=r"has 2 arms: 1\.1\.0, 1\.2\.0"):
        rollout.finish(three.repository, LINE)
    with pytest.raises(InputError, match="has 2 arms"):
        rollout.set_percent(three.repository, LINE, 10)
    with pytest.raises(InputError, match=r"no arm 1\.0\.0"):
        rollout.finish(three.repository, LINE, "1.0.0")
    assert rollout.finish(three.repository, LINE, "1.2.0").rollout.stable == "1.2.0"


def test_a_channel_alone_gets_a_release(three: Site, client: Client) -> None:
    start(three, channels={"canary": "1.2.0"})
    assert set(chosen(client)) == {"1.0.0"}
    assert set(chosen(client, "canary")) == {"1.2.0"}
    changed = rollout.set_shares(three.repository, LINE, Shares({}, {"canary": None, "beta": "1.1.0"})).rollout
    assert changed.channels == {"beta": "1.1.0"}


def test_a_channel_does_not_get_a_halted_release_back(three: Site, client: Client) -> None:
    start(three, v1_1_0=10, channels={"canary": "1.1.0", "nightly": "1.2.0", "beta": "1.1.0"})
    rollout.halt(three.repository, LINE)
    shares = Shares({"1.2.0": 1}, {"beta": "1.1.0"})  # beta is wanted
    made = rollout.start(three.repository, LINE, shares, Constraints())
    assert made.dropped == {"canary": "1.1.0"}
    assert made.rollout.channels == {"nightly": "1.2.0", "beta": "1.1.0"}
    assert "1.1.0" not in chosen(client, "canary")
    assert set(chosen(client, "beta")) == {"1.1.0"}


def test_a_halted_rollout_of_channels_alone_does_not_come_back(three: Site) -> None:
    start(three, channels={"canary": "1.1.0"})
    rollout.halt(three.repository, LINE)
    assert start(three, v1_2_0=1).channels == {}


def test_channels_keep_a_release_that_was_not_halted(three: Site) -> None:
    start(three, channels={"canary": "1.1.0"})
    made = rollout.start(three.repository, LINE, Shares({"1.2.0": 1}, {}), Constraints())
    assert (made.dropped, made.rollout.channels) == ({}, {"canary": "1.1.0"})


def test_constraints_are_published(three: Site, client: Client) -> None:
    limits = Constraints(("tflite-int8",), "2026-12-01T00:00:00Z")
    rollout.start(three.repository, LINE, Shares({"1.1.0": 100}, {}), limits)
    assert set(chosen(client)) == {"1.0.0"}
    assert client.rollout()["constraints"] == {"variants": ["tflite-int8"], "not_before": "2026-12-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (Shares({"1.9.0": 1}, {}), "1.9.0 is not published"),
        (Shares({"2.0.0": 1}, {}), "2.0.0 is not in the line"),
        (Shares({}, {"canary": "1.9.0"}), "1.9.0 is not published"),
        (Shares({"1.1.0": 100.5}, {}), "cannot have 100.5 %"),
        (Shares({"1.1.0": 0.001}, {}), "cannot have 0.001 %"),
        (Shares({"1.1.0": 60, "1.2.0": 10}, {}), "cannot have 60 %"),
        (Shares({"1.1.0": -1}, {}), "cannot have -1 %"),
        (Shares({"1.1.0": float("nan")}, {}), "cannot have nan %"),
        (Shares({"1.1.0": float("inf")}, {}), "cannot have inf %"),
        (Shares({}, {"no good": "1.1.0"}), "no name of a channel"),
        (Shares({}, {}), "nobody is named"),
    ],
)
def test_a_rollout_that_no_device_would_obey_is_refused(shares: Shares, message: str, three: Site) -> None:
    three.publish(9, edit=other_labels)
    before = three.files()
    with pytest.raises(InputError) as caught:
        rollout.start(three.repository, LINE, shares, Constraints())
    assert message in caught.value.message
    assert three.files() == before


def test_one_rollout_at_a_time(three: Site) -> None:
    start(three, v1_1_0=1)
    with pytest.raises(InputError, match=r"under way: 1\.1\.0 to 1 %"):
        start(three, v1_2_0=1)


def test_arms_shrink_only_by_force(three: Site) -> None:
    start(three, v1_1_0=10)
    with pytest.raises(InputError, match="would shrink from 10 to 5 %"):
        rollout.set_percent(three.repository, LINE, 5)
    assert rollout.set_percent(three.repository, LINE, 5, force=True).rollout.arms[0].percent == 5
    with pytest.raises(InputError, match=r"has no arm 1\.2\.0"):
        rollout.set_shares(three.repository, LINE, Shares({"1.2.0": 50}, {}))


@pytest.mark.parametrize(
    "do", [rollout.halt, rollout.resume, rollout.finish, lambda r, of: rollout.set_percent(r, of, 1)]
)
def test_a_line_that_is_not_published_is_said(do: Callable[..., Any], three: Site) -> None:
    with pytest.raises(InputError, match="other/v1 is not published") as caught:
        do(three.repository, line("other/v1"))
    assert "points/v1" in caught.value.remedy


def test_a_halted_rollout_is_not_finished(three: Site) -> None:
    start(three, v1_1_0=100)
    rollout.halt(three.repository, LINE)
    with pytest.raises(InputError, match="is halted"):
        rollout.finish(three.repository, LINE)


def test_a_revoked_release_goes_to_nobody(three: Site, client: Client) -> None:
    start(three, v1_1_0=50)
    made = policies.revoke(three.repository, LINE, ["1.1.0"])
    assert (made.policy.revoked, made.still_named) == (("1.1.0",), ("1.1.0",))
    assert made.change.signed == ("targets", "snapshot", "timestamp")
    assert set(chosen(client)) == {"1.0.0"}
    with pytest.raises(InputError, match=r"1\.1\.0 is revoked"):
        rollout.set_percent(three.repository, LINE, 60)
    rollout.halt(three.repository, LINE)
    assert policies.revoke(three.repository, LINE, ["1.1.0"], undo=True).policy.revoked == ()
    rollout.resume(three.repository, LINE)
    assert set(chosen(client)) == {"1.0.0", "1.1.0"}


def test_a_bad_release_can_be_halted_though_it_is_revoked(three: Site, client: Client) -> None:
    start(three, v1_1_0=50)
    policies.revoke(three.repository, LINE, ["1.1.0"])
    assert rollout.halt(three.repository, LINE).rollout.state == "halted"
    assert start(three, v1_2_0=5).rollout.startswith("1.2.0@")


def test_no_device_goes_below_the_floor(three: Site, client: Client) -> None:
    with pytest.raises(InputError, match=r"floor 1\.1\.0 is above the stable release 1\.0\.0"):
        policies.set_floor(three.repository, LINE, "1.1.0")
    start(three, v1_1_0=100)
    rollout.finish(three.repository, LINE)
    assert policies.set_floor(three.repository, LINE, "1.1.0").still_named == ()
    with pytest.raises(InputError, match=r"1\.0\.0 is below the floor 1\.1\.0"):
        start(three, v1_0_0=1)


def signed(site: Site) -> set[str]:
    """What every device downloads the list of."""
    return set(site.repository.published().targets.signed.targets)


def test_what_is_below_the_floor_is_signed_no_more(three: Site, client: Client) -> None:
    before = signed(three)
    assert policies.retire(three.repository, LINE).change.signed == ()
    start(three, v1_2_0=100)
    rollout.finish(three.repository, LINE)
    policies.set_floor(three.repository, LINE, "1.2.0")
    start_of = tuple(f"models/points/v1/{text}/" for text in ("1.0.0", "1.1.0"))
    files = three.files()
    made = policies.retire(three.repository, LINE)
    assert made.releases == ("1.0.0", "1.1.0")
    gone = {path for path in before if path.startswith(start_of)}
    patches = {path for path in made.paths if "/patches/" in path}
    assert len(gone) >= 4
    assert set(made.paths) == gone | patches
    assert signed(three) == (before | {"models/points/v1/policy.json"}) - set(made.paths)
    assert made.left == len(signed(three))
    assert set(files) <= set(three.files()), "the files stay"
    assert set(chosen(client)) == {"1.2.0"}
    assert not policies.retire(three.repository, LINE).change.signed
    assert verifying.verify(three.repository).whole
    # What a device with a retired release comes from has its patch still, and publishing goes on.
    assert any(path.startswith("models/points/v1/patches/") for path in signed(three))
    assert three.publish(4).version == "1.3.0"
    with pytest.raises(InputError, match=r"points 1\.1\.0 is below the floor 1\.2\.0"):
        three.publish(9, "1.1.0")


def test_what_a_rollout_names_stays_signed(three: Site) -> None:
    """A floor may have been raised above an arm that still runs."""
    start(three, v1_2_0=100)
    rollout.finish(three.repository, LINE)
    start(three, channels={"old": "1.1.0"}, v1_0_0=1)
    policies.set_floor(three.repository, LINE, "1.2.0")
    made = policies.retire(three.repository, LINE)
    assert made.releases == ()
    assert made.paths == ()


def test_other_lines_stay_as_they_are(three: Site) -> None:
    other = three.bundle(5, edit=other_labels)
    publish(three.repository, [other], version=version("2.0.0"))
    start(three, v1_2_0=100)
    rollout.finish(three.repository, LINE)
    policies.set_floor(three.repository, LINE, "1.2.0")
    assert all(path.startswith("models/points/v1/") for path in policies.retire(three.repository, LINE).paths)
    assert overview.status(three.repository, line("points/v2")).lines[0].releases[0].version == "2.0.0"


def test_what_is_not_there_cannot_be_revoked(three: Site) -> None:
    with pytest.raises(InputError, match=r"1\.9\.0 is not published"):
        policies.revoke(three.repository, LINE, ["1.9.0"])
    with pytest.raises(InputError, match=r"1\.1\.0 is not revoked"):
        policies.revoke(three.repository, LINE, ["1.1.0"], undo=True)
    with pytest.raises(InputError, match="is not in the line"):
        policies.set_policy(three.repository, Policy("points", 1, "2.0.0"))


def test_the_status_says_who_gets_what_and_until_when(three: Site) -> None:
    start(three, v1_1_0=10, channels={"canary": "1.2.0"})
    policies.revoke(three.repository, LINE, ["1.2.0"])
    found = overview.status(three.repository)
    (only,) = found.lines
    assert [(row.version, row.says) for row in only.releases] == [
        ("1.2.0", ("channel canary", "revoked")),
        ("1.1.0", ("arm 10 %",)),
        ("1.0.0", ("stable",)),
    ]
    assert set(only.releases[0].patches) == {"1.0.0", "1.1.0"}
    for row in only.releases:
        names = [path for path in three.files() if f"/{row.version}/" in path]
        assert row.wire_bytes == sum(len(three.files()[path]) for path in names)
        assert all(size < row.wire_bytes for size in row.patches.values())
    assert set(found.expires) == {"root", "targets", "snapshot", "timestamp", "rollout"}
    assert (found.expired, found.overdue) == ((), ())
    three.later = timedelta(hours=13)
    found = overview.status(three.repository)
    assert (found.expired, found.overdue) == ((), ("timestamp",))
    three.later = timedelta(days=8)
    found = overview.status(three.repository)
    assert found.expired == found.overdue == ("snapshot", "timestamp", "rollout")
    three.later = timedelta(days=170)
    assert overview.status(three.repository).overdue[:1] == ("targets",)


def test_the_status_of_one_line(three: Site) -> None:
    three.publish(9, edit=other_labels)
    assert [each.line for each in overview.status(three.repository).lines] == ["points/v1", "points/v2"]
    assert [each.line for each in overview.status(three.repository, line("points/v2")).lines] == ["points/v2"]
    assert version("2.0.0") == version(overview.status(three.repository, line("points/v2")).lines[0].rollout.stable)


def test_a_rollout_larger_than_devices_read_is_not_read_either(three: Site) -> None:
    three.repository.change(lambda draft: draft.put_online(rollout_path(LINE), b" " * 70_000))
    with pytest.raises(RepositoryError, match="has 70,000 bytes, 65,536 are allowed"):
        rollout.halt(three.repository, LINE)


def test_a_rollout_that_names_what_is_not_there_stops_no_publisher(three: Site) -> None:
    """Who stole the online keys can write that; a publisher must still be able to answer."""
    document = Rollout("points", 1, "stolen", "1.9.0")
    three.repository.change(lambda draft: draft.put_online(rollout_path(LINE), documents.written(document)))
    assert three.publish(4).version == "1.3.0"
    assert policies.revoke(three.repository, LINE, ["1.1.0"]).policy.revoked == ("1.1.0",)
    assert overview.status(three.repository).lines[0].rollout.stable == "1.9.0"
    assert start(three, v1_3_0=1).stable == "1.9.0"
