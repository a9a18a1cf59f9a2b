"""keys: who may sign what devices run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeship.cli import repositories, ui

if TYPE_CHECKING:
    from edgeship.publish.keymaking import Making
    from edgeship.publish.keys import KeySet

_ROLES = ("root", "targets", "snapshot", "timestamp", "rollout")

_scheme = click.option(
    "--scheme",
    type=click.Choice(["ed25519", "p256"]),
    default="ed25519",
    show_default=True,
    help="p256: for fleets with older Android devices, and as hardware tokens sign.",
)
_given = click.option(
    "--key",
    "given",
    multiple=True,
    type=(click.Choice(_ROLES), str, repositories.FOLDER),
    metavar="ROLE URI PUBLIC.pem",
    help="A key that stays where it is (hsm:, awskms:, gcpkms:, azurekms:, hv:), and its public half; repeat.",
)


@click.group()
def keys() -> None:
    """Make, show and replace the keys of an update repository.

    \b
    Example:
      edgeship keys init keys --dev
    """


@keys.command()
@click.argument("folder", type=repositories.FOLDER)
@click.option("--online", type=repositories.FOLDER, metavar="DIR", help="Put the keys of the online roles here.")
@_scheme
@_given
@repositories.passphrase_files
@click.option("--dev", is_flag=True, help="Keys to throw away, not encrypted.")
@ui.json_option
def init(
    folder: Path,
    online: Path | None,
    scheme: str,
    given: tuple[tuple[str, str, Path], ...],
    passphrase_files: tuple[Path, ...],
    dev: bool,
    as_json: bool,
) -> int:
    """Make the keys of all roles in a new FOLDER.

    Three keys of root, of which two must sign, and one each of targets (offline), snapshot, timestamp and rollout
    (online). root.json beside them is what devices are enrolled with. Private keys are PEM files, encrypted with a
    passphrase of 12 characters or more; a second --passphrase-file is for those of --online.

    A key of hardware or of a cloud's key management is named by a URI as securesystemslib's signers read it; a token
    is asked with the PIN in EDGESHIP_PIN.

    \b
    Examples:
      edgeship keys init keys --dev
      edgeship keys init offline --online online --passphrase-file passphrase.txt
      edgeship keys init keys --passphrase-file p.txt --key targets 'hsm:2?label=release' targets.pem
    """
    from edgeship.publish import keymaking
    from edgeship.publish.keys import rows

    secrets = repositories.passphrases(passphrase_files)
    if len(secrets) > (1 if online is None else 2):
        raise click.UsageError("give one --passphrase-file, or with --online two: of FOLDER, and of the online keys")
    making = _making(scheme, given, secrets)
    made = keymaking.create(folder, making, online=online, dev=dev)
    if dev:
        repositories.warn("--dev: these private keys are not encrypted. Throw them away; never ship devices with them.")

    def show() -> None:
        _print_keys(made)
        both = f"--keys {folder}" + (f" --keys {online}" if online is not None else "")
        ui.say(f"enrol devices with {folder / 'root.json'}   next: edgeship publish BUNDLE --repo DIR {both}")

    ui.emit({"keys": rows(made), "root": folder / "root.json"}, as_json, show)
    return 0


@keys.command()
@click.argument("folders", nargs=-1, required=True, type=repositories.FOLDER)
@ui.json_option
def show(folders: tuple[Path, ...], as_json: bool) -> int:
    """Show what keys are in FOLDERS, and what the root in them trusts.

    Nothing is decrypted.

    \b
    Example:
      edgeship keys show keys
    """
    from edgeship.publish.keys import load, rows

    found = load(folders, [None])
    ui.emit({"keys": rows(found)}, as_json, lambda: _print_keys(found))
    return 0


@keys.command()
@click.argument("role", type=click.Choice(_ROLES))
@repositories.signing
@click.option("--replace", "replaced", multiple=True, metavar="KEYID", help="Only this key of the role; repeat.")
@_scheme
@_given
@ui.json_option
def rotate(
    role: str,
    repo: str,
    endpoint_url: str | None,
    key_folders: tuple[Path, ...],
    passphrase_files: tuple[Path, ...],
    replaced: tuple[str, ...],
    scheme: str,
    given: tuple[tuple[str, str, Path], ...],
    as_json: bool,
) -> int:
    """Put new keys in the place of those of a ROLE: because one was lost, or stolen, or is old.

    Writes the next root, signed by the old and the new keys of root, and signs the metadata of the role anew; for
    rollout, those of targets. Devices follow by themselves. Needed are two keys of root (of rollout: the key of
    targets), and the online keys; of the role itself none.

    \b
    Examples:
      edgeship keys rotate timestamp --repo updates --keys keys
      edgeship keys rotate root --replace 4f1a22c0 --repo updates --keys keys
    """
    from edgeship.publish.keys import rows
    from edgeship.publish.rotation import rotate as rotate_keys

    repository = repositories.open_repository(repo, endpoint_url, key_folders, passphrase_files)
    after, new = rotate_keys(repository, role, _making(scheme, given, ()), replaced=replaced)

    def tell() -> None:
        _print_keys(after.keys)
        ui.say(f"new keys of {role}: {', '.join(keyid[:8] for keyid in new)}; destroy the files of the old ones")

    ui.emit({"role": role, "new": new, "keys": rows(after.keys)}, as_json, tell)
    repositories.warn_of_keys(after)
    return 0


def _making(scheme: str, given: tuple[tuple[str, str, Path], ...], secrets: Sequence[str]) -> Making:
    from edgeship.publish.keymaking import GivenKey, Making

    first, second = (*secrets, None, None)[:2]
    return Making(scheme, first, [GivenKey(*each) for each in given], second)


def _print_keys(found: KeySet) -> None:
    from edgeship.publish.keys import rows

    made = ui.table("role", "key", "scheme", "private key", "folder", "in the root")
    for each in rows(found):
        told = {True: "yes", False: "no", None: "of targets"}[each.trusted]
        here = each.uri or "not here", str(each.folder or "")
        ui.row(made, each.role, each.keyid[:8], each.scheme, *here, told)
    ui.print_table(made)
