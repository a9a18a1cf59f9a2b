"""What stands against the attacks: each guard is one check of ours or of python-tuf, and how to take it away."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tuf.api import _payload as payload
from tuf.api.metadata import Metadata, MetaFile, Root, TargetFile
from tuf.api.serialization.json import JSONDeserializer
from tuf.ngclient._internal import trusted_metadata_set
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.fetcher import FetcherInterface

from edgeship import manifest as manifests
from edgeship.delta import decoder
from edgeship.device import clock, download, network, seen, selftest, slots, trust
from edgeship.device.fetching import Fetching
from edgeship.device.network import Http
from edgeship.releases import documents
from edgeship.releases.documents import Policy

Patch = pytest.MonkeyPatch
Remove = Callable[[Patch], None]

#: Name in docs/updates/threats.md -> takes the guard away.
GUARDS: dict[str, Remove] = {}


def guard(name: str) -> Callable[[Remove], Remove]:
    def add(remove: Remove) -> Remove:
        GUARDS[name] = remove
        return remove

    return add


@guard("python-tuf: signatures")
def _signatures(patch: Patch) -> None:
    patch.setattr(payload.VerificationResult, "verified", True)


@guard("python-tuf: threshold")
def _threshold(patch: Patch) -> None:
    patch.setattr(payload.VerificationResult, "verified", property(lambda self: len(self.signed) >= 1))


@guard("python-tuf: next root")
def _next_root(patch: Patch) -> None:
    """python-tuf's `update_root` without its last two checks: the next version, and signed by itself."""

    def update(self: Any, data: bytes) -> Root:
        found: Root = self._load_data(Root, data, self.root)[0]
        self._add(Root.type, found, Root.type)
        return found

    patch.setattr(TrustedMetadataSet, "update_root", update)


@guard("python-tuf: rollback")
def _rollback(patch: Patch) -> None:
    """It compares with what it has loaded before: here that is forgotten."""
    for role in ("timestamp", "snapshot"):
        _forgetting(patch, role)


def _forgetting(patch: Patch, role: str) -> None:
    checked = getattr(TrustedMetadataSet, f"update_{role}")

    def update(self: Any, *args: Any, **more: Any) -> Any:
        self._trusted_set.pop(role, None)
        return checked(self, *args, **more)

    patch.setattr(TrustedMetadataSet, f"update_{role}", update)


@guard("python-tuf: expiry")
def _expiry(patch: Patch) -> None:
    patch.setattr(payload.Signed, "is_expired", lambda *_: False)


@guard("python-tuf: hashes of metadata")
def _metadata_hashes(patch: Patch) -> None:
    patch.setattr(MetaFile, "verify_length_and_hashes", lambda *_: None)


@guard("python-tuf: size of metadata")
def _metadata_size(patch: Patch) -> None:
    fetched = FetcherInterface.download_bytes
    patch.setattr(FetcherInterface, "download_bytes", lambda self, url, _: fetched(self, url, 1 << 40))


@guard("python-tuf: type of metadata")
def _metadata_type(patch: Patch) -> None:
    def load(role: Any, data: bytes, delegator: Any = None, role_name: str | None = None) -> Any:
        found = Metadata.from_bytes(data)
        if delegator:
            delegator.verify_delegate(role_name or found.signed.type, found.signed_bytes, found.signatures)
        return found.signed, found.signed_bytes, found.signatures

    patch.setattr(trusted_metadata_set, "_load_from_metadata", load)


@guard("python-tuf: parser")
def _parser(patch: Patch) -> None:
    """What is behind a document, or lacking at its end, does not matter."""

    def deserialize(_: object, raw: bytes) -> Metadata[Any]:
        found, _end = json.JSONDecoder().raw_decode(f"{raw.decode()}}}".lstrip())
        return Metadata.from_dict(found)

    patch.setattr(JSONDeserializer, "deserialize", deserialize)


@guard("versions that were seen")
def _seen(patch: Patch) -> None:
    patch.setattr(trust, "not_before", lambda *_: None)


@guard("new keys begin anew")
def _renewing(patch: Patch) -> None:
    for module in (trust, seen):
        patch.setattr(module, "same_signers", lambda *_: True)


@guard("signed by targets itself")
def _offline_only(patch: Patch) -> None:
    """What the online role has signed counts as much, and first."""

    def found(self: Any, path: str) -> TargetFile | None:
        online: TargetFile | None = self._load_targets("rollout", "targets").targets.get(path)
        return online or self._trusted_set.targets.targets.get(path)

    patch.setattr(trust._Client, "signed_by_targets", found)


@guard("names of downloads")
def _target_names(patch: Patch) -> None:
    patch.setattr(trust, "_SHA256", re.compile(".*"))


@guard("policy")
def _policy(patch: Patch) -> None:
    patch.setattr(Policy, "allows", lambda *_: True)


@guard("one line")
def _line(patch: Patch) -> None:
    patch.setattr(documents, "_in_line", lambda *_: None)


@guard("content of files")
def _content(patch: Patch) -> None:
    """Files are known by their length alone."""
    patch.setattr(slots, "is_file", lambda path, _, size: path.is_file() and path.stat().st_size == size)


@guard("length of files")
def _length(patch: Patch) -> None:
    """What comes is written, however much or little it is."""

    def store(answer: Any, _url: str, part: Path, _length: int) -> None:
        with part.open("ab" if answer.status == 206 else "wb") as file:
            for chunk in answer.chunks:
                file.write(chunk)

    patch.setattr(download, "_store", store)


@guard("length and content of files")
def _length_and_content(patch: Patch) -> None:
    patch.setattr(slots, "is_file", lambda path, *_: path.is_file())


@guard("size of documents")
def _document_size(patch: Patch) -> None:
    patch.setattr(documents, "LIMIT_BYTES", 1 << 40)


@guard("manifest of this release")
def _its_own_manifest(patch: Patch) -> None:
    """A manifest is believed to be that of the release it was looked for."""
    checked, read = Fetching.manifest, manifests.read

    def manifest(self: Any, target: Any, release: Any, variant: str) -> Any:
        form, _, kind = variant.partition("-")
        said = {"kind": "device", "name": "points", "version": str(release), "format": form, "variant": kind}
        with Patch.context() as inner:
            inner.setattr(manifests, "read", lambda *args: replace(read(*args), **said))
            return checked(self, target, release, variant)

    patch.setattr(Fetching, "manifest", manifest)


@guard("names in manifests")
def _file_names(patch: Patch) -> None:
    patch.setattr(manifests, "is_file_name", lambda _: True)


@guard("size of what a patch makes")
def _patch_size(patch: Patch) -> None:
    decode = decoder.decode
    patch.setattr(decoder, "decode", lambda old, given, **_: decode(old, given))


@guard("the stored file where a patch fails")
def _fallback(patch: Patch) -> None:
    patched = Fetching._patched

    def only(self: Any, entry: Any) -> Any:
        try:
            return patched(self, entry)
        except Exception as error:
            raise RuntimeError(f"no other way: {error}") from error

    patch.setattr(Fetching, "_patched", only)


@guard("deadline")
def _deadline(patch: Patch) -> None:
    patch.setattr(Http, "_cut", lambda _: None)


@guard("pages for people")
def _pages(patch: Patch) -> None:
    patch.setattr(network, "_refuse_pages", lambda *_: None)


@guard("pages for people under another name")
def _hidden_pages(patch: Patch) -> None:
    patch.setattr(trust, "is_page", lambda _: False)


@guard("where redirects may lead")
def _redirects(patch: Patch) -> None:
    patch.setattr(network, "_redirected", lambda _, location: location)


@guard("clock that is behind")
def _clock(patch: Patch) -> None:
    patch.setattr(clock, "check", lambda *_: None)


@guard("moments are proven by signatures")
def _proven(patch: Patch) -> None:
    patch.setattr(clock, "proven", lambda now, _: now)


@guard("self-test")
def _self_test(patch: Patch) -> None:
    patch.setattr(selftest, "check", lambda *_: None)
