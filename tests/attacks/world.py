"""A real repository and a device that serves from it, made once for a run and copied for each attack."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from securesystemslib.signer import CryptoSigner, Signer
from tuf.api.metadata import Metadata, MetaFile, TargetFile, Timestamp

from edgeship.codec import to_json
from edgeship.device import Model, enrol, slots, state
from edgeship.device import config as configs
from edgeship.device.config import Config, Place, Probation
from edgeship.publish import keys, stores
from edgeship.publish.repository import Repository
from tests.device_repository import LINE, NOW, Handler, Published, Server, X, expected, served, weights
from tests.enrolled_device import LIMITS, Device
from tests.tiny_tflite import model_bytes

#: Version -> seed of its weights.
SEEDS = {"1.0.0": 1, "1.1.0": 2, "1.2.0": 5}
#: Bytes behind a model that do not compress, so that a patch pays.
PADDING = 4000
VARIANT = "tflite-float32"
MODEL_1_1 = f"models/{LINE}/1.1.0/{VARIANT}"


@dataclass(frozen=True)
class Origin:
    """What is made once: a repository with two releases, and devices that run the one or the other.

    Attributes:
        published: as it is in the end: 1.1.0 is for all, and there is a patch to it.
        folder: with `repo-1.0.0` (before there was a 1.1.0), and `device-1.0.0`, `device-1.1.0`.
        manifests: SHA-256 of each release's manifest.
    """

    published: Published
    folder: Path
    manifests: dict[str, str]


def make_origin(folder: Path, now: datetime = NOW) -> Origin:
    """Publish two releases at that moment; enrol a device, and keep it as it is with each of them."""
    published = Published(folder / "publisher")
    published.now = now
    first = published.release("1.0.0", SEEDS["1.0.0"], padding=PADDING, compress=False)
    shutil.copytree(published.folder / "repo", folder / "repo-1.0.0")
    place = Place(folder / "device" / LINE.model)
    with served(published.folder / "repo") as server:
        config = Config(server.url, str(LINE), (VARIANT,), limits=LIMITS, probation=Probation(0, 0))
        enrol(place, config, published.root)
        device = Device(place, config, now)
        device.update()
        device.update()  # the probation is over
        shutil.copytree(place.folder, folder / "device-1.0.0", symlinks=True)
        published.release("1.1.0", SEEDS["1.1.0"], patch=(first, patch()), padding=PADDING, compress=False)
        published.rollout("1.1.0")
        device.update()
        device.update()  # the probation is over
        shutil.copytree(place.folder, folder / "device-1.1.0", symlinks=True)
    found = published.repository.read().targets.signed.targets
    digests = {
        text: found[f"models/{LINE}/{text}/{VARIANT}/manifest.json"].hashes["sha256"] for text in ("1.0.0", "1.1.0")
    }
    return Origin(published, folder, digests)


def plain(version: str) -> bytes:
    """The model file of a release."""
    seed = SEEDS[version]
    return model_bytes(weights=weights(seed)) + np.random.default_rng(seed).bytes(PADDING)


def patch() -> bytes:
    """From the model of 1.0.0 to that of 1.1.0."""
    from edgeship.delta import encode

    return encode(plain("1.0.0"), plain("1.1.0"))


@dataclass
class World:
    """A repository, its server, and a device with a model that serves since before the attack.

    Attributes:
        published: whose clock an attack may set.
        began: the version that the device runs.
    """

    origin: Origin
    published: Published
    server: Server
    device: Device
    model: Model
    began: str

    @property
    def repo(self) -> Path:
        return self.published.folder / "repo"

    def metadata(self, name: str) -> Path:
        return self.repo / "metadata" / name

    def newest(self, role: str) -> Path:
        """The file of the newest metadata of a numbered role."""
        found = self.repo.glob(f"metadata/*.{role}.json")
        return max(found, key=lambda path: int(path.name.partition(".")[0]))

    def target(self, path: str) -> Path:
        """The file of a target, as it was signed last."""
        read = self.published.repository.read()
        found = read.targets.signed.targets.get(path) or read.rollout.signed.targets[path]
        return self.repo / "targets" / found.get_prefixed_paths()[0]

    def restore(self, name: str) -> None:
        """Serve an earlier state of the repository."""
        shutil.rmtree(self.repo)
        shutil.copytree(self.origin.folder / name, self.repo)

    def send(self, ending: str, answer: Callable[[Handler], Any]) -> None:
        """Answer requests for files with that ending otherwise."""

        def trick(request: Handler) -> bool:
            wanted = request.path.endswith(ending)
            if wanted:
                answer(request)
            return wanted

        self.server.trick = trick

    def attempt(self, *, check_only: bool = False) -> str:
        """What comes of an update: the error's class and message, or the outcome; and what should not be."""
        try:
            outcome = self.device.update(check_only=check_only)
        except Exception as error:  # noqa: BLE001 - without its guard an attack may raise anything
            found = f"{type(error).__name__}: {error}"
        else:
            found = f"{outcome.result} {outcome.version}: {outcome.message}{'' if self.is_honest() else '; hostile'}"
        outside = {path.name for path in self.published.folder.parent.iterdir()} - {"device", "publisher"}
        return f"{found}; outside: {', '.join(outside)}" if outside else found

    def is_honest(self) -> bool:
        """Whether the file that runs is the one that was published."""
        place = self.device.place
        slot = state.serving(place, state.read(place))
        assert slot is not None
        held = state.release(place, slot)
        assert held is not None
        return held.version in SEEDS and slots.file(place, slot, "model.tflite").read_bytes() == plain(held.version)

    def check_serving(self, version: str) -> None:
        """The process that ran before, and a new one, answer as the release does; only releases lie in the slots."""
        for model in (self.model, self.device.model()):
            found = model.predict(X)
            assert found.version == version
            np.testing.assert_allclose(found.outputs["probabilities"], expected(X, SEEDS[version]), atol=1e-5)
            if model is not self.model:
                model.close()
        self.check_slots()

    def check_slots(self) -> None:
        """Whatever may run was published, and is undamaged; what may not run is not there."""
        known = {digest: version for version, digest in self.origin.manifests.items()}
        for slot in state.SLOTS:
            held = state.release(self.device.place, slot)
            if held is None:
                assert not self.device.place.slot(slot).exists(), f"slot {slot} keeps what was refused"
            else:
                assert known[held.manifest_sha256] == held.version
                slots.check(self.device.place, slot)


@contextmanager
def world(origin: Origin, folder: Path, runs: str) -> Iterator[World]:
    """A copy of everything, for one attack."""
    published = copied(origin, folder)
    with served(published.folder / "repo") as server:
        place = Place(folder / "device" / LINE.model)
        shutil.copytree(origin.folder / f"device-{runs}", place.folder, symlinks=True)
        config = replace(configs.read(place), repository=server.url)
        place.config.write_text(to_json(config))
        device = Device(place, config)
        with device.model() as model:
            yield World(origin, published, server, device, model, runs)


def copied(origin: Origin, folder: Path) -> Published:
    """The publisher, with a copy of its keys and its repository."""
    made = copy.copy(origin.published)
    made.folder = folder / "publisher"
    shutil.copytree(origin.published.folder / "repo", made.folder / "repo")
    shutil.copytree(origin.published.folder / "keys", made.folder / "keys")
    made.keys = keys.load([made.folder / "keys"])
    made.repository = Repository(stores.open_store(str(made.folder / "repo")), made.keys, lambda: made.now)
    return made


class Thief:
    """Signs with keys of the publisher, past all that the publisher checks.

    Attributes:
        metadata: role -> its newest metadata, to be changed and written.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        read = world.published.repository.read()
        self.root = read.root
        self.metadata: dict[str, Metadata[Any]] = {
            "rollout": read.rollout, "targets": read.targets, "snapshot": read.snapshot, "timestamp": read.timestamp,
        }  # fmt: skip

    def signers(self, role: str) -> list[Signer]:
        """Those of the publisher for a role."""
        judge = self.metadata["targets"].signed if role == "rollout" else self.root.signed
        found = [self._world.published.keys.signer(role, keyid) for keyid in judge.get_delegated_role(role).keyids]
        return [signer for signer in found if signer is not None]

    def file(self, path: str, content: bytes) -> TargetFile:
        """Put a file of theirs into the repository, to be signed."""
        made = TargetFile.from_data(path, content, ["sha256"])
        place = self._world.repo / "targets" / made.get_prefixed_paths()[0]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return made

    def write(self, role: str, *, signers: list[Signer] | None = None) -> None:
        """Sign and write new metadata of a role, and of all above it, with their keys.

        Args:
            role: whose metadata was changed.
            signers: in place of the publisher's keys of that role.
        """
        metadata = self.metadata[role]
        metadata.signed.version += 1
        metadata.signatures.clear()
        for signer in self.signers(role) if signers is None else signers:
            metadata.sign(signer, append=True)
        content = metadata.to_bytes()
        name = "timestamp.json" if role == Timestamp.type else f"{metadata.signed.version}.{role}.json"
        self._world.metadata(name).write_bytes(content)
        made = MetaFile.from_data(metadata.signed.version, content, ["sha256"])
        if role in ("rollout", "targets"):
            self.metadata["snapshot"].signed.meta[f"{role}.json"] = made
            self.write("snapshot")
        elif role == "snapshot":
            self.metadata["timestamp"].signed.snapshot_meta = made
            self.write("timestamp")

    def renew(self, moment: datetime, *roles: str) -> None:
        """Sign these roles anew, believed until that moment."""
        for role in roles:
            self.metadata[role].signed.expires = moment
        for role in roles:
            self.write(role)


def stranger() -> Signer:
    """A key that nobody trusts."""
    return CryptoSigner.generate_ed25519()


def is_served(device: Device, versions: tuple[str, ...]) -> str:
    """The version that a new process serves: one of these, with its answers."""
    with device.model() as model:
        found = model.predict(X)
    assert found.version in versions
    np.testing.assert_allclose(found.outputs["probabilities"], expected(X, SEEDS[found.version]), atol=1e-5)
    return found.version
