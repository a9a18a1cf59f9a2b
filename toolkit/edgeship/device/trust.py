"""What a repository says, verified: the TUF client workflow (specification 1.0.34, section 5) by python-tuf.

Beside it the three things that it leaves to its user: the clock, what happens when local metadata is lost, and what is
taken from which role.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Timestamp
from tuf.ngclient._internal.trusted_metadata_set import TrustedMetadataSet
from tuf.ngclient.config import EnvelopeType
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater

from edgeship.device import clock, durable
from edgeship.device import config as configs
from edgeship.device.config import Config, Place
from edgeship.device.network import Http, is_page, page_instead
from edgeship.device.seen import Seen, not_before, read_seen, same_signers
from edgeship.errors import InputError, RepositoryUnavailable, UpdateRefused
from edgeship.releases.moments import moment_of, text_of

logging.getLogger("tuf").addHandler(logging.NullHandler())

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Target:
    """A file of a repository, as it was signed."""

    path: str
    sha256: str
    length: int

    @property
    def address(self) -> str:
        """Where it lies under `targets/`: every name has the SHA-256 before its last part."""
        folder, _, name = self.path.rpartition("/")
        return quote(f"{folder}/{self.sha256}.{name}")


def check_root(content: bytes) -> None:
    """Raise InputError for what is no root metadata signed by enough of its own keys."""
    try:
        TrustedMetadataSet(content, EnvelopeType.METADATA)
    except exceptions.RepositoryError as error:
        raise InputError(
            f"that is no root of a repository: {error}",
            remedy="Give its metadata/1.root.json, from a source you trust.",
        ) from error


def succeeds(place: Place, anchor: bytes, root: bytes) -> bool:
    """Whether a root follows an anchor, each one signed by the one before; those between are what the device kept."""
    try:
        trusted = TrustedMetadataSet(anchor, EnvelopeType.METADATA)
        for version in range(trusted.root.version + 1, Metadata[Root].from_bytes(root).signed.version):
            trusted.update_root((place.tuf / "root_history" / f"{version}.root.json").read_bytes())
        trusted.update_root(root)
    except (OSError, exceptions.RepositoryError):
        return False
    return True


class Repository:
    """A repository at one moment. `refresh` comes first.

    Args:
        place: of the enrolment, whose root is believed.
        config: where the repository is.
        http: to reach it.
        now: what the clock says.
    """

    def __init__(self, place: Place, config: Config, http: Http, now: datetime) -> None:
        self._place, self._now = place, now
        self._address = config.repository.rstrip("/")
        self._http = http
        self._seen = read_seen(place)
        self._client: _Client | None = None

    def refresh(self) -> Seen:
        """Bring the metadata up to date; what is seen now.

        Raises:
            RepositoryUnavailable: no answer, or none of a repository; or the clock is behind what has passed.
            UpdateRefused: what it says is not signed, not fresh, or older than what was seen.
        """
        clock.check(self._now, None if self._seen is None else moment_of(self._seen.passed))
        root = configs.anchor(self._place)
        with durable.storage(self._place.tuf), _typed(self._address):
            self._place.tuf.mkdir(exist_ok=True)
            for left in self._place.tuf.glob("tmp*"):
                left.unlink()  # of python-tuf, where it was cut
            keys = {} if self._seen is None else self._seen.keys
            self._client = _Client(self._place.tuf, self._address, self._http, root, keys)
            self._client.set_time(self._now)
            self._client.refresh()
        found = self._client.seen(self._now)
        not_before(self._seen, found)
        return found

    def offline(self, path: str) -> Target | None:
        """A file that the role `targets` itself has signed: no delegated role can say what a release is."""
        found = self._trusted().signed_by_targets(path)
        return None if found is None else _target(found)

    def offline_paths(self) -> Iterable[str]:
        """Of all files that the role `targets` itself has signed."""
        return self._trusted().paths_of_targets()

    def delegated(self, path: str) -> Target | None:
        """A file that whoever is trusted with its path has signed."""
        with durable.storage(self._place.tuf), _typed(self._address):
            found = self._trusted().get_targetinfo(path)
        return None if found is None else _target(found)

    def url(self, target: Target) -> str:
        """Where a file is fetched."""
        return f"{self._address}/targets/{target.address}"

    def _trusted(self) -> _Client:
        assert self._client is not None, "refresh comes first"
        return self._client


def _target(found: TargetFile) -> Target:
    digest = found.hashes.get("sha256", "")
    if not _SHA256.fullmatch(digest):  # files are kept under it: python-tuf takes any text for one
        raise UpdateRefused(f"{found.path} is signed without its SHA-256")
    return Target(found.path, digest, found.length)


@contextmanager
def _typed(address: str) -> Iterator[None]:
    """python-tuf's errors as ours: what cannot be had, and what is refused."""
    try:
        yield
    except exceptions.ExpiredMetadataError as error:
        raise UpdateRefused(
            f"{address}: {error}", remedy="Its publisher has not renewed it, or the clock of this device is ahead."
        ) from error
    except exceptions.DownloadLengthMismatchError as error:
        raise UpdateRefused(f"{address}: {error}") from error
    except exceptions.DownloadError as error:
        raise RepositoryUnavailable(f"{address}: {error}", remedy="Is that the address of a repository?") from error
    except exceptions.RepositoryError as error:
        raise UpdateRefused(f"{address}: {error}", remedy="Nothing was changed; the model goes on.") from error


class _Client(Updater):
    """python-tuf's client with our network; all that is not public in python-tuf is used here and nowhere else."""

    def __init__(self, folder: Path, address: str, http: Http, root: bytes, keys: Mapping[str, str]) -> None:
        super().__init__(str(folder), f"{address}/metadata/", fetcher=_Fetcher(http), bootstrap=root)
        self._keys = keys

    def set_time(self, now: datetime) -> None:
        """The moment at which metadata must not have expired."""
        self._trusted_set.reference_time = now

    def _load_timestamp(self) -> None:
        # Section 5.3.11: after a rotation what the old keys signed is no floor, or a thief could set one forever.
        if self._keys and not same_signers(self._keys, self._signers()):
            for name in (Timestamp.type, Snapshot.type):
                Path(self._dir, f"{name}.json").unlink(missing_ok=True)
        super()._load_timestamp()

    def _signers(self) -> dict[str, str]:
        roles = self._trusted_set.root.roles
        return {
            name: hashlib.sha256(" ".join(sorted(role.keyids)).encode()).hexdigest() for name, role in roles.items()
        }

    def seen(self, now: datetime) -> Seen:
        """What all of it says about versions, keys and time."""
        trusted = self._trusted_set
        versions = {name: meta.version for name, meta in trusted.snapshot.meta.items()}
        versions |= {"timestamp.json": trusted.timestamp.version, "snapshot.json": trusted.snapshot.version}
        moment = clock.proven(now, trusted.timestamp.expires)
        return Seen(text_of(moment), trusted.root.version, self._signers(), versions)

    def signed_by_targets(self, path: str) -> TargetFile | None:
        """What the top-level role says about a path, its delegations left out."""
        return self._trusted_set.targets.targets.get(path)

    def paths_of_targets(self) -> Iterable[str]:
        """All of that role."""
        return self._trusted_set.targets.targets.keys()


class _Fetcher(FetcherInterface):
    """Metadata over our network. python-tuf holds them to their largest size."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def _fetch(self, url: str) -> Iterator[bytes]:
        with self._http.get(url) as answer:
            if answer.status >= 400:
                raise exceptions.DownloadHTTPError(f"{url} answers {answer.status}", answer.status)
            for number, chunk in enumerate(answer.chunks):
                if not number and is_page(chunk):
                    raise page_instead(url)
                yield chunk
