"""The systemd units of an enrolment: a timer, and the hardened service that it starts.

Below `/var/lib` systemd itself makes the folder of the service and gives it a user of its own (`StateDirectory=`,
`DynamicUser=`). That is possible nowhere else, so elsewhere the service runs as who owns the folder, and sees only that
as writable (`ReadWritePaths=`).
"""

from __future__ import annotations

import grp
import os
import re
import shutil
import stat
import sys
from importlib import resources
from pathlib import Path

from edgeship.device import durable
from edgeship.device.closed import user_name
from edgeship.device.config import FOLDER_VARIABLE, SYSTEM_FOLDER
from edgeship.errors import InputError

_STATE = Path("/var/lib")
#: With PrivateTmp= a service has its own.
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - not written to
#: Of a path that means the same in every setting of a unit: no spaces, no % and no : .
_PLAIN = re.compile(r"[A-Za-z0-9/._+@-]+")


def units(
    name: str, *, folder: Path = SYSTEM_FOLDER, textfile: Path | None = None, program: Path | None = None
) -> dict[str, str]:
    """File name -> content, for the enrolment of that name.

    Args:
        name: of the enrolment.
        folder: of all enrolments, with that of this one in it.
        textfile: of the counters, which the service must be able to write.
        program: the installed script `edgeship`; None: the one beside this Python.

    Raises InputError where a service could not write what it has to.
    """
    place = _plain(folder) / name
    owner = None if place.is_relative_to(_STATE) else _owner(place)
    lines = _rights(place, owner)
    writes = [] if owner is None else [place]
    if textfile is not None and not textfile.absolute().is_relative_to(place):
        lines += _text_rights(_plain(textfile).parent, owner)
        writes.append(textfile.absolute())
    words = {
        "@NAME@": name,
        "@RIGHTS@": "\n".join(lines),
        "@TMP@": "no" if any(path.is_relative_to(tmp) for path in writes for tmp in _TEMPORARY) else "yes",
        "@EDGESHIP@": str(_plain(program or _script())),
    }
    source = resources.files("edgeship.device") / "units"
    made = {}
    for kind in ("service", "timer"):
        text = (source / f"edgeship-device.{kind}").read_text(encoding="utf-8")
        for word, value in words.items():
            text = text.replace(word, value)
        made[f"edgeship-{name}.{kind}"] = text
    return made


def install(made: dict[str, str], folder: Path) -> list[Path]:
    """Write the units into a folder of systemd's; the paths. Raises OutputError."""
    written = []
    with durable.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for file, text in made.items():
        durable.write(folder / file, text.encode())
        written.append(folder / file)
    return written


def _script() -> Path:
    script = Path(sys.executable).with_name("edgeship")
    if script.is_file():
        return script
    found = shutil.which("edgeship")
    if found is None:
        raise InputError("there is no script called edgeship", remedy="Install edgeship where a service sees it.")
    return Path(found)


def _plain(path: Path) -> Path:
    """The absolute path, if units can name it."""
    found = path.absolute()
    if not _PLAIN.fullmatch(str(found)):
        raise InputError(
            f"a unit cannot name {found}", remedy="Choose a path of letters, digits and / . _ + @ - for a service."
        )
    return found


def _owner(place: Path) -> int:
    return place.stat().st_uid if place.exists() else os.geteuid()


def _rights(place: Path, owner: int | None) -> list[str]:
    """As whom the service runs (None: as a user that exists only for it), and where its state is."""
    where = f"Environment={FOLDER_VARIABLE}={place.parent}"
    if owner is not None:
        return [f"User={user_name(owner)}", f"ReadWritePaths={place}", where]
    # A user's name has no dots and at most 31 characters.
    user = f"edgeship-{place.name.replace('.', '-')}"[:31]
    return ["DynamicUser=yes", f"User={user}", f"StateDirectory={place.relative_to(_STATE)}", where]


def _text_rights(folder: Path, owner: int | None) -> list[str]:
    """What lets the service write a text file into a folder that is not its own."""
    if owner is None and any(folder.is_relative_to(tmp) for tmp in _TEMPORARY):
        raise InputError(f"the service has a {folder} of its own, which no exporter sees", remedy=_SHARED)
    try:
        found = folder.stat()
    except OSError as error:
        raise InputError(f"{folder}, where the counters shall go, is not there", remedy=_SHARED) from error
    lines = [f"ReadWritePaths={folder}"]
    if found.st_mode & stat.S_IWOTH or found.st_uid == owner:
        return lines
    if not found.st_mode & stat.S_IWGRP:
        raise InputError(f"the service could not write its counters into {folder}", remedy=_SHARED)
    try:
        return [*lines, f"SupplementaryGroups={grp.getgrgid(found.st_gid).gr_name}"]
    except KeyError:
        return [*lines, f"SupplementaryGroups={found.st_gid}"]


_SHARED = "Name a folder in which a group may write: install -d -g prometheus -m 2775 /srv/counters"
