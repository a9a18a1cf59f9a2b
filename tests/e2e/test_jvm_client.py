"""The client for the JVM and Android against repositories that are published here, and the same attacks as ours."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeship.device.config import Limits
from tests.attacks import on_files, on_keys, on_metadata, on_network  # noqa: F401 - each adds its attacks
from tests.attacks.attack import ATTACKS, Attack
from tests.attacks.world import PADDING, SEEDS, Origin, World, copied, make_origin, patch, plain
from tests.device_repository import NOW, Published, served

_MODULE = Path(__file__).parents[2] / "android_demo" / "edgeship-client"
#: Little patience, so that tests of slow servers are quick.
_LIMITS = Limits(seconds=3.0, bytes_per_second=1)
#: Attacks by a model need LiteRT itself; those with the device's own files are tested in Java.
_ATTACKS = [found for found in ATTACKS if not found.name.startswith("model that ")]
#: Those of the network are always run, which are in no vector; of the others each of so many.
_EVERY = 9


@pytest.fixture(scope="module")
def classpath() -> str:
    """The client and its tests, compiled."""
    if shutil.which("mvn") is None or shutil.which("javac") is None:
        pytest.skip("needs a JDK and Maven")
    listed = _MODULE / "target" / "classpath.txt"
    goals = ["test-compile", "dependency:build-classpath", f"-Dmdep.outputFile={listed}", "-Dmdep.includeScope=runtime"]
    command = ["mvn", "-B", "-q", "-f", str(_MODULE), *goals]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if "could not be resolved" in done.stdout or "Could not transfer" in done.stdout:
        pytest.skip("needs a JDK and Maven that reaches its central repository once")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    return ":".join([*(str(_MODULE / "target" / name) for name in ("classes", "test-classes")), listed.read_text()])


class Jvm:
    """A process that runs clients."""

    def __init__(self, classpath: str, largest_file: int | None = None) -> None:
        limited = [] if largest_file is None else ["prlimit", f"--fsize={largest_file}"]
        command = [
            *limited,
            "java",
            "-XX:-UsePerfData",
            "-XX:+UseSerialGC",
            "-cp",
            classpath,
            "dev.edgeship.client.Main",
        ]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words: object) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(*words, sep="\t", file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def close(self) -> None:
        self._process.communicate(timeout=30)


@pytest.fixture(scope="module")
def jvm(classpath: str) -> Iterator[Jvm]:
    with closing(Jvm(classpath)) as made:
        yield made


@dataclass
class JvmDevice:
    """Stands where `Device` of our own client stands in a `World`."""

    jvm: Jvm
    url: str
    root: Path
    folder: Path
    now: datetime = NOW
    limits: Limits = _LIMITS

    def ask(self, command: str) -> str:
        moment = int(self.now.timestamp() * 1000)
        limits = self.limits
        return self.jvm.ask(command, self.url, self.root, self.folder, moment, limits.seconds, limits.bytes_per_second)

    def set(self, **changes: Any) -> None:
        self.limits = changes.get("limits", self.limits)

    @property
    def place(self) -> Any:
        """Where an attack finds the metadata that were kept, under names of their own."""
        kept = [path for path in (self.folder / "state").iterdir() if path.name != "state"]
        return SimpleNamespace(tuf=SimpleNamespace(rglob=lambda _: kept))

    @property
    def serves(self) -> str:
        """The version that a new process runs, whose model is the one that was published."""
        version, _, model = self.ask("active").partition("\t")
        if version in SEEDS and Path(model).read_bytes()[-PADDING:] == plain(version)[-PADDING:]:
            return version
        return f"another {version}"


class JvmWorld(World):
    """A world whose device is a client on the JVM."""

    def attempt(self, *, check_only: bool = False) -> str:
        device: Any = self.device
        return str(device.ask("check" if check_only else "update")).lower()


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    return make_origin(tmp_path_factory.mktemp("origin"))


def attacked(attack: Attack, origin: Origin, folder: Path, jvm: Jvm) -> None:
    published = copied(origin, folder)
    root = folder / "root.json"
    root.write_bytes(origin.published.root)
    with served(published.folder / "repo") as server:
        device: Any = JvmDevice(jvm, server.url, root, folder / "device")
        world = JvmWorld(origin, published, server, device, None, attack.runs)  # type: ignore[arg-type]
        if attack.runs == "1.0.0":
            world.restore("repo-1.0.0")
        assert world.attempt().startswith(f"updated {attack.runs}")
        shutil.rmtree(world.repo)
        shutil.copytree(origin.published.folder / "repo", world.repo)
        attack.do(world)
        found = world.attempt()
        assert device.serves == attack.serves, found
        assert found.startswith("updated") == attack.holds.startswith("updated"), found
        if attack.heals:
            server.trick, device.now, device.limits = None, NOW, _LIMITS
            shutil.rmtree(world.repo)
            shutil.copytree(origin.published.folder / "repo", world.repo)
            assert world.attempt(check_only=True).startswith(("available 1.1.0", "current 1.1.0"))


def _id(found: Attack) -> str:
    return found.name.replace(" ", "_")


_NETWORK = [found for found in _ATTACKS if found.do.__module__ == on_network.__name__]
_OTHERS = [found for found in _ATTACKS if found not in _NETWORK]


@pytest.mark.parametrize("attack", [*_NETWORK, *_OTHERS[::_EVERY]], ids=_id)
def test_attacks_are_refused_or_healed(attack: Attack, origin: Origin, tmp_path: Path, jvm: Jvm) -> None:
    attacked(attack, origin, tmp_path, jvm)


@pytest.mark.slow
@pytest.mark.parametrize("attack", _OTHERS, ids=_id)
def test_all_attacks_are_refused_or_healed(attack: Attack, origin: Origin, tmp_path: Path, jvm: Jvm) -> None:
    attacked(attack, origin, tmp_path, jvm)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    made = Published(tmp_path / "publisher")
    made.release("1.0.0", SEEDS["1.0.0"], padding=PADDING)
    (tmp_path / "root.json").write_bytes(made.root)
    return made


def test_from_the_first_release_to_a_patch_and_back(published: Published, tmp_path: Path, jvm: Jvm) -> None:
    """The first file comes in zstd."""
    with served(published.folder / "repo") as server:
        device = JvmDevice(jvm, server.url, tmp_path / "root.json", tmp_path / "device")
        assert device.ask("update").startswith("UPDATED 1.0.0")
        first = device.ask("active").partition("\t")[2]
        before = Path(first).name
        published.release("1.1.0", SEEDS["1.1.0"], patch=(before, patch()), padding=PADDING)
        published.rollout("1.1.0")
        server.requests.clear()
        assert device.ask("update").startswith("UPDATED 1.1.0")
        asked = [path for path, _ in server.requests]
        assert any(path.endswith(".esd") for path in asked)
        assert not any(path.endswith(".zst") for path in asked)
        assert device.serves == "1.1.0"
        server.requests.clear()
        assert device.ask("update").startswith("CURRENT 1.1.0")
        assert len(server.requests) == 2
        assert device.ask("rollback") == "ROLLED_BACK 1.0.0"
        assert device.ask("update").startswith("KEPT 1.0.0")
        published.policy("1.1.0")
        assert device.ask("rollback").startswith("REFUSED there is no release to go back to")
        assert device.serves == "1.0.0"


def test_going_back_during_an_update_leaves_a_release_to_go_back_to(
    published: Published, tmp_path: Path, jvm: Jvm, classpath: str
) -> None:
    with served(published.folder / "repo") as server, closing(Jvm(classpath)) as other:
        device = JvmDevice(jvm, server.url, tmp_path / "root.json", tmp_path / "device")
        for version, seed in (("1.0.0", SEEDS["1.0.0"]), ("1.1.0", SEEDS["1.1.0"])):
            if version != "1.0.0":
                published.release(version, seed, padding=PADDING)
                published.rollout(version)
            assert device.ask("update").startswith(f"UPDATED {version}")
        published.release("1.2.0", 9, padding=PADDING)
        published.rollout("1.2.0")
        said: list[str] = []

        def back(request: Any) -> bool:
            if "1.2.0" in request.path and not said:
                said.append(replace(device, jvm=other).ask("rollback"))
            return False

        server.trick = back
        assert device.ask("update").startswith("UPDATED 1.2.0")
        assert said == ["ROLLED_BACK 1.0.0"]
        assert device.ask("rollback") == "ROLLED_BACK 1.0.0"
        assert device.serves == "1.0.0"


def test_a_disk_that_takes_no_more_ends_the_update_and_nothing_else(
    published: Published, tmp_path: Path, jvm: Jvm, classpath: str
) -> None:
    """A limit of the system for files, which breaks a write in the middle as a full disk does."""
    with served(published.folder / "repo") as server:
        device = JvmDevice(jvm, server.url, tmp_path / "root.json", tmp_path / "device")
        assert device.ask("update").startswith("UPDATED 1.0.0")
        published.release("1.1.0", SEEDS["1.1.0"], padding=PADDING)
        published.rollout("1.1.0")
        for largest in (100, 2000, 4000):
            with closing(Jvm(classpath, largest)) as limited:
                found = replace(device, jvm=limited).ask("update")
            assert found.startswith("STORAGE cannot write"), (largest, found)
            assert device.serves == "1.0.0"
        assert device.ask("update").startswith("UPDATED 1.1.0")
        assert device.serves == "1.1.0"
