"""The systemd units of an enrolment: a timer, and the hardened service that it starts."""

from __future__ import annotations

import shutil
import sys
from importlib import resources
from pathlib import Path

from edgeship.device import durable
from edgeship.errors import InputError


def units(name: str, program: Path | None = None) -> dict[str, str]:
    """File name -> content, for the enrolment of that name.

    Args:
        name: of the enrolment.
        program: the installed script `edgeship`; None: the one beside this Python.
    """
    script = program or Path(sys.executable).with_name("edgeship")
    if not script.is_file():
        found = shutil.which("edgeship")
        if found is None:
            raise InputError("there is no script called edgeship", remedy="Install edgeship where a service sees it.")
        script = Path(found)
    folder = resources.files("edgeship.device") / "units"
    made = {}
    for kind in ("service", "timer"):
        text = (folder / f"edgeship-device.{kind}").read_text(encoding="utf-8")
        # A user's name has no dots and at most 31 characters.
        user = f"edgeship-{name.replace('.', '-')}"[:31]
        for word, value in (("@NAME@", name), ("@USER@", user), ("@EDGESHIP@", str(script))):
            text = text.replace(word, value)
        made[f"edgeship-{name}.{kind}"] = text
    return made


def install(name: str, folder: Path) -> list[Path]:
    """Write the units into a folder of systemd's; the paths. Raises OutputError."""
    written = []
    with durable.storage(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for file, text in units(name).items():
        durable.write(folder / file, text.encode())
        written.append(folder / file)
    return written
