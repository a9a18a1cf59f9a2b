"""The APK that is made without Android's SDK, looked into with Android's own tools."""

from __future__ import annotations

import importlib.util
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from tests.attacks.world import SEEDS
from tests.device_repository import LINE, Published

_ANDROID = Path(__file__).parents[2] / "android_demo"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"android_{name}", _ANDROID / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


apk = _module("apk")
assets = _module("assets")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    made = Published(tmp_path_factory.mktemp("publisher"))
    made.release("1.0.0", SEEDS["1.0.0"])
    return made


@pytest.fixture(scope="module")
def trusted(published: Published, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the app is built with: the root, where updates are, and the first release."""
    made = tmp_path_factory.mktemp("assets")
    assets.write(published.folder / "repo", "https://models.example", made)
    return made


@pytest.fixture(scope="module")
def libraries() -> Path:
    """What Maven fetches, once; with all tools there."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("needs a JDK and Maven")
    if any(shutil.which(name) is None for name in ("aapt2", "zipalign", "apksigner", "dexdump")):
        pytest.skip("needs Debian's tools for Android: apt install aapt zipalign apksigner dexdump")
    try:
        return Path(apk.fetched(_ANDROID / "build/libraries"))
    except apk.Unavailable:
        pytest.skip("needs a JDK and Maven that reaches its central repository once")


@pytest.fixture(scope="module")
def built(libraries: Path, trusted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The APK but for its code, which R8 takes minutes to make: see the slow test."""
    work = tmp_path_factory.mktemp("apk")
    dex = work / "classes.dex"
    dex.write_bytes(b"dex\n035\0")
    packed = apk.packed(apk.resources(work, libraries, release=False), dex, libraries, trusted)
    apk.signed(packed, work / "demo.apk", work, None)
    return work / "demo.apk"


def _said(*command: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_what_it_asks_for_and_what_others_may_start(built: Path) -> None:
    """As every build looks into what it makes, and more."""
    apk.check_manifest(built, release=False)
    with pytest.raises(apk.Failed, match="debuggable"):
        apk.check_manifest(built, release=True)
    said = _said("aapt2", "dump", "badging", built)
    assert "package: name='dev.edgeship.demo' versionCode='1'" in said
    assert "uses-feature-not-required: name='android.hardware.camera'" in said
    assert "uses-feature: name='android.hardware.camera'" not in said
    assert "native-code: 'arm64-v8a' 'x86_64'" in said
    network = _said("aapt2", "dump", "xmltree", "--file", "res/xml/network.xml", built)
    assert 'cleartextTrafficPermitted="false"' in network or "cleartextTrafficPermitted=false" in network
    assert "user" not in re.findall(r'src="([^"]+)"', network)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('android:permission="android.permission.DUMP"', "", "others may start"),
        ("android.permission.CAMERA", "android.permission.READ_CONTACTS", "it asks for"),
        ('usesCleartextTraffic="false"', 'usesCleartextTraffic="true"', "usesCleartextTraffic"),
        ('android:exported="false"', 'android:exported="true"', "others may start"),
    ],
)
def test_a_manifest_that_allows_more_is_no_build(
    old: str, new: str, fault: str, libraries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(_ANDROID / "app/src/main/res", tmp_path / "app/src/main/res")
    text = (_ANDROID / "app/src/main/AndroidManifest.xml").read_text()
    assert old in text
    (tmp_path / "app/src/main/AndroidManifest.xml").write_text(text.replace(old, new))
    monkeypatch.setattr(apk, "HERE", tmp_path)
    base = apk.resources(tmp_path, libraries, release=False)
    with pytest.raises(apk.Failed, match=fault):
        apk.check_manifest(base, release=False)


@pytest.mark.slow
def test_both_modules_are_in_the_dex_and_little_else(libraries: Path, trusted: Path, tmp_path: Path) -> None:
    whole = apk.build(tmp_path / "demo.apk", trusted, release=True)  # which looks for classes of each part
    classes = set(re.findall(r"Class descriptor\s*: 'L([^;]+);'", _said("dexdump", whole)))
    assert sum(name.startswith("dev/edgeship/client/") for name in classes) > 30  # R8 merges some
    assert sum(name.startswith("org/bouncycastle/") for name in classes) < 100


def test_the_app_compiles(libraries: Path, tmp_path: Path) -> None:
    """Against a whole Android framework, with all warnings as errors."""
    apk.resources(tmp_path, libraries, release=False)
    client, app = apk.compiled(tmp_path, libraries)
    assert "dev/edgeship/demo/ShellActivity.class" in zipfile.ZipFile(app).namelist()
    assert "dev/edgeship/client/Client.class" in zipfile.ZipFile(client).namelist()
    apk.check_calls(libraries, app)


def test_calls_that_android_8_lacks_are_found(libraries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apk.resources(tmp_path, libraries, release=False)
    _, app = apk.compiled(tmp_path, libraries)
    monkeypatch.setattr(apk, "_NOT_OF_API_26", ("dev.edgeship.*", "org.tensorflow.*"))
    with pytest.raises(apk.Failed, match=r"Files\.class.*android\.graphics\.ImageDecoder"):
        apk.check_calls(libraries, app)


def test_models_and_libraries_are_stored_and_aligned(built: Path, published: Published) -> None:
    """So that they can be mapped: on pages of 16 kB, which is more than the runtime's own libraries ask for."""
    apk.check_files(built)
    with zipfile.ZipFile(built) as archive:
        assert archive.getinfo("assets/edgeship/release/model.tflite").compress_type == zipfile.ZIP_STORED
        machines = {"arm64-v8a": 183, "x86_64": 62}
        for abi, machine in machines.items():
            head = archive.read(f"lib/{abi}/libtensorflowlite_jni.so")[:20]
            assert (head[:4], struct.unpack("<H", head[18:20])[0]) == (b"\x7fELF", machine)
        assert archive.read("assets/edgeship/root.json") == published.root
        settings = archive.read("assets/edgeship/settings.properties").decode()
        assert settings == f"repository=https://models.example\nline={LINE}\n"


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        (zipfile.ZIP_DEFLATED, "a library or a model is compressed"),
        (zipfile.ZIP_STORED, "zipalign ended with status 1"),
    ],
)
def test_files_that_cannot_be_mapped_are_found(built: Path, tmp_path: Path, kind: int, fault: str) -> None:
    bad = tmp_path / "bad.apk"
    with zipfile.ZipFile(built) as old, zipfile.ZipFile(bad, "w", kind) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    with pytest.raises(apk.Failed, match=fault):
        apk.check_files(bad)


def test_it_is_signed(built: Path, tmp_path: Path) -> None:
    said = _said("apksigner", "verify", "--verbose", "--min-sdk-version", "26", built)
    assert re.search(r"v2 scheme.*: true", said)
    assert re.search(r"v3 scheme.*: true", said)
    assert not list(built.parent.glob("*.idsig"))
    content = bytearray(built.read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "bad.apk").write_bytes(content)
    done = subprocess.run(["apksigner", "verify", tmp_path / "bad.apk"], capture_output=True, timeout=120, check=False)
    assert done.returncode != 0


def test_a_release_build_is_not_debuggable(built: Path, libraries: Path) -> None:
    """By that flag the app knows whether it may run what nobody signed."""
    work = built.parent / "release"
    work.mkdir()
    base = apk.resources(work, libraries, release=True)
    assert "application-debuggable" not in _said("aapt2", "dump", "badging", base)


def test_without_a_root_nothing_is_built(tmp_path: Path) -> None:
    if shutil.which("aapt2") is None or shutil.which("mvn") is None:
        pytest.skip("needs Debian's tools for Android: apt install aapt zipalign apksigner dexdump")
    with pytest.raises(apk.Unavailable, match=r"no root\.json"):
        apk.build(tmp_path / "demo.apk", tmp_path, release=False)
