"""The app's part on the stand-in for a phone: `am` and `pm`, and the app's own code on a JVM.

The stand-in really installs, verifies and measures; only Android and TensorFlow Lite are missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.sharing import Shared

PACKAGE = "dev.edgeship.demo"
_ANDROID = Path(__file__).parents[2] / "android_demo"
_CLIENT = _ANDROID / "edgeship-client"
_PM = '#!{root}/system/bin/sh\n[ "$1" = path ] && [ -f "$STATE/app" ] && echo "package:/data/app/base.apk"\n'
# As on a device, whoever starts an activity does not wait for what it does.
_AM = """#!{root}/system/bin/sh
[ -f "$STATE/app.broken" ] && {{ cat "$STATE/app.broken"; exit 0; }}
echo "Starting: Intent {{ cmp=$5 }}"
shift
{java} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData -cp {classpath} dev.edgeship.demo.StandIn \
  "$STATE/app" "$@" >>"$STATE/app.log" 2>&1 </dev/null &
echo $! >>"$STATE/app.pids"
"""


def classpath(shared: Shared) -> str:
    """The client, the app's code without Android, and the stand-in, compiled; skips the test without JDK and Maven."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("needs a JDK and Maven")
    folder = shared("android-classes", _compile)
    return (folder / "classpath.txt").read_text()


def _compile(folder: Path) -> None:
    listed = folder / "libraries.txt"
    goals = ["test-compile", "dependency:build-classpath", f"-Dmdep.outputFile={listed}", "-Dmdep.includeScope=runtime"]
    done = _ran("mvn", "-B", "-q", "-f", _CLIENT, *goals)
    if "could not be resolved" in done.stdout or "Could not transfer" in done.stdout:
        pytest.skip("needs a JDK and Maven that reaches its central repository once")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    client = ":".join([*(str(_CLIENT / "target" / name) for name in ("classes", "test-classes")), listed.read_text()])
    sources = [*(_ANDROID / "app/src/main/java/dev/edgeship/demo/core").glob("*.java")]
    sources.append(Path(__file__).with_name("StandIn.java"))
    options = ["--release", "8", "-Xlint:all,-options,-serial", "-Werror", "-proc:none"]
    done = _ran("javac", *options, "-cp", client, "-d", folder / "classes", *sources)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "classpath.txt").write_text(f"{folder / 'classes'}:{client}")


def _ran(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, check=False)


@dataclass
class App:
    """An app that is installed on a stand-in for a phone.

    Attributes:
        root: of the phone.
    """

    root: Path

    @property
    def shared(self) -> Path:
        """The folder that the shell and the app use."""
        return self.root / f"sdcard/Android/media/{PACKAGE}"

    @property
    def log(self) -> str:
        """What it wrote on its standard outputs."""
        return (self.root / "state/app.log").read_text() if (self.root / "state/app.log").exists() else ""

    def settings(self, **values: object) -> None:
        """Install it, or change what it is built with."""
        place = self.root / "state/app"
        known = dict(line.split("=", 1) for line in place.read_text().splitlines()) if place.exists() else {}
        known |= {name: str(value) for name, value in values.items()}
        place.write_text("".join(f"{name}={value}\n" for name, value in known.items()))

    def breaks(self, said: str) -> None:
        """From now on `am` says this and starts nothing; empty: it works again."""
        (self.root / "state/app.broken").write_text(said)
        if not said:
            (self.root / "state/app.broken").unlink()

    def settle(self) -> None:
        """Wait until nothing of it runs."""
        place = self.root / "state/app.pids"
        deadline = time.monotonic() + 30
        for pid in place.read_text().split() if place.exists() else ():
            while time.monotonic() < deadline and _lives(int(pid)):
                time.sleep(0.05)


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def install(root: Path, classes: str, published_root: bytes, now: datetime, line: str) -> App:
    """Put the app onto a phone: it trusts the repository with this root."""
    java = shutil.which("java")
    assert java is not None
    for name, text in (("pm", _PM), ("am", _AM)):
        program = root / "system/bin" / name
        program.write_text(text.format(root=root, java=os.path.realpath(java), classpath=classes))
        program.chmod(0o755)
    (root / "data/app").mkdir(parents=True)
    (root / "sdcard").mkdir()
    (root / "data/app/root.json").write_bytes(published_root)
    app = App(root)
    app.settings(
        package=PACKAGE,
        line=line,
        repository="https://nowhere.invalid",
        root=root / "data/app/root.json",
        folder=root / "data/app",
        shared=app.shared,
        now=int(now.timestamp() * 1000),
        debuggable="true",
        starts=0,
    )
    return app
