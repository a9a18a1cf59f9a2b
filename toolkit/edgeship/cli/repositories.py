"""Options of commands that change or read an update repository, and what they become."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeship.cli import ui
from edgeship.cli.options import together

if TYPE_CHECKING:
    from edgeship.publish.repository import Change, Repository
    from edgeship.releases.names import Line

F = TypeVar("F", bound=Callable[..., Any])

FOLDER = click.Path(path_type=Path)
_LONGEST_PASSPHRASE = 4096

passphrase_files = click.option(
    "--passphrase-file",
    "passphrase_files",
    multiple=True,
    type=FOLDER,
    metavar="FILE",
    help="Its first line encrypts the private keys; one for all --keys, or one for each. Default: EDGESHIP_PASSPHRASE.",
)
keys = click.option(
    "--keys",
    "key_folders",
    multiple=True,
    required=True,
    type=FOLDER,
    metavar="DIR",
    help="Folder of keys; repeat where they are in several.",
)
repo = together(
    click.option("--repo", required=True, metavar="DIR|s3://...", help="The repository: a folder, or a bucket."),
    click.option("--endpoint-url", metavar="URL", help="Of a store that speaks S3 and is not Amazon's."),
)
#: What every command that signs takes.
signing = together(repo, keys, passphrase_files)


def passphrases(files: Sequence[Path]) -> list[str]:
    """The first line of each file; none: what EDGESHIP_PASSPHRASE says, if it is set."""
    from edgeship.errors import InputError

    found = []
    for path in files:
        try:
            with path.open(encoding="utf-8") as file:
                found.append(file.readline(_LONGEST_PASSPHRASE).rstrip("\r\n"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the passphrase in {path}: {error}") from error
    given = os.environ.get("EDGESHIP_PASSPHRASE")
    return found or ([given] if given else [])


def open_repository(
    address: str,
    endpoint_url: str | None,
    key_folders: Sequence[Path],
    files: Sequence[Path],
    *,
    reading: bool = False,
) -> Repository:
    """The repository, with keys. Says so where keys to throw away are used for what others can reach.

    With `reading` nothing will be signed: no passphrase is read, and the address may be that of a web server.
    """
    from edgeship.publish import keys as key_folders_
    from edgeship.publish.repository import Repository
    from edgeship.publish.stores import FolderStore, open_store

    store = open_store(address, endpoint_url=endpoint_url, reading=reading)
    found = key_folders_.load(key_folders, [] if reading else passphrases(files))
    if found.dev and not reading and not isinstance(store, FolderStore):
        warn(f"these are --dev keys, not encrypted and to be thrown away: do not let real devices trust {address}")
    return Repository(store, found)


def read_line(text: str) -> Line:
    """`MODEL/v1`. Raises InputError for anything else."""
    from edgeship.releases.names import line

    return line(text)


def warn(text: str) -> None:
    """A note on standard error."""
    ui.say(f"warning: {text}", err=True)


def warn_of_keys(repository: Repository) -> None:
    """Say so where a key could not be used, though the others of its role were enough."""
    for keyid, error in repository.keys.failures.items():
        warn(f"went on without the key {keyid[:8]}: {error.message}")


def warn_after(change: Change, repository: Repository) -> None:
    """Say so where metadata of an offline role ends soon, which online keys cannot renew, or a key did not sign."""
    warn_of_keys(repository)
    from edgeship.publish.keys import OFFLINE
    from edgeship.publish.repository import overdue

    for role, left in overdue(change.expires, repository.clock()).items():
        if role in OFFLINE:
            when = f"expires in {left.days} days" if left.days >= 0 else "has expired: no device takes updates"
            warn(f"the metadata of {role} {when}; renew: edgeship publish --refresh with the keys of {role}")
