"""A process that starts after another was cut off: `python -m tests.attacks.recover FOLDER OUT`.

It serves, updates, and serves again; OUT gets, as JSON, the versions and outputs and what the update said.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from edgeship.device import Model, enrolled, update
from tests.device_repository import X


def serve(folder: Path) -> dict[str, Any]:
    with Model(folder=folder) as model:
        found = model.predict(X)
    return {"version": found.version, "outputs": found.outputs["probabilities"].tolist()}


def main() -> None:
    folder, out = map(Path, sys.argv[1:])
    before = serve(folder)
    outcome = update(enrolled(folder=folder))
    after = serve(folder)
    out.write_text(json.dumps({"before": before, "result": outcome.result, "after": after}))


if __name__ == "__main__":
    main()
