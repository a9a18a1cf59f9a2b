"""Attacks by who stole keys: the online ones, or too few of the offline ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from tuf.api.metadata import Metadata, MetaFile, Root, TargetFile

from edgeship.publish.rotation import rotate
from edgeship.releases.documents import Policy, Rollout, written
from edgeship.releases.names import policy_path, rollout_path
from tests.device_repository import LINE, Handler

from .attack import attack
from .world import Thief, World, stranger

_POLICY, _ROLLOUT = policy_path(LINE), rollout_path(LINE)


def _next_root(world: World, edit: Callable[[Root], None], signatures: int, *, version: int = 2) -> None:
    """A root after the first one."""
    root = Metadata[Root].from_bytes(world.published.root)
    signers = [world.published.keys.signer("root", keyid) for keyid in root.signed.roles["root"].keyids]
    root.signed.version = version
    edit(root.signed)
    root.signatures.clear()
    for signer in signers[:signatures]:
        assert signer is not None
        root.sign(signer, append=True)
    world.metadata("2.root.json").write_bytes(root.to_bytes())


@attack(
    "root by 1 of 2 keys",
    r"UpdateRefused: .*root was signed by 1/2 keys",
    guards=("python-tuf: threshold",),
    without=r"updated 1\.1\.0",
)
def threshold(world: World) -> None:
    """Who stole one root key names a timestamp key of theirs."""
    thief = stranger()

    def edit(root: Root) -> None:
        root.add_key(thief.public_key, "timestamp")

    online = Thief(world)
    _next_root(world, edit, 1)
    online.write("timestamp", signers=[thief])


@attack(
    "root that leaves out a version",
    r"UpdateRefused: .*Expected root version 2 instead got version 7",
    guards=("python-tuf: next root",),
    without=r"updated 1\.1\.0",
)
def root_version(world: World) -> None:
    _next_root(world, lambda _: None, 3, version=7)


@attack(
    "root that its own keys do not sign",
    r"UpdateRefused: .*root was signed by 0/2 keys",
    guards=("python-tuf: next root",),
    without=r"updated 1\.1\.0",
)
def root_by_itself(world: World) -> None:
    def edit(root: Root) -> None:
        for keyid in list(root.roles["root"].keyids):
            root.revoke_key(keyid, "root")
        for _ in range(3):
            root.add_key(stranger().public_key, "root")

    _next_root(world, edit, 2)


def _evil_release(world: World) -> None:
    """1.9.0 as it would be published, signed by whoever signs targets."""
    world.published.release("1.9.0", 9)
    world.published.rollout("1.9.0")


@attack(
    "stolen online keys: targets of their own",
    r"UpdateRefused: .*targets was signed by 0/1 keys",
    guards=("python-tuf: signatures",),
    without=r"updated 1\.9\.0",
    heals="",
)
def own_targets(world: World) -> None:
    _evil_release(world)
    Thief(world).write("targets", signers=[stranger()])


@attack(
    "stolen online keys: targets signed by the key of rollout",
    r"UpdateRefused: .*targets was signed by 0/1 keys",
    guards=("python-tuf: signatures",),
    without=r"updated 1\.9\.0",
    heals="",
)
def targets_by_rollout(world: World) -> None:
    _evil_release(world)
    thief = Thief(world)
    thief.write("targets", signers=thief.signers("rollout"))


def _sign_online(world: World, document: Policy | Rollout) -> None:
    """What the key of rollout signs, past the checks of the publisher."""
    path = _ROLLOUT if isinstance(document, Rollout) else _POLICY
    thief = Thief(world)
    thief.metadata["rollout"].signed.targets[path] = thief.file(path, written(document))
    thief.write("rollout")


@attack(
    "stolen online keys: a rollout of a release that only they signed",
    r"kept 1\.0\.0",
    guards=("signed by targets itself",),
    without=r"updated 1\.9\.0",
    heals="",
)
def release_by_rollout(world: World) -> None:
    """The files of 1.9.0, which targets never signed."""
    before = dict(world.published.repository.read().targets.signed.targets)
    _evil_release(world)
    thief = Thief(world)
    signed = thief.metadata["targets"].signed.targets
    evil = {path: found for path, found in signed.items() if path not in before}
    thief.metadata["targets"].signed.targets = before
    thief.write("targets")
    thief.metadata["rollout"].signed.targets |= evil
    thief.write("rollout")


@attack(
    "stolen online keys: a rollout of a revoked version",
    r"kept 1\.0\.0",
    guards=("policy",),
    without=r"updated 1\.1\.0",
    heals="",
)
def revoked(world: World) -> None:
    world.published.policy("1.0.0", "1.1.0")
    _sign_online(world, Rollout(LINE.model, LINE.major, "again", "1.1.0"))


@attack(
    "stolen online keys: a rollout of a version below the floor",
    r"kept 1\.1\.0",
    guards=("policy",),
    without=r"updated 1\.0\.0",
    runs="1.1.0",
    heals="",
)
def below_floor(world: World) -> None:
    world.published.policy("1.1.0")
    _sign_online(world, Rollout(LINE.model, LINE.major, "down", "1.0.0"))


@attack(
    "stolen online keys: a rollout of another line",
    r"UpdateRefused: .*2\.0\.0 is not in the line points/v1",
    guards=("one line",),
    without=r"kept 1\.0\.0",
    heals="",
)
def another_line(world: World) -> None:
    _sign_online(world, Rollout(LINE.model, LINE.major, "major", "2.0.0"))


@attack(
    "stolen online keys: a policy signed by the key of rollout",
    r"kept 1\.0\.0",
    guards=("signed by targets itself",),
    without=r"updated 1\.1\.0",
    heals="",
)
def policy_by_rollout(world: World) -> None:
    world.published.policy("1.0.0", "1.1.0")
    _sign_online(world, Policy(LINE.model, LINE.major, "1.0.0"))


@attack(
    "stolen online keys: un-revoking by old targets",
    r"UpdateRefused: .*Expected targets\.json version",
    guards=("python-tuf: rollback", "versions that were seen"),
    without=r"updated 1\.1\.0",
    heals="",
)
def un_revoke(world: World) -> None:
    """The targets from before the revocation, under a new snapshot and a new timestamp."""
    old = world.newest("targets")
    version, content = int(old.name.partition(".")[0]), old.read_bytes()
    world.published.policy("1.0.0", "1.1.0")
    assert world.attempt().startswith("kept")
    thief = Thief(world)
    thief.metadata["snapshot"].signed.meta["targets.json"] = MetaFile.from_data(version, content, ["sha256"])
    thief.write("snapshot")


@attack(
    "stolen timestamp key: an old snapshot",
    r"UpdateRefused: .*New snapshot version must be >= ",
    guards=("python-tuf: rollback", "versions that were seen"),
    without=r"updated 1\.0\.0",
    runs="1.1.0",
    heals="",
)
def stolen_timestamp(world: World) -> None:
    thief = Thief(world)
    old = world.metadata("1.snapshot.json").read_bytes()
    thief.metadata["timestamp"].signed.snapshot_meta = MetaFile.from_data(1, old, ["sha256"])
    thief.write("timestamp")


@attack(
    "stolen online keys: a version that nobody reaches, healed by new keys",
    r"updated 1\.1\.0",
    guards=("new keys begin anew",),
    without=r"UpdateRefused: ",
    serves="1.1.0",
    heals="",
)
def fast_forward(world: World) -> None:
    """Section 5.3.11. The thief's metadata were verified and kept; then the publisher takes other keys."""
    good = world.published.snapshot("good")
    thief = Thief(world)
    thief.metadata["snapshot"].signed.version = thief.metadata["timestamp"].signed.version = 2**31
    thief.write("snapshot")
    assert world.attempt(check_only=True).startswith("available")
    shutil.rmtree(world.repo)
    good.rename(world.repo)
    repository = world.published.repository
    for role in ("snapshot", "timestamp"):
        repository, _ = rotate(repository, role)
    world.published.repository = repository


@attack(
    "stolen online keys: a path for a SHA-256",
    r"UpdateRefused: .*SHA-256",
    guards=("names of downloads",),
    without=r"outside: outside\.part$",
    heals="",
)
def traversal_by_hash(world: World) -> None:
    """Downloads lie under their SHA-256: this one would lie outside of the device's folder."""

    def cut_off(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"hostile")
        request.close_connection = True

    world.send("outside.v1.json", cut_off)
    thief = Thief(world)
    target = TargetFile(1000, {"sha256": "../../../outside"}, _ROLLOUT)
    thief.metadata["rollout"].signed.targets[_ROLLOUT] = target
    thief.write("rollout")


def rotated(world: World, role: str) -> None:
    """The publisher takes new keys for a role."""
    world.published.repository, _ = rotate(world.published.repository, role)
    world.published.keys = world.published.repository.keys


def _old_key(role: str) -> Callable[[World], None]:
    def do(world: World) -> None:
        old = Thief(world).signers(role)
        rotated(world, role)
        Thief(world).write(role, signers=old)

    return do


for _role in ("timestamp", "snapshot", "targets", "rollout"):
    attack(
        f"key of {_role} that was replaced",
        rf"UpdateRefused: .*{_role} was signed by 0/1 keys",
        guards=("python-tuf: signatures",),
        without=r"updated 1\.1\.0",
        heals="",
    )(_old_key(_role))


@attack(
    "keys of root that were replaced",
    r"UpdateRefused: .*root was signed by 0/2 keys",
    guards=("python-tuf: signatures",),
    without=r"updated 1\.1\.0",
    heals="",
)
def old_root_keys(world: World) -> None:
    """All three of them sign a third root, after the second one has replaced them."""
    online = Thief(world)
    old = online.signers("root")
    rotated(world, "root")
    assert world.attempt(check_only=True).startswith("available")
    root = Metadata[Root].from_bytes(world.metadata("2.root.json").read_bytes())
    root.signed.version = 3
    root.signatures.clear()
    for signer in old:
        root.sign(signer, append=True)
    world.metadata("3.root.json").write_bytes(root.to_bytes())
