"""Who signs a change: keys that the root names, present and next, and that are at hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from securesystemslib.signer import Signer
from tuf.api.exceptions import UnsignedMetadataError
from tuf.api.metadata import Metadata, Root, Targets

from edgeship.errors import EdgeshipError, RepositoryError
from edgeship.publish import tokens, trust
from edgeship.publish.draft import Draft
from edgeship.publish.keys import KeySet
from edgeship.publish.trust import ROLLOUT, S

#: Role -> how long what it signs is believed.
LIFE = {
    "root": timedelta(days=365),
    "targets": timedelta(days=180),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=1),
    "rollout": timedelta(days=7),
}


class Signing:
    """The keys at hand, as the roots of a draft trust them."""

    def __init__(self, keys: KeySet, draft: Draft) -> None:
        self._keys = keys
        self._draft = draft

    def check(self, role: str) -> None:
        """Raise RepositoryError, naming the keys that are lacking, unless this role can sign."""
        judge = self._judges(role)[-1]
        self._check(role, judge)

    def can(self, role: str) -> bool:
        """Whether enough keys of this role are at hand."""
        judge = self._judges(role)[-1]
        return len(self._signers(role, judge)) >= judge.get_delegated_role(role).threshold

    def bridges(self, role: str) -> bool:
        """Whether what this role signs is believed by those who do not know the next root yet."""
        judge = self._judges(role)[0]
        return len(self._signers(role, judge)) >= judge.get_delegated_role(role).threshold

    def sign(self, role: str, metadata: Metadata[S]) -> bytes:
        """The metadata with a new date, signed for the next root, and for the present one where its keys are here.

        Raises RepositoryError where keys are lacking, do not sign, or the metadata is larger than clients take.
        """
        self.check(role)
        metadata.signed.expires = self._draft.now + LIFE[role]
        metadata.signatures.clear()
        self._append(metadata, [s for judge in self._judges(role) for s in self._signers(role, judge)])
        content = metadata.to_bytes()
        if len(content) > trust.LIMITS[role]:
            raise RepositoryError(
                f"the metadata of {role} would have {len(content):,} bytes, clients take {trust.LIMITS[role]:,}",
                remedy="Publish new lines of releases to another repository.",
            )
        return content

    def root(self) -> Metadata[Root]:
        """The next root, signed as the present one and as itself says. Raises RepositoryError as `sign`."""
        assert self._draft.next_root is not None
        metadata = Metadata(self._draft.next_root)
        for judge in (self._draft.state.root.signed, self._draft.next_root):
            self._check("root", judge)
            self._append(metadata, self._signers("root", judge))
        return metadata

    def _judges(self, role: str) -> tuple[Root | Targets, ...]:
        if role == ROLLOUT:
            return (self._draft.state.targets.signed,)
        present, following = self._draft.state.root.signed, self._draft.next_root
        return (present,) if following is None else (present, following)

    def _signers(self, role: str, judge: Root | Targets) -> list[Signer]:
        trusted = judge.get_delegated_role(role).keyids
        return [signer for keyid in trusted if (signer := self._keys.signer(role, keyid)) is not None]

    def _append(self, metadata: Metadata[S], signers: Iterable[Signer]) -> None:
        for signer in signers:
            try:
                if signer.public_key.keyid not in metadata.signatures:
                    metadata.sign(signer, append=True)
            except UnsignedMetadataError as error:
                cause = error.__cause__ or error  # python-tuf wraps what the signer said
                if isinstance(cause, EdgeshipError):
                    raise cause from error
                raise tokens.did_not_sign(signer, cause) from error

    def _check(self, role: str, judge: Root | Targets) -> None:
        trusted = judge.get_delegated_role(role)
        if len(self._signers(role, judge)) >= trusted.threshold:
            return
        failed = {keyid: self._keys.failures[keyid] for keyid in trusted.keyids if keyid in self._keys.failures}
        if failed and len(trusted.keyids) == 1:
            raise failed[trusted.keyids[0]]
        entries = [(place, entry) for place, entry in self._keys.entries(role)]
        listed = {entry.keyid: f"{entry.uri} in {place} is missing" for place, entry in entries}
        listed |= {keyid: error.message for keyid, error in failed.items()}
        remedies = "".join(f" {text}" for text in dict.fromkeys(error.remedy for error in failed.values()) if text)
        wanted = [f"{keyid[:8]} ({listed.get(keyid, 'in none of the folders')})" for keyid in trusted.keyids]
        others = [entry.keyid[:8] for _, entry in entries if entry.keyid not in trusted.keyids]
        stale = f" The folders have {', '.join(others)}: of another repository, or rotated away." if others else ""
        places = ", ".join(map(str, self._keys.folders))
        raise RepositoryError(
            f"{role} cannot sign: {trusted.threshold} of its keys must be here, {', '.join(wanted)}",
            remedy="Give the folder that has them by --keys, which may be repeated; "
            f"looked at: {places}.{stale}{remedies}",
        )
