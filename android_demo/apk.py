"""Builds and signs the app without Android's SDK: javac, R8, and Debian's aapt2, zipalign and apksigner.

The same app as `./gradlew assembleTfliteDebug` makes. Needs a JDK, Maven (which fetches libraries once), and
`apt install aapt zipalign apksigner`. What an app trusts comes from `assets.py`, or from --assets.

    python3 android_demo/apk.py [--release | --both] [--assets FOLDER] [--out FILE.apk]
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PACKAGE = "dev.edgeship.demo"
ABIS = ("arm64-v8a", "x86_64")
#: Stored files begin at multiples of this, so that they can be mapped on every device.
PAGE_BYTES = 16_384
_VERSIONS = tomllib.loads((HERE / "gradle/libs.versions.toml").read_text())["versions"]
#: What Maven fetches -> name here.
_LIBRARIES = {
    f"org.robolectric:android-all:{_VERSIONS['android-all']}": "android.jar",
    f"com.android.tools:r8:{_VERSIONS['r8']}": "r8.jar",
    f"org.bouncycastle:bcprov-jdk18on:{_VERSIONS['bouncycastle']}": "bcprov.jar",
    f"org.brotli:dec:{_VERSIONS['brotli']}": "brotli.jar",
    f"org.tensorflow:tensorflow-lite:{_VERSIONS['tensorflow-lite']}:aar": "runtime.aar",
    f"org.tensorflow:tensorflow-lite-api:{_VERSIONS['tensorflow-lite']}:aar": "runtime-api.aar",
    f"org.codehaus.mojo:animal-sniffer:{_VERSIONS['animal-sniffer']}": "animal-sniffer.jar",
    f"org.ow2.asm:asm:{_VERSIONS['asm']}": "asm.jar",
    f"com.toasttab.android:gummy-bears-api-26:{_VERSIONS['gummy-bears']}:signature": "api-26.signature",
}
#: The rest of the app, its runtime, and what it calls only where `Build.VERSION.SDK_INT` says that it is there.
_NOT_OF_API_26 = ("dev.edgeship.*", "org.tensorflow.*", "android.graphics.ImageDecoder*")
_PERMISSIONS = {"android.permission.INTERNET", "android.permission.CAMERA"}
#: What others may start -> whether that takes the permission DUMP.
_EXPORTED = {f"{PACKAGE}.MainActivity": False, f"{PACKAGE}.ShellActivity": True}
#: Some of each part that the code must have.
_CLASSES = (
    *(f"dev/edgeship/demo/{name}" for name in ("MainActivity", "CameraActivity", "ShellActivity", "core/Desk")),
    *("dev/edgeship/client/Packet", "dev/edgeship/client/Manifest", "org/tensorflow/lite/Interpreter"),
)
_PROGRAMS = {"javac": "a JDK", "mvn": "maven", "aapt2": "aapt", "zipalign": "zipalign", "apksigner": "apksigner"}


class Unavailable(Exception):
    """Something is not here that building needs."""


class Failed(Exception):
    """A program failed; with what it said last."""


def run(*command: object) -> str:
    """What a program prints. Raises Failed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{command[0]} ended with status {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def fetched(folder: Path) -> Path:
    """The libraries in a folder. Raises Unavailable where Maven does not reach one."""
    folder.mkdir(parents=True, exist_ok=True)
    for artifact, name in _LIBRARIES.items():
        if (folder / name).exists():
            continue
        group, module, version, *kind = artifact.split(":")
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        parts = folder / "fetching"
        command = ["mvn", "-B", "-q", goal, f"-Dartifact={artifact}", f"-DoutputDirectory={parts}"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"Maven cannot fetch {group}:{module}:{version}: {done.stdout.strip()[:500]}")
        (parts / f"{module}-{version}.{kind[0] if kind else 'jar'}").rename(folder / name)
    for aar in ("runtime", "runtime-api"):
        with zipfile.ZipFile(folder / f"{aar}.aar") as archive:
            (folder / f"{aar}.jar").write_bytes(archive.read("classes.jar"))
    return folder


def check_programs() -> None:
    """Raises Unavailable where one is missing."""
    missing = [f"{name} (apt install {package})" for name, package in _PROGRAMS.items() if shutil.which(name) is None]
    if missing:
        raise Unavailable(f"not installed: {', '.join(missing)}")


def compiled(work: Path, libraries: Path) -> list[Path]:
    """Class files of the client and of the app, each in its jar."""
    jars = []
    sources = {"client": HERE / "edgeship-client/src/main", "app": HERE / "app/src/main"}
    for name, source in sources.items():
        classes = work / f"{name}-classes"
        shutil.rmtree(classes, ignore_errors=True)
        files = sorted((source / "java").rglob("*.java"))
        needed = [libraries / "bcprov.jar", libraries / "brotli.jar"]
        if name == "app":
            files += sorted((work / "generated").rglob("*.java"))
            needed = [libraries / "android.jar", libraries / "runtime.jar", libraries / "runtime-api.jar", jars[0]]
        path = ":".join(map(str, needed))
        lint = ["-Xlint:all,-try,-options,-processing,-classfile,-serial", "-Werror", "-encoding", "UTF-8"]
        run("javac", "--release", "8", *lint, "-proc:none", "-cp", path, "-d", classes, *files)
        jar = work / f"{name}.jar"
        shutil.make_archive(str(work / name), "zip", classes)
        (work / f"{name}.zip").rename(jar)
        jars.append(jar)
    return jars


def check_calls(libraries: Path, app: Path) -> None:
    """Raises Failed where the app calls what Android 8 (API 26) does not have."""
    path = f"{libraries / 'animal-sniffer.jar'}:{libraries / 'asm.jar'}"
    run("java", "-cp", path, HERE / "ApiCheck.java", libraries / "api-26.signature", app, *_NOT_OF_API_26)


def resources(work: Path, libraries: Path, *, release: bool) -> Path:
    """The APK with manifest and resources alone; R.java lies beside it."""
    manifest = (HERE / "app/src/main/AndroidManifest.xml").read_text()
    # Gradle takes it from `namespace`.
    (work / "AndroidManifest.xml").write_text(manifest.replace("<manifest ", f'<manifest package="{PACKAGE}" ', 1))
    run("aapt2", "compile", "--dir", HERE / "app/src/main/res", "-o", work / "resources.zip")
    base = work / "base.apk"
    run(
        *("aapt2", "link", "-I", libraries / "android.jar", "--manifest", work / "AndroidManifest.xml"),
        *("--min-sdk-version", _VERSIONS["min-sdk"], "--target-sdk-version", _VERSIONS["target-sdk"]),
        *("--version-code", "1", "--version-name", "0.1.0", "--java", work / "generated", "-o", base),
        *([] if release else ["--debug-mode"]),
        work / "resources.zip",
    )
    return base


def _java_home() -> str:
    said = subprocess.run(["java", "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=True)
    return next(line.split("=")[1].strip() for line in said.stderr.splitlines() if "java.home =" in line)


def dexed(work: Path, libraries: Path, jars: list[Path]) -> Path:
    """classes.dex of the app, the client and what they need, for Android 8 and later."""
    made = work / "dex"
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    given = [*jars, libraries / "runtime.jar", libraries / "runtime-api.jar"]
    given += [libraries / "bcprov.jar", libraries / "brotli.jar"]
    run(
        *("java", "-cp", libraries / "r8.jar", "com.android.tools.r8.R8", "--release", "--no-data-resources"),
        *("--min-api", _VERSIONS["min-sdk"], "--lib", libraries / "android.jar"),
        # The framework's jar has Android's classes, and not those of Java.
        *("--lib", _java_home()),
        *("--pg-conf", HERE / "app/proguard-rules.pro", "--output", made, *given),
    )
    return made / "classes.dex"


def packed(base: Path, dex: Path, libraries: Path, assets: Path) -> Path:
    """The APK with everything in it; models and native libraries are stored as they are."""
    with zipfile.ZipFile(base, "a", zipfile.ZIP_DEFLATED) as apk:
        apk.write(dex, "classes.dex")
        with zipfile.ZipFile(libraries / "runtime.aar") as aar:
            for abi in ABIS:
                name = f"{abi}/libtensorflowlite_jni.so"
                apk.writestr(zipfile.ZipInfo(f"lib/{name}"), aar.read(f"jni/{name}"), zipfile.ZIP_STORED)
        for file in sorted(path for path in assets.rglob("*") if path.is_file()):
            stored = zipfile.ZIP_STORED if file.suffix == ".tflite" else None
            apk.write(file, f"assets/{file.relative_to(assets)}", stored)
    return base


def signed(apk: Path, out: Path, work: Path, keystore: Path | None) -> None:
    """Aligns and signs; without a keystore by a key that is made here, for development."""
    aligned = work / "aligned.apk"
    run("zipalign", "-f", PAGE_BYTES, apk, aligned)
    run("zipalign", "-c", PAGE_BYTES, aligned)
    store = keystore or HERE / "build/development.jks"
    word = "pass:development" if keystore is None else "env:EDGESHIP_KEYSTORE_PASSWORD"
    if keystore is None and not store.exists():
        store.parent.mkdir(parents=True, exist_ok=True)
        run(
            *("keytool", "-genkeypair", "-keystore", store, "-storepass", "development", "-alias", "development"),
            *("-keyalg", "EC", "-groupname", "secp256r1", "-validity", "10000", "-dname", "CN=edgeship development"),
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    run("apksigner", "sign", "--ks", store, "--ks-pass", word, "--out", out, aligned)
    run("apksigner", "verify", out)
    out.with_name(out.name + ".idsig").unlink(missing_ok=True)


def checked(apk: Path, *, release: bool) -> Path:
    """The APK, if it is what was meant to be made. Raises Failed."""
    run("apksigner", "verify", "--min-sdk-version", _VERSIONS["min-sdk"], apk)
    check_manifest(apk, release=release)
    check_files(apk)
    if shutil.which("dexdump"):
        check_classes(apk)
    return apk


def _must(good: bool, what: str) -> None:
    if not good:
        raise Failed(f"the APK is not what it should be: {what}")


def check_manifest(apk: Path, *, release: bool) -> None:
    """What it is for, what it asks for, and what others may start."""
    said = run("aapt2", "dump", "badging", apk)
    asked = set(re.findall(r"uses-permission: name='([^']+)'", said))
    _must(asked == _PERMISSIONS, f"it asks for {sorted(asked)}")
    for word in (f"\nsdkVersion:'{_VERSIONS['min-sdk']}'", f"\ntargetSdkVersion:'{_VERSIONS['target-sdk']}'"):
        _must(word in said, f"no {word.strip()}")
    _must(("application-debuggable" in said) != release, f"debuggable: {not release} was asked for")
    tree = run("aapt2", "dump", "xmltree", "--file", "AndroidManifest.xml", apk)
    whole, *parts = re.split(r"E: (?=activity|service|receiver|provider)", tree)
    exported = {
        re.findall(r':name\([^)]*\)="([^"]+)"', part)[0]: "android.permission.DUMP" in part
        for part in parts
        if re.search(r":exported\([^)]*\)=true", part)
    }
    _must(exported == _EXPORTED, f"others may start {sorted(exported)}")
    for name in ("usesCleartextTraffic", "allowBackup"):
        _must(bool(re.search(rf":{name}\([^)]*\)=false", whole)), f"{name} is not false")


def check_files(apk: Path) -> None:
    """Whom it trusts, and files that are mapped: native libraries and models, stored and aligned."""
    run("zipalign", "-c", PAGE_BYTES, apk)
    with zipfile.ZipFile(apk) as archive:
        stored = {info.filename: info.compress_type == zipfile.ZIP_STORED for info in archive.infolist()}
    _must("assets/edgeship/root.json" in stored, "it trusts nobody")
    mapped = {name for name in stored if name.endswith((".so", ".tflite"))}
    _must(all(stored[name] for name in mapped), "a library or a model is compressed")
    libraries = {name for name in mapped if name.endswith(".so")}
    _must(libraries == {f"lib/{abi}/libtensorflowlite_jni.so" for abi in ABIS}, f"it has {sorted(libraries)}")


def check_classes(apk: Path) -> None:
    """The app's, the client's and the runtime's, and nothing of what is compiled against."""
    classes = set(re.findall(r"Class descriptor\s*: 'L([^;]+);'", run("dexdump", apk)))
    missing = [name for name in _CLASSES if name not in classes]
    _must(not missing, f"there is no {missing}")
    foreign = [name for name in classes if name.startswith(("android/", "java/", "org/robolectric/"))]
    _must(not foreign, f"it brings {foreign[:3]}")


def build(out: Path, assets: Path, *, release: bool, keystore: Path | None = None, dex: Path | None = None) -> Path:
    """The signed APK, looked into. Raises Unavailable where something is not here that this needs, Failed at a fault.

    Args:
        out: where it goes.
        assets: what the app trusts, as `assets.py` writes it.
        release: a build that takes only what was signed.
        keystore: None: a key for development, made here.
        dex: the code, if it was made before.
    """
    check_programs()
    if not (assets / "edgeship/root.json").is_file():
        raise Unavailable(f"{assets}/edgeship has no root.json: the app would trust nobody. Make it: assets.py --help")
    libraries = fetched(HERE / "build/libraries")
    work = HERE / "build" / ("release" if release else "debug")
    work.mkdir(parents=True, exist_ok=True)
    base = resources(work, libraries, release=release)
    if dex is None:
        jars = compiled(work, libraries)
        check_calls(libraries, jars[-1])
        dex = dexed(work, libraries, jars)
    signed(packed(base, dex, libraries, assets), out, work, keystore)
    return checked(out, release=release)


def main() -> int:
    """The command line; 3 where something is not here, 4 where building fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="store_true", help="a build that takes only what was signed")
    parser.add_argument("--both", action="store_true", help="a debug build and a release build")
    parser.add_argument("--assets", type=Path, default=HERE / "app/src/main/assets")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keystore", type=Path, help="its password: EDGESHIP_KEYSTORE_PASSWORD")
    told = parser.parse_args()
    if told.both and (told.out or told.release):
        parser.error("--both makes two builds: leave --out and --release out")
    dex = None
    try:
        for release in (False, True) if told.both else (told.release,):
            kind = "release" if release else "debug"
            out = told.out or HERE / f"build/edgeship-demo-{kind}.apk"
            build(out, told.assets, release=release, keystore=told.keystore, dex=dex)
            dex = HERE / "build" / kind / "dex/classes.dex"  # the same code in both
            print(f"{out} {out.stat().st_size:,} B")
    except Unavailable as error:
        print(f"no APK was made: {error}", file=sys.stderr)
        return 3
    except Failed as error:
        print(f"no APK was made: {error}", file=sys.stderr)
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
