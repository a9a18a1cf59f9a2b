"""The agent as one file, for machines that have no edgeship."""

from __future__ import annotations

import functools
import hashlib
import io
import zipfile
from pathlib import Path

import edgeship_benchmarks
from edgeship import cache
from edgeship.files import whole_folder

_MAIN = "from edgeship_benchmarks.agent.protocol import main\n\nmain()\n"
#: The same bytes for the same modules: the oldest time that a zip file can hold.
_TIME = (1980, 1, 1, 0, 0, 0)


@functools.cache
def packed_agent() -> Path:
    """A file that `python FILE` runs as `python -m edgeship_benchmarks.agent` does here; made once for each version.

    In PYTHONPATH its modules can be imported (the format is zipapp's, PEP 441).

    Raises:
        StorageFullError, OutputError: the cache cannot be written.
    """
    root = Path(edgeship_benchmarks.__file__).parent
    modules = [root / "__init__.py", *sorted((root / "agent").glob("*.py"))]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _TIME), _MAIN)
        for module in modules:
            name = module.relative_to(root.parent).as_posix()
            archive.writestr(zipfile.ZipInfo(name, _TIME), module.read_bytes(), zipfile.ZIP_DEFLATED)
    key = hashlib.sha256(content.getbuffer()).hexdigest()
    place = cache.root() / "agents" / key[:40]
    if not place.is_dir():
        with whole_folder(place, keep=True) as folder:
            (folder / "agent.pyz").write_bytes(content.getvalue())
    return place / "agent.pyz"
