"""Write stored.json: `python -m tests.vectors.stored`. A new compressor makes new ones, beside the old."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import brotli
import numpy as np
import zstandard

FILE = Path(__file__).parent / "stored.json"


def contents() -> dict[str, bytes]:
    """By what they make a compressor do."""
    random = np.random.default_rng(20261122)
    words = [random.bytes(int(size)) for size in random.integers(2, 12, 300)]
    text = b" ".join(words[int(k)] for k in random.zipf(1.3, 25_000) % len(words))
    levels = np.clip(np.rint(random.normal(0, 8, 6000)), -127, 127).astype("i1").tobytes()
    return {
        "nothing": b"",
        "one byte": b"e",
        "one byte again and again": b"e" * 5000,
        "no pattern": random.bytes(500),
        "text": b'{"weights": [{"name": "dense", "scale": 0.0123}]}' * 40,
        "int8 weights": levels,
        "float32 weights": random.normal(0, 0.05, 1500).astype("<f4").tobytes(),
        "several blocks": text,
        "far apart": levels + b"x" * 150_000 + levels,
    }


def write() -> None:
    """Make all of them."""
    good = []
    for name, plain in contents().items():
        packed = {
            "zstd, level 19": zstandard.ZstdCompressor(19).compress(plain),
            "zstd, with a checksum": zstandard.ZstdCompressor(1, write_checksum=True).compress(plain),
            "br": brotli.compress(plain, quality=9),
        }
        for how, content in packed.items():
            good.append(
                {
                    "name": f"{name}: {how}",
                    "encoding": how.partition(",")[0],
                    "packed": base64.b64encode(content).decode(),
                    "size_bytes": len(plain),
                    "sha256": hashlib.sha256(plain).hexdigest(),
                }
            )
    description = "Stored files of a release (docs/report.md#stored-files), packed in base64, and what they decode to."
    FILE.write_text(json.dumps({"description": description, "good": good}, indent=1) + "\n")


if __name__ == "__main__":
    write()
