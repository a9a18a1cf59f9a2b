"""Sideloading with the system's own adb, to a stand-in for a phone on which the app's own code runs on a JVM."""

from __future__ import annotations

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edgeship import cli, sideloading
from edgeship.errors import InputError, RepositoryError, TargetUnavailable, UpdateRefused
from edgeship_benchmarks.android import app as apps
from tests.attacks.world import PADDING, SEEDS, patch
from tests.device_repository import LINE, NOW, Published
from tests.sharing import Shared
from tests.standins.android_app import App, classpath, install

from .conftest import Phone


@pytest.fixture(scope="module")
def classes(shared: Shared) -> str:
    return classpath(shared)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    made = Published(tmp_path / "publisher")
    made.release("1.0.0", SEEDS["1.0.0"], padding=PADDING)
    return made


@pytest.fixture
def app(phone: Phone, published: Published, classes: str) -> Iterator[App]:
    made = install(phone.device.root, classes, published.root, NOW, str(LINE))
    yield made
    made.settle()


def _repo(published: Published) -> str:
    return str(published.folder / "repo")


def _said(*words: str) -> Result:
    return CliRunner().invoke(cli.cli, ["sideload", *words])


def test_from_nothing_to_a_patch_and_back(app: App, published: Published) -> None:
    """Each answer is the device's, and nothing but the app's own files is left there."""
    first = sideloading.sideload(_repo(published))
    assert (first.result, first.version, first.active) == ("updated", "1.0.0", "1.0.0")
    assert first.app["origin"] == "FILE"
    before = max((app.root / "data/app/client/files").iterdir(), key=lambda path: path.stat().st_size).name
    published.release("1.1.0", SEEDS["1.1.0"], patch=(before, patch()), padding=PADDING)
    published.rollout("1.1.0")
    packet = _without_models(published)
    with apps.connected() as there:  # only the patch leads to the new model
        answer = there.ask("sideload", 60, file=there.send(packet, ".zip"))
    assert (answer["result"], answer["version"], answer["variant"]) == ("UPDATED", "1.1.0", "tflite-float32"), answer
    assert answer["bytes"] < first.bytes
    assert sideloading.sideload(_repo(published)).result == "current"
    back = sideloading.roll_back()
    assert (back.result, back.active) == ("rolled_back", "1.0.0")
    kept = sideloading.sideload(_repo(published))
    assert (kept.result, kept.active, kept.taken) == ("kept", "1.0.0", False)
    app.settle()
    assert list(app.shared.iterdir()) == []


def _without_models(published: Published) -> Path:
    """A packet that lacks all stored models."""
    whole, made = published.folder / "whole.zip", published.folder / "part.zip"
    sideloading.pack(_repo(published), whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            if not name.endswith("model.tflite.zst"):
                new.writestr(name, old.read(name))
    return made


def test_a_tampered_packet_is_refused_and_nothing_changes(app: App, published: Published) -> None:
    """Files, and metadata."""
    sideloading.sideload(_repo(published))
    published.release("1.1.0", SEEDS["1.1.0"], padding=PADDING)
    published.rollout("1.1.0")
    repo = published.folder / "repo"
    packet = published.folder / "packet.zip"
    sideloading.pack(repo, packet)
    # In this order: good metadata are kept, and not asked for again.
    cases = (((".targets.json",), "not what was signed"), ((".zst", ".esd"), "is not the file that was signed"))
    for endings, wanted in cases:
        bad = _changed(packet, endings)
        with apps.connected() as there:
            answer = there.ask("sideload", 60, file=there.send(bad, ".zip"))
        assert answer["result"] == "REFUSED" or answer["refused"], answer
        assert wanted in json.dumps(answer)
        assert answer["status"]["active"] == "1.0.0"
    assert sideloading.sideload(repo).version == "1.1.0"  # what was refused is not held against it


def _changed(packet: Path, endings: tuple[str, ...]) -> Path:
    """The packet with one bit changed in each file of these names."""
    made = packet.with_suffix(".bad")
    with zipfile.ZipFile(packet) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            content = bytearray(old.read(name))
            if name.endswith(endings):
                content[len(content) // 2] ^= 1
            new.writestr(name, bytes(content))
    return made


def test_keys_of_others_and_older_releases_are_refused(app: App, published: Published, tmp_path: Path) -> None:
    other = Published(tmp_path / "other")
    other.release("1.5.0", SEEDS["1.1.0"])
    with pytest.raises(UpdateRefused, match="signed"):
        sideloading.sideload(_repo(other))
    published.snapshot("before")
    published.release("1.1.0", SEEDS["1.1.0"])
    published.rollout("1.1.0")
    assert sideloading.sideload(_repo(published)).active == "1.1.0"
    published.restore("before")
    with pytest.raises(UpdateRefused, match=r"older|version"):
        sideloading.sideload(_repo(published))


def test_a_bundle_that_nobody_signed(app: App, published: Published) -> None:
    """Only a debug build takes it, beside what was signed, and goes back from it."""
    sideloading.sideload(_repo(published))
    bundle = published.folder / "bundle-1"
    with pytest.raises(InputError, match="nobody has signed"):
        sideloading.sideload(bundle)
    taken = sideloading.sideload(bundle, unsigned=True)
    assert (taken.result, taken.active, taken.app["origin"]) == ("unsigned", "1.0.0", "UNSIGNED")
    assert sideloading.roll_back().app["origin"] == "FILE"
    broken = shutil.copytree(bundle, published.folder / "broken")
    (broken / "golden/output_0.npy").write_bytes(b"x" * (broken / "golden/output_0.npy").stat().st_size)
    with pytest.raises(UpdateRefused, match="not what its manifest names"):
        sideloading.sideload(broken, unsigned=True)
    app.settings(debuggable="false")
    with pytest.raises(InputError, match="release build") as refused:
        sideloading.sideload(bundle, unsigned=True)
    assert "install the debug build" in refused.value.remedy
    assert sideloading.sideload(_repo(published)).result == "current"


def test_a_signed_release_ends_what_nobody_signed(app: App, published: Published) -> None:
    """Also one that was active all the time: the command says that it runs, so it has to."""
    sideloading.sideload(_repo(published))
    assert sideloading.sideload(published.folder / "bundle-1", unsigned=True).app["origin"] == "UNSIGNED"
    again = sideloading.sideload(_repo(published))
    assert (again.result, again.active, again.app["origin"]) == ("current", "1.0.0", "FILE")
    with pytest.raises(UpdateRefused, match="no release to go back to"):  # it is gone
        sideloading.roll_back()


def test_where_releases_came_from_is_known_after_going_back(app: App, published: Published) -> None:
    """Of both releases that are here, and of no others."""
    sideloading.sideload(_repo(published))
    origins = app.root / "data/app/origin"
    assert origins.read_text() == "1.0.0 FILE\n"
    origins.write_text("0.9.0 NETWORK\n1.0.0 APP\n")
    published.release("1.1.0", SEEDS["1.1.0"], padding=PADDING)
    published.rollout("1.1.0")
    assert sideloading.sideload(_repo(published)).app["origin"] == "FILE"
    assert origins.read_text() == "1.1.0 FILE\n1.0.0 APP\n"
    assert sideloading.roll_back().app["origin"] == "APP"


def test_a_picture_that_cannot_be_classified_is_no_failure_of_the_release(
    app: App, published: Published, classes: str
) -> None:
    """A process that ends with a probation begun counts as one that died of it; three bring back the release before."""
    app.settings(starts=1)
    sideloading.sideload(_repo(published))
    published.release("1.1.0", SEEDS["1.1.0"], padding=PADDING)
    published.rollout("1.1.0")
    assert sideloading.sideload(_repo(published)).app["probation"] is True
    asked = ["java", "-cp", classes, "dev.edgeship.demo.StandIn", app.root / "state/app", "--es", "command", "predict"]
    for _ in range(4):
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        assert "the model takes no pictures" in done.stderr
        assert list((app.root / "data/app/client/starts").iterdir()) == []
    assert sideloading.sideload(_repo(published)).active == "1.1.0"


def test_the_command(app: App, published: Published, phone: Phone, tmp_path: Path) -> None:
    serial = f"adb:{phone.device.serial}"
    said = _said(_repo(published), "--target", serial, "--json")
    assert said.exit_code == 0
    assert json.loads(said.stdout)["result"] == "updated"
    assert "1.0.0 was active already" in _said(_repo(published), "--target", "adb").stdout
    packed = _said(_repo(published), "--out", str(tmp_path / "points.zip"))
    assert f"{LINE} 1.0.0" in packed.stdout
    assert "metadata/1.root.json" in zipfile.ZipFile(tmp_path / "points.zip").namelist()
    again = tmp_path / "again.zip"
    sideloading.pack(_repo(published), again)
    assert again.read_bytes() == (tmp_path / "points.zip").read_bytes()
    for words in ([], [_repo(published)], [_repo(published), "--back", "--target", "adb"]):
        assert _said(*words).exit_code == 2


def test_what_cannot_be_sent(app: App, published: Published, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="follows points/v1, not digits/v1"):
        sideloading.sideload(_repo(published), line="digits/v1")
    with pytest.raises(RepositoryError, match="no update repository"):
        sideloading.sideload(tmp_path)
    app.settings(line="digits/v1")
    with pytest.raises(RepositoryError, match="no releases of digits/v1") as lacks:
        sideloading.sideload(_repo(published))
    assert "points/v1" in lacks.value.remedy
    for target in ("local", "adb:-x"):
        with pytest.raises(InputError):
            sideloading.sideload(_repo(published), target)


def test_an_app_that_is_not_there_or_does_not_answer(
    app: App, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "STATUS_SECONDS", 1.0)
    with pytest.raises(InputError, match="no name of an app"):
        sideloading.sideload(_repo(published), package="a b")
    app.breaks(
        "Error type 3\nError: Activity class {dev.edgeship.demo/dev.edgeship.demo.ShellActivity} does not exist.\n"
    )
    with pytest.raises(TargetUnavailable, match="cannot be asked: Error: Activity class"):
        sideloading.sideload(_repo(published))
    app.breaks("Starting: Intent { }\n")
    with pytest.raises(TargetUnavailable, match="gave no answer to status within 1 s"):
        sideloading.sideload(_repo(published))
    (app.root / "state/app").rename(app.root / "state/gone")
    with pytest.raises(TargetUnavailable, match="is not installed") as missing:
        sideloading.sideload(_repo(published))
    assert "install -r" in missing.value.remedy


def test_no_device(nobody: object, published: Published) -> None:
    with pytest.raises(TargetUnavailable, match="no Android device is connected"):
        sideloading.sideload(_repo(published))
