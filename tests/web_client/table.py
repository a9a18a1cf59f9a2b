"""Each attack that the web client meets: what it says, what holds, and what would come of it without that."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.attacks import on_files, on_keys, on_metadata, on_network
from tests.attacks.attack import ATTACKS, Attack

_MODULES = (on_metadata, on_keys, on_files, on_network)


@dataclass(frozen=True)
class Holds:
    """As in `tests.attacks.attack.Attack`, of the web client: regular expressions for what `attempt` says."""

    holds: str
    guards: tuple[str, ...]
    without: str


_HASHED = "hashes of metadata", "signatures", "size of answers", "parser"
_UPDATED = r"updated 1\.1\.0"
_ANY = r"updated|kept|current|no rollout|is not the file|is another file"
_BEHIND = r"updated 1\.1\.0|kept 1\.0\.0|is no JSON|is not the file|cannot be fetched"
_FILES = "(manifest|golden sample|model|rollout document)"
_PAGE = r"UnavailableError: .*answers with a web page"
_OTHER_WAY = "the stored file where a patch fails"

#: The beginning of an attack's name -> what there is to say about it; the first that fits.
_TABLE: tuple[tuple[str, Holds], ...] = (
    (
        "replay of",
        Holds(r"RefusedError: .*was seen already", ("rollback", "versions that were seen"), r"updated 1\.0\.0"),
    ),
    ("replay after", Holds(r"RefusedError: .*was seen already", ("versions that were seen",), r"updated 1\.0\.0")),
    ("freeze", Holds(r"RefusedError: .*expired", ("expiry",), _UPDATED)),
    (
        "mix and match",
        Holds(r"RefusedError: .*is not what was signed", ("hashes of metadata",), r"says that it is version"),
    ),
    ("tampered timestamp", Holds(r"RefusedError: .*signed by 0", ("signatures",), _UPDATED)),
    ("timestamp that is cut", Holds(r"RefusedError: .*is no JSON", ("parser",), _UPDATED)),
    ("timestamp with bytes", Holds(r"RefusedError: .*is no JSON", ("parser",), _UPDATED)),
    (
        "(snapshot|targets|rollout) (tampered|with|cut)",
        Holds(r"RefusedError: .*(is not what was signed|more than)", _HASHED, _ANY),
    ),
    ("timestamp by", Holds(r"RefusedError: .*signed by 0", ("signatures",), _UPDATED)),
    (
        "metadata of another",
        Holds(r"RefusedError: timestamp is metadata of snapshot", ("type of metadata",), r"^(?!updated)"),
    ),
    ("root by 1 of 2", Holds(r"RefusedError: root is signed by 1 .*2 are needed", ("threshold",), _UPDATED)),
    ("root that leaves", Holds(r"RefusedError: root 2 says that it is version 7", ("next root",), _UPDATED)),
    ("root that its own", Holds(r"RefusedError: root is signed by 0 ", ("next root",), _UPDATED)),
    (
        "stolen online keys: targets",
        Holds(r"RefusedError: targets is signed by 0", ("signatures",), r"updated 1\.9\.0"),
    ),
    (
        "stolen online keys: a rollout of a release",
        Holds(r"kept 1\.0\.0", ("signed by targets itself",), r"updated 1\.9\.0"),
    ),
    ("stolen online keys: a rollout of a revoked", Holds(r"kept 1\.0\.0", ("policy",), _UPDATED)),
    ("stolen online keys: a rollout of a version", Holds(r"kept 1\.1\.0", ("policy",), r"updated 1\.0\.0")),
    (
        "stolen online keys: a rollout of another",
        Holds(r"RefusedError: .*of the line v1", ("one line",), r"kept 1\.0\.0"),
    ),
    ("stolen online keys: a policy", Holds(r"kept 1\.0\.0", ("signed by targets itself",), _UPDATED)),
    (
        "stolen online keys: un-revoking",
        Holds(r"RefusedError: .*targets\.json is version .*seen", ("rollback", "versions that were seen"), _UPDATED),
    ),
    (
        "stolen timestamp key",
        Holds(
            r"RefusedError: .*snapshot.* is version .*seen", ("rollback", "versions that were seen"), r"updated 1\.0\.0"
        ),
    ),
    ("stolen online keys: a version that nobody", Holds(_UPDATED, ("new keys begin anew",), r"RefusedError: ")),
    (
        "stolen online keys: a path",
        Holds(r"RefusedError: .*sha256 must be", ("names of downloads",), r"UnavailableError: "),
    ),
    ("key of", Holds(r"RefusedError: .*is signed by 0", ("signatures",), _UPDATED)),
    ("keys of root", Holds(r"RefusedError: root is signed by 0", ("signatures",), _UPDATED)),
    (
        "manifest with a file",
        Holds(
            r"kept 1\.0\.0.*must be a text like", ("names in manifests",), r"kept 1\.0\.0.*not signed|updated 1\.2\.0"
        ),
    ),
    (f"{_FILES} tampered", Holds(r"is not the file that was signed", ("content of files",), _BEHIND)),
    (f"{_FILES} with", Holds(r"has more than the", ("size of answers",), _BEHIND)),
    (f"{_FILES} cut", Holds(r"ended after", ("length of files",), _BEHIND)),
    (
        "model that is another",
        Holds(r"is not the file that was signed", ("content of files",), r"updated 1\.1\.0.*hostile"),
    ),
    ("patch that makes", Holds(r"updated 1\.1\.0(?!.*hostile)", ("content of files",), r"updated 1\.1\.0.*hostile")),
    (
        "patch that is a bomb",
        Holds(
            r"updated 1\.1\.0(?!.*hostile)",
            ("size of what a patch makes", _OTHER_WAY),
            r"kept 1\.0\.0.*model\.tflite is another file",
        ),
    ),
    ("patch that", Holds(r"updated 1\.1\.0(?!.*hostile)", (_OTHER_WAY,), r"PatchError: ")),
    (
        "manifest of another",
        Holds(r"kept 1\.0\.0.*is the manifest of", ("manifest of this release",), r"updated 1\.2\.0"),
    ),
    ("model that is no", Holds(r"kept 1\.0\.0.*refused: 1\.2\.0: self-test", ("self-test",), r"updated 1\.2\.0")),
    ("(timestamp|root) without end", Holds(r"RefusedError: .*has more than", ("size of answers",), r"is no JSON")),
    ("file without end", Holds(r"has more than", ("size of answers",), r"cannot be fetched")),
    ("document larger", Holds(r"65536 are allowed", ("size of documents",), r"is no JSON")),
    ("(timestamp|file) that comes", Holds(r"UnavailableError: .*answers too slowly", ("deadline",), _UPDATED)),
    ("login page that", Holds(_PAGE, ("pages for people under another name",), r"is no JSON")),
    ("login page", Holds(_PAGE, ("pages for people", "pages for people under another name"), r"is no JSON")),
    ("redirect to a login", Holds(_PAGE, ("pages for people", "pages for people under another name"), r"is no JSON")),
    # The platform's own fetch holds here, which nobody can take away.
    ("redirect out of", Holds(r"UnavailableError: .*cannot be fetched", (), r"UnavailableError")),
    ("clock at 1970", Holds(r"UnavailableError: the clock says 1970-01-01", ("clock that is behind",), _UPDATED)),
    ("clock that fell", Holds(r"UnavailableError: .*has passed already", ("clock that is behind",), _UPDATED)),
    ("clock at 2040", Holds(r"RefusedError: .*expired", ("expiry",), _UPDATED)),
    (
        "clock that was",
        Holds(_UPDATED, ("moments are proven by signatures",), r"UnavailableError: .*has passed already"),
    ),
)

#: Attacks that need a runtime for .tflite files in a process of its own; the web client's are in its own tests.
_OTHERS = ("model that crashes", "model that never ends")


def attacks() -> list[tuple[Attack, Holds]]:
    """All that the web client meets, in the order of docs/updates/threats.md."""
    return [(found, _of(found.name)) for found in ATTACKS if found.name not in _OTHERS]


def _of(name: str) -> Holds:
    return next(holds for pattern, holds in _TABLE if re.match(pattern, name))
