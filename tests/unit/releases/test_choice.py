from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgeship.releases.choice import Member, draw, wish
from edgeship.releases.documents import PLACES, Arm, Constraints, Policy, Rollout, no_policy
from edgeship.releases.names import Line, Version
from edgeship.releases.withheld import withheld

LINE = Line("m", 1)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
MEMBERS = [Member(f"{i:032x}", ("tflite-int8",)) for i in range(20_000)]
VECTORS = Path(__file__).parents[2] / "vectors" / "cohorts.json"


def rollout(*arms: tuple[str, float], **changes: object) -> Rollout:
    made = Rollout("m", 1, "r", "1.0.0", arms=tuple(Arm(*arm) for arm in arms))
    return Rollout(**{**vars(made), **changes})


def first(document: Rollout, member: Member, policy: Policy | None = None) -> str:
    return str(wish(document, policy or no_policy(LINE), member, NOW).versions[0])


@pytest.mark.parametrize("percent", [0, 0.5, 10, 50, 100])
def test_a_share_of_the_devices_gets_the_candidate(percent: float) -> None:
    got = sum(first(rollout(("1.1.0", percent)), member) == "1.1.0" for member in MEMBERS)
    expected = len(MEMBERS) * percent / 100
    assert abs(got - expected) <= 5 * (expected * (1 - percent / 100)) ** 0.5


def test_who_has_the_candidate_keeps_it_while_its_share_grows() -> None:
    had: set[str] = set()
    for percent in (1, 5, 20, 50):
        arms = ("1.1.0", percent), ("1.2.0", percent)
        got = {m.install_id for m in MEMBERS if first(rollout(*arms), m) == "1.1.0"}
        assert had <= got
        had = got


def test_arms_never_overlap_and_another_rollout_draws_others() -> None:
    both = rollout(("1.1.0", 50), ("1.2.0", 50))
    assert {first(both, member) for member in MEMBERS} == {"1.1.0", "1.2.0"}
    lucky = [{m.install_id for m in MEMBERS if draw(name, "m", m.install_id) < PLACES // 10} for name in ("r1", "r2")]
    assert len(lucky[0] & lucky[1]) == pytest.approx(len(MEMBERS) / 100, rel=0.3)


def test_halting_takes_the_candidate_from_everyone() -> None:
    document = rollout(("1.1.0", 100), state="halted", channels={"canary": "1.1.0"})
    assert wish(document, no_policy(LINE), Member("0" * 32, (), "canary"), NOW).reason == "halted"
    assert {first(document, member) for member in MEMBERS[:100]} == {"1.0.0"}


def test_a_channel_gets_its_release_whatever_is_drawn() -> None:
    document = rollout(("1.1.0", 0), channels={"canary": "1.2.0"})
    assert first(document, Member("0" * 32, (), "canary")) == "1.2.0"
    assert first(document, Member("0" * 32, (), "beta")) == "1.0.0"
    assert first(document, Member("0" * 32, ())) == "1.0.0"


def test_constraints_keep_arms_and_channels_from_others() -> None:
    document = rollout(("1.1.0", 100), constraints=Constraints(("onnx-int8",)), channels={"canary": "1.1.0"})
    assert first(document, Member("0" * 32, ("tflite-int8",), "canary")) == "1.0.0"
    assert first(document, Member("0" * 32, ("tflite-int8", "onnx-int8"))) == "1.1.0"
    later = rollout(("1.1.0", 100), constraints=Constraints((), "2026-11-21T00:00:00Z"))
    assert wish(later, no_policy(LINE), MEMBERS[0], NOW).reason == "constraints"
    assert str(wish(later, no_policy(LINE), MEMBERS[0], datetime(2026, 11, 21, tzinfo=UTC)).versions[0]) == "1.1.0"


def test_what_the_policy_forbids_is_never_wished_for() -> None:
    document, member = rollout(("1.1.0", 100)), MEMBERS[0]
    assert first(document, member, Policy("m", 1, "1.0.0", ("1.1.0",))) == "1.0.0"
    assert wish(document, Policy("m", 1, "1.1.0"), member, NOW).versions[1:] == ()
    assert wish(document, Policy("m", 1, "1.2.0"), member, NOW).versions == ()


def test_other_languages_draw_the_same() -> None:
    """The vectors that clients in other languages are held to."""
    for case in json.loads(VECTORS.read_text())["draws"]:
        assert draw(case["rollout"], case["model"], case["install_id"]) == case["draw"]


@pytest.mark.parametrize(
    ("changes", "policy", "cause", "why"),
    [
        ({}, None, "draw", "10 % of all devices, and this one was not drawn"),
        ({"state": "halted"}, None, "halted", "halted"),
        ({"arms": ()}, None, "unnamed", "no rollout names it"),
        ({"arms": (), "channels": {"canary": "1.1.0"}}, None, "channel", "it is for the channel canary"),
        ({"channels": {"beta": "1.0.0"}}, None, "channel", "is in the channel beta, which gets 1.0.0"),
        ({"constraints": Constraints(("onnx-int8",))}, None, "constraints", "devices that run onnx-int8"),
        (
            {"constraints": Constraints((), "2027-01-01T00:00:00Z")},
            None,
            "constraints",
            "begins at 2027-01-01T00:00:00Z",
        ),
        ({}, Policy("m", 1, "1.0.0", ("1.1.0",)), "revoked", "revoked"),
        ({}, Policy("m", 1, "1.2.0"), "floor", "below the floor 1.2.0"),
    ],
)
def test_why_a_device_does_not_get_a_release(
    changes: dict[str, object], policy: Policy | None, cause: str, why: str
) -> None:
    document = rollout(("1.1.0", 10), **changes)
    member = next(m for m in MEMBERS if draw("r", "m", m.install_id) >= PLACES // 10)
    member = Member(member.install_id, member.variants, "beta")
    found = withheld(Version(1, 1, 0), document, policy or no_policy(LINE), member, NOW)
    assert found is not None
    assert (found.version, found.cause) == ("1.1.0", cause)
    assert why in found.why


def test_what_stands_in_for_another_release_is_the_stable_one() -> None:
    document = rollout(("1.1.0", 100))
    found = wish(document, Policy("m", 1, "1.0.0", ("1.1.0",)), MEMBERS[0], NOW)
    assert [found.reason_for(version) for version in found.versions] == ["stable"]
    found = wish(document, no_policy(LINE), MEMBERS[0], NOW)
    assert [found.reason_for(version) for version in found.versions] == ["arm", "stable"]
    assert withheld(Version(1, 0, 0), document, no_policy(LINE), MEMBERS[0], NOW) is None
