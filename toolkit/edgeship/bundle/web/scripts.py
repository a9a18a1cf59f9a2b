"""The part of the work that is done in Node: bundling with esbuild, and running the finished package."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import ChildCrashed, ChildTimeout, MissingPackageError

if TYPE_CHECKING:
    from edgeship.types import Array

NODE = Path(__file__).with_name("node")
SOURCES = Path(__file__).parents[2] / "web" / "src"
_SECONDS = 300


def modules() -> Path:
    """The folder of the locked npm packages. Raises MissingPackageError where they or Node are not there."""
    from edgeship_benchmarks import node

    lacking = node.missing()
    if lacking:
        raise MissingPackageError(f"web packages need {', '.join(lacking)}", remedy=f"Get it: {node.REMEDY}")
    return node.packages_folder() / "node_modules"


def run(script: str, job: dict[str, Any]) -> Any:
    """The result of a script of `NODE` for a job, both JSON.

    Raises:
        ChildCrashed: it failed; the message says what it said.
        ChildTimeout: it did not end.
    """
    node = shutil.which("node") or "node"
    command = [node, str(NODE / script)]
    try:
        done = subprocess.run(
            command, input=json.dumps(job), capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ChildTimeout(f"{script} did not end within {_SECONDS} s", remedy="Try again.") from error
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-8:])
        raise ChildCrashed(f"{script} ended with status {done.returncode}:\n{last}") from error
    if "error" in answer:
        raise ChildCrashed(f"the package could not be made: {answer['error']}", remedy="Please report this.")
    return answer["result"]


def write_sample(folder: Path, number: int, arrays: Sequence[tuple[str, str, Array]]) -> list[dict[str, Any]]:
    """Write one sample as files of plain numbers, as `samples.mjs` reads them; (name, dtype, values with a batch)."""
    import numpy as np

    found = []
    for k, (name, dtype, values) in enumerate(arrays):
        file = folder / f"{number}-{k}.bin"
        stored = np.ascontiguousarray(values.astype("uint8" if dtype == "bool" else dtype))
        file.write_bytes(stored.tobytes())
        found.append({"name": name, "dtype": dtype, "shape": list(values.shape), "file": str(file)})
    return found


def read_output(found: dict[str, Any]) -> Array:
    """An output that `check.mjs` wrote."""
    import numpy as np

    return np.fromfile(found["file"], dtype=found["dtype"]).reshape(found["shape"])
