"""Attacks with what is fetched: files that are not what was signed, and signed ones that are not what they should."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgeship.delta import encode
from edgeship.releases.names import patch_path
from tests.device_repository import LINE, weights
from tests.tiny_tflite import model_bytes

from .attack import attack
from .hostile import endless_bytes, recursive_bytes
from .world import MODEL_1_1, PADDING, SEEDS, Thief, World, patch, plain

_MANIFEST = f"{MODEL_1_1}/manifest.json"


def _no_patch(world: World) -> None:
    """So that stored files are fetched."""
    for path in world.repo.rglob("*.esd"):
        path.unlink()


def _almost(content: bytes) -> bytes:
    """Another model that answers nearly the same: its golden samples do not tell."""
    found = weights(SEEDS["1.1.0"])
    tampered = model_bytes(weights=found * np.float32(1 + 1e-6)) + content[-PADDING:]
    assert len(tampered) == len(content)
    assert tampered != content
    return tampered


def _flipped(content: bytes) -> bytes:
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


#: Kind of damage -> what it makes of a file, what an update says of it, which guards that is, and what comes without.
_DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str, tuple[str, ...]]] = {
    "tampered": (_flipped, "is not the file that was signed", ("content of files",)),
    "with bytes behind it": (lambda content: content + b"?", "has more than the", ("length of files",)),
    "cut off": (
        lambda content: content[:-1],
        "ended after|is not the file",
        ("length of files", "length and content of files"),
    ),
}
_FILES: dict[str, Callable[[World], Path]] = {
    "manifest": lambda world: world.target(_MANIFEST),
    "golden sample": lambda world: world.target(f"{MODEL_1_1}/golden/output_0.npy"),
    "model": lambda world: world.target(f"{MODEL_1_1}/model.tflite"),
    "rollout document": lambda world: world.target(f"rollout/{LINE}.json"),
}


def _damage(file: str, change: Callable[[bytes], bytes]) -> Callable[[World], None]:
    def do(world: World) -> None:
        path = _FILES[file](world)
        _no_patch(world)
        path.write_bytes(change(path.read_bytes()))

    return do


for _file in _FILES:
    for _kind, (_change, _said, _guards) in _DAMAGES.items():
        attack(
            f"{_file} {_kind}",
            _said,
            guards=_guards,
            without=r"updated 1\.1\.0|kept 1\.0\.0|not JSON|is not the file that was signed",
        )(_damage(_file, _change))


@attack(
    "model that is another, nearly the same",
    "is not the file that was signed",
    guards=("content of files",),
    without=r"updated 1\.1\.0.*hostile",
)
def another_model(world: World) -> None:
    _damage("model", _almost)(world)


def _patched(content: Callable[[], bytes]) -> Callable[[World], None]:
    """A patch that was signed, wrong as it is."""

    def do(world: World) -> None:
        files = [hashlib.sha256(plain(version)).hexdigest() for version in ("1.0.0", "1.1.0")]
        path = patch_path(LINE, *files)
        thief = Thief(world)
        assert path in thief.metadata["targets"].signed.targets
        thief.metadata["targets"].signed.targets[path] = thief.file(path, content())
        thief.write("targets")

    return do


def _bomb() -> bytes:
    """A megabyte in a few bytes; the check sums of both files are right."""
    made = encode(plain("1.0.0"), bytes(1 << 20))
    assert len(made) < 1000
    return made


def _to_another() -> bytes:
    return encode(plain("1.0.0"), _almost(plain("1.1.0")))


_PATCHES: dict[str, tuple[Callable[[], bytes], tuple[str, ...], str]] = {
    "is damaged": (lambda: _flipped(patch()), ("the stored file where a patch fails",), r"RuntimeError: no other way"),
    "is for another file": (
        lambda: encode(plain("1.0.0")[:-1], plain("1.1.0")),
        ("the stored file where a patch fails",),
        r"RuntimeError: no other way: .*made for another file",
    ),
    "is a bomb": (
        _bomb,
        ("size of what a patch makes", "the stored file where a patch fails"),
        r"RuntimeError: no other way: model.tflite does not decode to",
    ),
    "makes another file": (_to_another, ("content of files",), r"updated 1\.1\.0.*hostile"),
}

for _kind, (_content, _guards, _without) in _PATCHES.items():
    attack(
        f"patch that {_kind}",
        r"updated 1\.1\.0(?!.*hostile)",
        guards=_guards,
        without=_without,
        serves="1.1.0",
        heals="",
    )(_patched(_content))


def _offered(world: World, edit: Callable[[dict[str, Any]], Any], *, files: bytes = b"") -> None:
    """1.2.0 for all, signed by all roles, with a manifest that no publisher of ours would make."""
    world.published.release("1.2.0", 5, compress=False)
    world.published.rollout("1.2.0")
    path = f"models/{LINE}/1.2.0/tflite-float32/manifest.json"
    document = json.loads(world.target(path).read_bytes())
    thief = Thief(world)
    signed = thief.metadata["targets"].signed.targets
    name = edit(document)
    if name is not None:
        entry = next(file for file in document["files"] if file["name"] == name)
        signed[f"{path.rpartition('/')[0]}/{name}"] = thief.file(f"{path.rpartition('/')[0]}/{name}", files)
        entry["size_bytes"] = len(files)
        entry["sha256"] = signed[f"{path.rpartition('/')[0]}/{name}"].hashes["sha256"]
    signed[path] = thief.file(path, json.dumps(document).encode())
    thief.write("targets")


def _says(**said: Any) -> Callable[[World], None]:
    return lambda world: _offered(world, lambda document: document.update(said))


for _what, _edit in {
    "version": {"version": "1.1.0"},
    "model": {"name": "words"},
    "variant": {"variant": "int8"},
}.items():
    attack(
        f"manifest of another {_what}",
        r"kept 1\.0\.0.*is the manifest of",
        guards=("manifest of this release",),
        without=r"updated 1\.2\.0",
        heals="",
    )(_says(**_edit))


@attack(
    "manifest with a file outside of its folder",
    r"kept 1\.0\.0.*must be a name inside the folder",
    guards=("names in manifests",),
    without=r"updated 1\.2\.0.*outside: outside$",
    heals="",
)
def traversal_by_name(world: World) -> None:
    content = b"hostile"

    def edit(document: dict[str, Any]) -> str:
        document["files"].append({"name": "../../../../outside", "stored": None})
        return "../../../../outside"

    _offered(world, edit, files=content)


def _with_model(content: bytes) -> Callable[[World], None]:
    def do(world: World) -> None:
        world.published.release("1.2.0", 5, model=content, compress=False)
        world.published.rollout("1.2.0")
        limits = world.device.config.limits
        world.device.set(limits=limits.__class__(**{**limits.__dict__, "test_seconds": 2.0}))

    return do


for _what, _content, _end in (
    ("crashes", recursive_bytes, "died of SIGSEGV"),
    ("never ends", endless_bytes, "gave no sign for 2 s"),
    ("is no model", lambda: b"hostile", "LiteRT cannot open"),
):
    attack(
        f"model that {_what}",
        rf"kept 1\.0\.0.*refused: 1\.2\.0: .*{_end}",
        guards=("self-test",),
        without=r"updated 1\.2\.0",
        heals="",
    )(_with_model(_content()))
