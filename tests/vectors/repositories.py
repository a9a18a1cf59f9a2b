"""Write repositories.json: `python -m tests.vectors.repositories FOLDER` makes them in an empty folder, of the attacks.

A case is a device that runs a release, and a repository that it meets then. Files are kept once, by SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from edgeship.publish.keymaking import Making
from tests.attacks import on_files, on_keys, on_metadata
from tests.attacks.attack import ATTACKS, Attack
from tests.attacks.world import SEEDS, VARIANT, Origin, World, make_origin, world
from tests.device_repository import LINE, NOW, Published

FILE = Path(__file__).parent / "repositories.json"
#: What such a device draws does not matter here: no rollout of these repositories has arms.
INSTALL_ID = "0" * 32
#: Where the attacks come from that change nothing but files of a repository, and the clock.
_MODULES = (on_metadata, on_keys, on_files)
_DESCRIPTION = """\
Repositories (docs/updates/repository.md). A device enrolled with `root` has updated from `states[before]` and runs that
release. At `now` it meets `repository`. Afterwards it runs `serves`; `refused` says whether anything that was offered
was refused. Files are paths with SHA-256; their content is in `files`, in base64."""
_MOMENT = "%Y-%m-%dT%H:%M:%SZ"


def make(folder: Path) -> dict[str, Any]:
    """All cases, of one repository with two releases, and of one with keys on P-256."""
    origin = make_origin(folder / "origin")
    blobs: dict[str, str] = {}
    states = {
        "1.0.0": _listed(folder / "origin" / "repo-1.0.0", blobs),
        "1.1.0": _listed(origin.published.folder / "repo", blobs),
    }
    nothing = Attack("an update, with a patch", lambda _: None, "", (), "", serves="1.1.0")
    again = Attack("nothing new", lambda _: None, "", (), "", runs="1.1.0", serves="1.1.0")
    root = _kept(origin.published.root, blobs)
    cases = []
    for number, one in enumerate([nothing, again, *ATTACKS]):
        found = _case(one, origin, folder / str(number), blobs)
        if found is not None:
            cases.append({"root": root, **found})
    cases.append(_p256(folder / "p256", states, blobs))
    return {
        "description": _DESCRIPTION,
        "line": str(LINE),
        "variants": [VARIANT],
        "install_id": INSTALL_ID,
        "enrolled": NOW.strftime(_MOMENT),
        "states": states,
        "cases": cases,
        "files": blobs,
    }


def _p256(folder: Path, states: dict[str, dict[str, str]], blobs: dict[str, str]) -> dict[str, Any]:
    """An update signed by ECDSA keys."""
    published = Published(folder, Making("p256"))
    published.release("1.0.0", SEEDS["1.0.0"])
    states["1.0.0 p256"] = _listed(folder / "repo", blobs)
    published.release("1.1.0", SEEDS["1.1.0"])
    published.rollout("1.1.0")
    return {
        "root": _kept(published.root, blobs),
        "name": "an update signed with ECDSA on P-256",
        "before": "1.0.0 p256",
        "now": NOW.strftime(_MOMENT),
        "repository": _listed(folder / "repo", blobs),
        "serves": "1.1.0",
        "refused": False,
    }


def _case(one: Attack, origin: Origin, folder: Path, blobs: dict[str, str]) -> dict[str, Any] | None:
    """What a device meets; None where an attack changes more than a repository's files."""
    folder.mkdir()
    with world(origin, folder, one.runs) as here:
        device = _state(here)
        one.do(here)
        if here.server.trick is not None or _state(here) != device:
            return None
        result = here.attempt()
        here.check_serving(one.serves)
        return {
            "name": one.name,
            "before": one.runs,
            "now": here.device.now.strftime(_MOMENT),
            "repository": _listed(here.repo, blobs),
            "serves": one.serves,
            "refused": bool(re.match(r"\w+(Refused|Unavailable|Error):", result)) or "; refused: " in result,
        }


def _state(here: World) -> dict[str, str]:
    """The device's folder, by path; what updates write there is no part of it."""
    place = here.device.place.folder
    files = (path for path in sorted(place.rglob("*")) if path.is_file())
    return {path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _listed(folder: Path, blobs: dict[str, str]) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): _kept(path.read_bytes(), blobs) for path in files}


def _kept(content: bytes, blobs: dict[str, str]) -> str:
    digest = hashlib.sha256(content).hexdigest()
    blobs[digest] = base64.b64encode(content).decode()
    return digest


if __name__ == "__main__":
    FILE.write_text(json.dumps(make(Path(sys.argv[1])), indent=1) + "\n")
