"""What a device runs after a check, and what a check costs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tests.device_repository import NOW, Published, Server, X, expected
from tests.enrolled_device import Device

from edgeship.device import durable, probation
from edgeship.device.config import Limits, Probation
from edgeship.errors import InputError, RepositoryUnavailable, UnavailableError, UpdateRefused
from edgeship.releases.documents import Arm, Constraints
from edgeship.releases.moments import text_of
from edgeship.releases.names import rollout_path


def to_all(published: Published, text: str, seed: int, **made: object) -> None:
    """A release that all devices get."""
    published.release(text, seed, **made)
    published.rollout(text)


def test_a_line_that_there_is_not_is_told_from_those_that_there_are(device: Device) -> None:
    device.set(line="points/v7")
    with pytest.raises(UpdateRefused, match="has no rollout of points/v7") as caught:
        device.update()
    assert caught.value.remedy == "It has releases of points/v1: device init with another --line."


def test_a_server_that_is_away_is_told_in_words(device: Device) -> None:
    device.set(repository="http://127.0.0.1:9")
    with pytest.raises(RepositoryUnavailable) as caught:
        device.update()
    assert "cannot be fetched: Failed to establish a new connection: " in caught.value.message


def test_a_release_that_may_not_run_any_more_is_nothing_to_go_back_to(device: Device, published: Published) -> None:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    to_all(published, "1.1.0", 2)
    device.update()
    before = device.status().previous
    assert before is not None
    assert before.version == "1.0.0"
    published.policy("1.0.0", "1.0.0")
    device.update()
    assert device.status().previous is None


def test_the_first_release_is_installed_and_answers(device: Device) -> None:
    outcome = device.update()
    assert (outcome.result, outcome.version, outcome.variant) == ("updated", "1.0.0", "tflite-float32")
    assert outcome.reason == "stable"
    with device.model() as model:
        found = model.predict(X)
    np.testing.assert_allclose(found.outputs["probabilities"], expected(X, 1), atol=1e-5)
    assert len(found.labels) == len(X)
    assert found.version == "1.0.0"


def test_a_check_without_news_makes_two_requests(device: Device, server: Server) -> None:
    device.update()
    server.requests.clear()
    assert device.update().result == "current"
    assert [path for path, _ in server.requests] == ["/metadata/2.root.json", "/metadata/timestamp.json"]


def test_only_looking_takes_nothing(device: Device) -> None:
    assert device.update(check_only=True).result == "available"
    assert device.active is None


def test_an_arm_is_taken_and_a_halt_takes_it_back(device: Device, published: Published) -> None:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    published.release("1.1.0", 2)
    published.rollout("1.0.0", arms=(Arm("1.1.0", 100.0),))
    outcome = device.update()
    assert (outcome.result, outcome.reason, device.active) == ("updated", "arm", "1.1.0")
    published.rollout("1.0.0", arms=(Arm("1.1.0", 100.0),), state="halted")
    outcome = device.update()
    assert (outcome.result, outcome.reason, device.active) == ("updated", "halted", "1.0.0")


def test_a_halt_needs_no_download(device: Device, published: Published, server: Server) -> None:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    to_all(published, "1.1.0", 2)
    device.update()
    published.rollout("1.0.0")
    server.requests.clear()
    assert (device.update().result, device.active) == ("updated", "1.0.0")
    assert not [path for path, _ in server.requests if "model.tflite" in path]


def test_a_channel_goes_before_the_draw(device: Device, published: Published) -> None:
    published.release("1.1.0", 2)
    published.rollout("1.0.0", channels={"canary": "1.1.0"})
    device.set(channel="canary")
    assert (device.update().reason, device.active) == ("channel", "1.1.0")


def test_constraints_are_held(device: Device, published: Published) -> None:
    published.release("1.1.0", 2)
    later = Constraints(not_before=text_of(NOW.replace(year=NOW.year + 1)))
    published.rollout("1.0.0", arms=(Arm("1.1.0", 100.0),), constraints=later)
    assert (device.update().reason, device.active) == ("constraints", "1.0.0")


def test_what_is_revoked_or_below_the_floor_is_not_taken(device: Device, published: Published) -> None:
    published.release("1.1.0", 2)
    published.rollout("1.0.0", arms=(Arm("1.1.0", 100.0),))
    published.policy("1.0.0", "1.1.0")
    assert (device.update().result, device.active) == ("updated", "1.0.0")
    published.policy("1.2.0")
    outcome = device.update()
    assert (outcome.result, device.active) == ("kept", "1.0.0")
    assert any("below the floor" in problem for problem in device.status().problems)


def test_a_device_without_a_release_that_it_can_run_says_so(device: Device) -> None:
    device.set(variants=("tflite-int8",))
    with pytest.raises(UpdateRefused, match="no release of points/v1 that this device can run"):
        device.update()


def test_a_stolen_rollout_key_cannot_bring_a_release(device: Device, published: Published) -> None:
    """The rollout names a version of which the offline role has signed nothing."""
    device.update()
    published.rollout("1.0.0", arms=(Arm("1.6.6", 100.0),))
    assert (device.update().result, device.active) == ("current", "1.0.0")


def test_a_rollout_that_is_none_is_refused(device: Device, published: Published) -> None:
    device.update()
    path = rollout_path(device.config.of())
    published.repository.change(lambda draft: draft.put_online(path, b'{"schema": "edgeship.rollout/2"}'))
    with pytest.raises(UpdateRefused):
        device.update()
    assert device.active == "1.0.0"


def test_a_manifest_of_another_release_is_refused(device: Device, published: Published) -> None:
    device.update()
    there = published.repository.read().targets.signed.targets
    path = "models/points/v1/1.0.0/tflite-float32/manifest.json"
    content = (published.folder / "repo/targets" / path).with_name(f"{there[path].hashes['sha256']}.manifest.json")
    wrong = path.replace("1.0.0", "1.1.0")
    published.repository.change(lambda draft: draft.put(wrong, content.read_bytes()))
    published.rollout("1.1.0")
    outcome = device.update()
    assert (outcome.result, device.active) == ("kept", "1.0.0")
    assert "is the manifest of device points" in outcome.refused[0]


def test_instead_of_an_arm_for_newer_clients_stable_is_taken(device: Device, published: Published) -> None:
    """An older client obeys no half of a manifest, and goes on with what it understands."""
    path = "models/points/v1/1.9.0/tflite-float32/manifest.json"
    published.repository.change(lambda draft: draft.put(path, b'{"schema": "edgeship.manifest/2"}'))
    published.rollout("1.0.0", arms=(Arm("1.9.0", 100.0),))
    outcome = device.update()
    assert (outcome.result, outcome.version, len(outcome.refused)) == ("updated", "1.0.0", 1)
    assert device.status().failed == ()


def test_a_release_that_is_too_large_is_refused_before_its_files_come(
    device: Device, published: Published, server: Server
) -> None:
    device.set(limits=Limits(seconds=2.0, release_bytes=1000))
    with pytest.raises(UpdateRefused, match="are allowed here"):
        device.update()
    assert not [path for path, _ in server.requests if "model.tflite" in path]


def test_a_release_that_fails_here_is_not_tried_again(device: Device, published: Published, server: Server) -> None:
    device.update()
    to_all(published, "1.1.0", 2, golden=expected(X, 3))
    outcome = device.update()
    assert (outcome.result, device.active) == ("kept", "1.0.0")
    assert "differs by" in outcome.refused[0]
    server.requests.clear()
    assert (device.update().refused, len(server.requests)) == ((), 2)
    assert [failed.version for failed in device.status().failed] == ["1.1.0"]
    with device.model() as model:
        assert model.version == "1.0.0"


def test_instead_of_an_arm_that_fails_here_stable_is_taken(device: Device, published: Published) -> None:
    published.release("1.1.0", 2, golden=expected(X, 3))
    published.rollout("1.0.0", arms=(Arm("1.1.0", 100.0),))
    outcome = device.update()
    assert (outcome.result, outcome.version, len(outcome.refused)) == ("updated", "1.0.0", 1)


def test_while_a_release_is_in_probation_the_one_before_is_kept(device: Device, published: Published) -> None:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    device.update()
    device.set(probation=Probation(starts=1, minutes=60))
    to_all(published, "1.1.0", 2)
    device.update()
    to_all(published, "1.2.0", 3)
    assert (device.update().result, device.active) == ("waiting", "1.1.0")
    device.now = device.now.replace(hour=device.now.hour + 1)
    assert (device.update().result, device.active) == ("updated", "1.2.0")


def test_a_revoked_release_is_replaced_even_in_probation(device: Device, published: Published) -> None:
    device.update()
    to_all(published, "1.1.0", 2)
    device.update()
    to_all(published, "1.2.0", 3)
    published.policy("1.0.0", "1.1.0")
    assert (device.update().result, device.active) == ("updated", "1.2.0")


def test_a_damaged_release_is_repaired(device: Device) -> None:
    device.update()
    broken = device.place.slot("a") / "files/model.tflite"
    broken.write_bytes(broken.read_bytes()[:-1] + b"?")
    assert any("damaged" in problem for problem in device.status().problems)
    assert device.update().result == "updated"
    with device.model() as model:
        np.testing.assert_allclose(model.predict(X).outputs["probabilities"], expected(X, 1), atol=1e-5)


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b'{"active": "c"}', b'{"active": "a", "probation": {"since": "?"}}']
)
def test_a_lost_or_damaged_state_is_made_anew(device: Device, published: Published, content: bytes | None) -> None:
    device.update()
    to_all(published, "1.1.0", 2)
    device.update()
    device.place.state.unlink()
    if content is not None:
        device.place.state.write_bytes(content)
    assert device.active == "1.1.0"
    assert device.update().result == "current"


def test_two_updaters_do_not_meet(device: Device) -> None:
    with (
        durable.locked(device.place.folder / "update.lock", wait=False),
        pytest.raises(UnavailableError, match="another process is updating"),
    ):
        device.update()
    assert device.update().result == "updated"


def test_nothing_is_left_that_is_needed_no_more(device: Device, published: Published) -> None:
    device.update()
    to_all(published, "1.1.0", 2)
    device.update()
    assert list(device.place.downloads.iterdir()) == []
    assert len(list(device.place.documents.iterdir())) == 2  # rollout and manifest


def test_the_last_check_is_kept_with_what_went_wrong(device: Device, server: Server) -> None:
    device.update()
    assert device.status().last_check is not None
    server.trick = lambda request: request.answer(503, b"") is None
    with pytest.raises(UnavailableError):
        device.update()
    check = device.status().last_check
    assert check is not None
    assert not check.ok
    assert "503" in check.message


@pytest.mark.parametrize("lost", ["tuf", "documents", "downloads", "starts", "install_id", "seen.json", "a"])
def test_whatever_is_lost_but_the_enrolment_comes_back(device: Device, published: Published, lost: str) -> None:
    device.update()
    path = device.place.folder / lost
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if lost != "a":
        with device.model() as model:
            assert model.predict(X).version == "1.0.0"
    assert device.update().result == ("updated" if lost == "a" else "current")
    to_all(published, "1.1.0", 2)
    assert device.update().result in ("updated", "waiting")
    with device.model() as model:
        model.predict(X)


def test_documents_do_not_pile_up(device: Device, published: Published) -> None:
    device.update()
    for number in range(3):
        published.rollout("1.0.0", rollout=f"r-{number}")
        assert device.update().result == "current"
    assert len(list(device.place.documents.iterdir())) == 1


def test_a_release_that_is_withheld_is_named_with_the_reason(device: Device, published: Published) -> None:
    device.update()
    assert (
        device.update().message == "points 1.0.0 (tflite-float32, stable) is active; nothing is newer for this device"
    )
    published.release("1.1.0", 2)
    outcome = device.update()
    assert [(each.version, each.cause) for each in outcome.withheld] == [("1.1.0", "unnamed")]
    assert outcome.message.endswith("is active; 1.1.0 is withheld: no rollout names it yet")
    published.rollout("1.0.0", arms=(Arm("1.1.0", 0.0),))
    assert device.update().message.endswith(
        "1.1.0 is withheld: it is for 0 % of all devices, and this one was not drawn"
    )
    published.rollout("1.0.0", arms=(Arm("1.1.0", 100.0),), state="halted")
    assert device.update().message.endswith("1.1.0 is withheld: its rollout is halted")
    published.release("1.2.0", 3)
    published.rollout("1.2.0")
    device.set(variants=("tflite-int8",))
    assert [each.cause for each in device.update().withheld] == ["variant", "unnamed"]


def test_what_failed_here_is_said_and_tried_again_by_hand(device: Device, published: Published) -> None:
    """A device that was too slow for a moment, say: a person knows more."""
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    to_all(published, "1.1.0", 2, budget={"latency_ms": 1e-9})
    device.update()
    outcome = device.update()
    assert (outcome.result, outcome.reason, outcome.withheld[0].cause) == ("kept", "stable", "failed")
    assert "self-test" in outcome.message
    assert "or: edgeship device update points --retry" in outcome.message
    assert device.status().failed
    tried = device.update(retry=True)
    assert (tried.result, len(tried.refused), tried.withheld) == ("kept", 1, ())
    assert [entry.version for entry in device.status().failed] == ["1.1.0"]


def test_instead_of_an_arm_that_failed_the_stable_release_is_called_that(device: Device, published: Published) -> None:
    device.update()
    published.release("1.1.0", 2, golden=X[:, :3])
    published.rollout("1.0.0", arms=(Arm("1.1.0", 100.0),))
    device.set(probation=Probation(starts=0, minutes=0))
    outcome = device.update()
    assert (outcome.result, outcome.version, outcome.reason) == ("current", "1.0.0", "stable")
    assert device.update().reason == "stable"


@pytest.mark.parametrize("lost", ["model.tflite", "golden/input_0.npy", "manifest.json", "files"])
def test_a_damaged_release_to_go_back_to_is_said_and_fetched_again(
    device: Device, published: Published, lost: str
) -> None:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    to_all(published, "1.1.0", 2)
    device.update()
    folder = device.place.slot("a")
    path = folder / "files" / lost if (folder / "files" / lost).exists() else folder / lost
    assert device.status().problems == ()
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()  # files that both releases have are one on the disk
        path.write_bytes(b"damaged")
    assert any("1.0.0, the release to go back to, is damaged" in problem for problem in device.status().problems)
    with pytest.raises(InputError, match=r"1\.0\.0, the release to go back to, is damaged"):
        probation.roll_back(device.place, "by hand")
    outcome = device.update()
    assert (outcome.result, outcome.fallback) == ("current", "1.0.0, to go back to, was damaged and was fetched again")
    assert device.status().problems == ()
    probation.roll_back(device.place, "by hand")
    with device.model() as model:
        assert model.predict(X).version == "1.0.0"


def test_that_nobody_knows_what_to_go_back_to_is_said(device: Device, published: Published) -> None:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    assert device.status().problems == ()  # there was nothing before
    to_all(published, "1.1.0", 2)
    device.update()
    (device.place.slot("a") / "release.json").write_bytes(b"damaged")
    (problem,) = device.status().problems
    assert problem == "the release to go back to was lost; there is one again after the next release"
    to_all(published, "1.2.0", 3)
    assert device.update().version == "1.2.0"
    assert device.status().problems == ()


def test_a_release_to_go_back_to_that_cannot_be_had_is_no_fault_of_the_check(
    device: Device, published: Published, server: Server
) -> None:
    device.set(probation=Probation(starts=0, minutes=0))
    device.update()
    to_all(published, "1.1.0", 2)
    device.update()
    (device.place.slot("a") / "files" / "model.tflite").write_bytes(b"damaged")
    server.trick = lambda request: "1.0.0" in request.path and request.answer(503, b"") is None
    outcome = device.update()
    assert (outcome.result, outcome.refused) == ("current", ())
    assert "cannot be fetched again" in outcome.fallback
    server.trick = None
    assert device.update().fallback.endswith("was fetched again")
