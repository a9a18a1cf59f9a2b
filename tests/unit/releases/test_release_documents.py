from __future__ import annotations

import json
from typing import Any

import pytest

from edgeship.errors import InputError
from edgeship.releases import documents
from edgeship.releases.names import Line, version

LINE = Line("m", 1)
POLICY = {"schema": "edgeship.policy/1", "model": "m", "major": 1, "floor": "1.2.0", "revoked": ["1.3.1"]}
ROLLOUT = {
    "schema": "edgeship.rollout/1", "model": "m", "major": 1, "rollout": "r-1", "state": "running", "stable": "1.2.0",
    "arms": [{"version": "1.3.0", "percent": 12.5}], "channels": {"canary": "1.3.0"},
    "constraints": {"variants": ["tflite-int8"], "not_before": "2026-11-20T10:00:00Z"},
}  # fmt: skip


def text(document: dict[str, Any], **changes: Any) -> bytes:
    return json.dumps({**document, **changes}).encode()


def test_documents_come_back_as_they_were_written() -> None:
    policy, rollout = documents.policy(text(POLICY), LINE), documents.rollout(text(ROLLOUT), LINE)
    assert documents.policy(documents.written(policy), LINE) == policy
    assert documents.rollout(documents.written(rollout), LINE) == rollout
    assert rollout.versions() == ("1.2.0", "1.3.0")
    assert rollout.arms[0].places == 1250


def test_a_policy_allows_what_is_in_its_line_above_the_floor_and_not_revoked() -> None:
    policy = documents.policy(text(POLICY), LINE)
    allowed = [v for v in ("1.1.9", "1.2.0", "1.3.0", "1.3.1", "1.3.2", "2.0.0", "0.9.0") if policy.allows(version(v))]
    assert allowed == ["1.2.0", "1.3.0", "1.3.2"]
    assert documents.no_policy(LINE).allows(version("1.0.0"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": "edgeship.policy/2"}, "expected a document"),
        ({"model": "other"}, "expected a document"),
        ({"major": 2, "floor": "2.0.0", "revoked": []}, "expected a document"),
        ({"floor": "2.0.0"}, "not in the line"),
        ({"revoked": ["0.1.0"]}, "not in the line"),
        ({"revoked": "1.3.1"}, "not a list"),
        ({"revoked": ["1.3.1"] * 1001}, "1,000 are allowed"),
        ({"more": 1}, "extra"),
    ],
)
def test_a_policy_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        documents.policy(text(POLICY, **changes), LINE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"state": "paused"}, "running or halted"),
        ({"stable": "2.0.0"}, "not in the line"),
        ({"rollout": ""}, "cannot name a rollout"),
        ({"rollout": "a\nb"}, "cannot name a rollout"),
        ({"arms": [{"version": "1.3.0", "percent": 101}]}, "0 to 100 %"),
        ({"arms": [{"version": "1.3.0", "percent": -1}]}, "0 to 100 %"),
        ({"arms": [{"version": "1.3.0", "percent": 0.001}]}, "steps of 0.01"),
        ({"arms": [{"version": "1.3.0", "percent": 51}] * 2}, "0 to 50 %"),
        ({"arms": [{"version": "1.3.0", "percent": 1}] * 9}, "too many"),
        ({"channels": {"Canary!": "1.3.0"}}, "no name of a channel"),
        ({"channels": {"canary": "2.0.0"}}, "not in the line"),
        ({"constraints": {"variants": ["x"], "not_before": None}}, "no variant"),
        ({"constraints": {"variants": [], "not_before": "tomorrow"}}, "no moment"),
        ({"constraints": {"variants": [], "not_before": "2026-1-1T00:00:00Z"}}, "no moment"),
    ],
)
def test_a_rollout_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        documents.rollout(text(ROLLOUT, **changes), LINE)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"{", b"NaN", b" " * 70_000, text(ROLLOUT).replace(b"12.5", b"NaN")]
)
def test_what_is_no_document(content: bytes) -> None:
    for read in (documents.policy, documents.rollout):
        with pytest.raises(InputError):
            read(content, LINE)
