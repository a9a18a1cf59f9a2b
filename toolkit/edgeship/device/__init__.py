"""The light client of a device: it keeps a model up to date, and is what an application gets it from.

    Model("wake-word").predict(x)               always the active release (`model`)
    update(enrolled()), status(enrolled())      what `edgeship device` does (`updating`, `reading`)

- `config`, `closed`, `state`, `seen`, `slots`, `durable`: what lies on the disk, and how it survives a power cut.
- `network`, `clock`, `trust`, `download`, `fetching`: what a repository says, believed only once it is verified.
- `selftest`, `trial`, `probation`: a release must show that it works before it runs, and while it does.
- `engine`, `inputs`, `telemetry`: predictions, what goes into them, and what is counted about them.
- `systemd`: the units of a board.

It imports no TensorFlow. Names are imported when they are first used: an application needs no TUF.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgeship.device.config import Config as Config
    from edgeship.device.config import enrol as enrol
    from edgeship.device.config import enrolled as enrolled
    from edgeship.device.model import Model as Model
    from edgeship.device.model import Prediction as Prediction
    from edgeship.device.probation import roll_back as roll_back
    from edgeship.device.reading import Status as Status
    from edgeship.device.reading import status as status
    from edgeship.device.updating import Outcome as Outcome
    from edgeship.device.updating import update as update

_HOMES = {
    "Config": "config",
    "Model": "model",
    "Outcome": "updating",
    "Prediction": "model",
    "Status": "reading",
    "enrol": "config",
    "enrolled": "config",
    "roll_back": "probation",
    "status": "reading",
    "update": "updating",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list of names, tested against the type-checking imports


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeship.device' has no attribute {name!r}")
    return getattr(importlib.import_module(f"edgeship.device.{_HOMES[name]}"), name)
