"""What other tools make of the same two files, each at its best setting; sizes in bytes."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import bsdiff4
import zstandard

from edgeship.encodings import encode
from tests.acceptance.environments import clean, interpreter

#: Runs in detools' own environment: its C extension builds where it is installed.
_DETOOLS = """
import io, sys, detools
old, new = (open(path, "rb") for path in sys.argv[1:])
made = io.BytesIO()
detools.create_patch(old, new, made)
print(len(made.getvalue()))
"""


def sizes(old: bytes, new: bytes) -> dict[str, int]:
    """By tool."""
    dictionary = zstandard.ZstdCompressionDict(old, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    window = max(10, (len(old) + len(new)).bit_length())
    parameters = zstandard.ZstdCompressionParameters.from_level(22, window_log=window, enable_ldm=True)
    patching = zstandard.ZstdCompressor(compression_params=parameters, dict_data=dictionary)
    with tempfile.TemporaryDirectory(prefix="edgeship-deltas-") as folder:
        places = Path(folder) / "old", Path(folder) / "new"
        for place, content in zip(places, (old, new), strict=True):
            place.write_bytes(content)
        return {
            "brotli": len(encode(new, "br")),
            "bsdiff4": len(bsdiff4.diff(old, new)),
            "zstd": len(patching.compress(new)),
            "xdelta3": _xdelta3(*places),
            "detools": _detools(*places),
        }


def _xdelta3(old: Path, new: Path) -> int:
    made = new.with_suffix(".vcdiff")
    subprocess.run(["xdelta3", "-e", "-f", "-9", "-S", "lzma", "-s", old, new, made], check=True, capture_output=True)
    return made.stat().st_size


def _detools(old: Path, new: Path) -> int:
    command = [interpreter("peer-detools"), "-c", _DETOOLS, str(old), str(new)]
    done = subprocess.run(command, env=clean(), check=True, capture_output=True, text=True)
    return int(done.stdout)
