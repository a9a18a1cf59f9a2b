"""Write patches.json: `python -m tests.vectors.patches`. A change of the format makes new vectors, beside the old."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from pathlib import Path

import numpy as np

from edgeship.delta import decode
from edgeship.delta.decoder import F16, F32, I8, I32, TYPES, U8
from edgeship.delta.encoder import encode, patch_of
from edgeship.delta.segments import Segment
from edgeship.errors import PatchError
from edgeship.types import Array

FILE = Path(__file__).parent / "patches.json"
_RANDOM = np.random.default_rng(20261121)
#: One operation: a copy of the 980 bytes of the text in `good`.
_COPY = b"\0\xd4\7\0"


def good() -> dict[str, tuple[bytes, bytes, bytes]]:
    """By what it shows: the old file, the new one, and the patch."""
    floats = _RANDOM.normal(0, 0.05, 600).astype("<f4")
    tuned = (floats + _RANDOM.normal(0, 1e-3, 600)).astype("<f4")
    pruned = np.where(np.abs(floats) < 0.03, np.where(_RANDOM.random(600) < 0.5, 0.0, -0.0), tuned).astype("<f4")
    integers = _RANDOM.integers(-127, 128, 600).astype("i1")
    biases = _RANDOM.integers(-(2**30), 2**30, 150).astype("<i4")
    stepped = (floats.astype(np.float64) + np.rint(_RANDOM.normal(0, 2, 600)) * 2.0**-10).astype("<f4")
    extremes = np.frombuffer(_RANDOM.bytes(4 * 300), "<f4")
    text = b'{"weights": [{"name": "dense", "scale": 0.0123}]}' * 20
    return {
        "float32, small changes": _numbers(floats, tuned, F32),
        "float32, pruned, zeros with signs": _numbers(floats, pruned, F32),
        "float32, any bits at all": _numbers(extremes, extremes[::-1].copy(), F32),
        "float32, all by one factor": _numbers(floats, (floats.astype(np.float64) * 1.0417).astype("<f4"), F32),
        "float32, steps on a grid": _numbers(floats, stepped, F32),
        "float16, small changes": _numbers(floats.astype("<f2"), tuned.astype("<f2"), F16),
        "int8, small changes": _numbers(integers, (integers // 8 * 8 + integers % 5).astype("i1"), I8),
        "int8, wrapped around": _numbers(integers, (integers.astype(int) + 100).astype("i1"), I8),
        "int32, all by one factor": _numbers(biases, np.rint(biases * 0.83).astype("<i4"), I32),
        "bytes": _numbers(integers.view("u1"), integers.view("u1") ^ 3, U8),
        "more than one lane": _numbers(
            np.tile(integers, 5), np.tile(integers, 5) + np.arange(3000, dtype=np.int8) % 3, I8
        ),
        "copies and literals": _whole(text, text.replace(b"0.0123", b"0.5").replace(b"dense", b"dense_1", 3)),
        "numbers between bytes": _mixed(floats[:200], tuned[:200]),
        "nothing": _whole(b"", b""),
        "the file in brotli": _whole(_RANDOM.bytes(50), b"edgeship " * 200),
    }


def _numbers(old: Array, new: Array, kind: int) -> tuple[bytes, bytes, bytes]:
    whole = Segment(0, len(old.tobytes()) // np.dtype(TYPES[kind]).itemsize, kind, "")
    return old.tobytes(), new.tobytes(), patch_of(old.tobytes(), new.tobytes(), [(whole, whole)])


def _mixed(old: Array, new: Array) -> tuple[bytes, bytes, bytes]:
    before, after = (b"head" * 8 + a.tobytes() + b"tail" + b.tobytes() for a, b in ((old, old), (new, new[::-1])))
    at = [Segment(32, len(old), F32, "a"), Segment(36 + old.nbytes, len(old), F32, "b")]
    return before, after, patch_of(before, after, [(segment, segment) for segment in at])


def _whole(old: bytes, new: bytes) -> tuple[bytes, bytes, bytes]:
    return old, new, encode(old, new)


def bad(cases: dict[str, tuple[bytes, bytes, bytes]]) -> dict[str, tuple[bytes, bytes]]:
    """By what is wrong: the old file and a patch that must be refused."""
    old, _, patch = cases["float32, small changes"]
    text, _, moved = cases["copies and literals"]
    broken = {
        "empty": (old, b""),
        "another magic": (old, b"ESD2" + patch[4:]),
        "an unknown kind": (old, patch[:4] + b"\7" + patch[5:]),
        "another base": (old[:-1] + b"?", patch),
        "another result": (old, patch[:9] + bytes(4) + patch[13:]),
        "cut in the header": (old, patch[:15]),
        "cut in the words": (old, patch[:250]),
        "cut in the stored bits": (old, patch[:-1]),
        "a byte of the words changed": (old, patch[:200] + bytes([patch[200] ^ 16]) + patch[201:]),
        "copies cut": (text, moved[:-4]),
        "a size beyond any file": (old, patch[:13] + b"\xff\xff\xff\xff\x7f" + patch[15:]),
        "a size with no end": (old, patch[:13] + b"\xff" * 30),
        "a description longer than it says": (text, _described(text, _COPY, len(_COPY) - 1)),
        "a description shorter than it says": (text, _described(text, _COPY, len(_COPY) + 1)),
        "too many operations": (bytes(8000), _described(bytes(8000), b"\0\1\0" * 4200 + b"\0\xd8\x1d\0")),
    }
    for name, (base, content) in broken.items():
        try:
            decode(base, content)
        except PatchError:
            continue
        raise AssertionError(f"{name} was not refused")
    return broken


def _described(old: bytes, plain: bytes, described: int = 0) -> bytes:
    """A patch that makes the old file again by these operations, that says so many bytes of them."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeezer.compress(plain) + squeezer.flush()
    check = hashlib.sha256(old).digest()[:4]
    sizes = [_varint(number) for number in (len(old), described or len(plain), len(packed))]
    return b"ESD1\1" + check + check + sizes[0] + sizes[1] + sizes[2] + packed + bytes(7)


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def write() -> None:
    """Make all of them."""
    cases = good()
    document = {
        "description": "Patches ESD1 (docs/updates/delta-format.md). Files and patches are in base64.",
        "good": [
            {"name": name, "old": _text(old), "new": _text(new), "patch": _text(patch)}
            for name, (old, new, patch) in cases.items()
        ],
        "bad": [{"name": name, "old": _text(old), "patch": _text(patch)} for name, (old, patch) in bad(cases).items()],
    }
    FILE.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    write()
