"""Patches between files: they give the new file back byte for byte, are small, and refuse what is broken."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeship.delta import decode, encode, snap
from edgeship.delta.decoder import COPY, F32, GRID, LITERAL, NUMBERS, TYPES, Operation, most_operations
from edgeship.delta.encoder import _few, patch_of
from edgeship.delta.segments import Segment
from edgeship.encodings import encode as compress
from edgeship.errors import PatchError
from edgeship.types import Array

RANDOM = np.random.default_rng(0)
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "patches.json").read_text())
#: Every float32 there is, as far as a difference can tell them apart.
EDGES = np.array(
    [0, 0x80000000, 1, 0x80000001, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFFFFFFF, 0x007FFFFF, 0x3F800000, 0xBF800000],
    np.uint32,
)


def weights(count: int, spread: float = 0.05) -> Array:
    return RANDOM.normal(0, spread, count).astype("<f4")


def tuned(values: Array, rate: float = 1e-4) -> Array:
    return (values + RANDOM.normal(0, rate, values.shape)).astype(values.dtype)


def body(old: Array, new: Array, kind: int) -> bytes:
    """A patch that sees both as numbers of one type, whatever else would be smaller."""
    whole = Segment(0, old.size, kind, "")
    return patch_of(old.tobytes(), new.tobytes(), [(whole, whole)])


PAIRS: dict[str, Callable[[], tuple[bytes, bytes]]] = {
    "empty to empty": lambda: (b"", b""),
    "nothing to something": lambda: (b"", b"model"),
    "something to nothing": lambda: (b"model", b""),
    "one byte": lambda: (b"a", b"b"),
    "the same": lambda: (weights(1000).tobytes(),) * 2,
    "float32": lambda: ((w := weights(5000)).tobytes(), tuned(w).tobytes()),
    "float16": lambda: ((w := weights(5000).astype("<f2")).tobytes(), tuned(w, 1e-3).tobytes()),
    "bytes": lambda: ((w := RANDOM.integers(0, 256, 5000, np.uint8)).tobytes(), (w + w % 3).tobytes()),
    "odd length": lambda: (RANDOM.bytes(1001), RANDOM.bytes(1003)),
    "many lanes": lambda: ((w := weights(70_000)).tobytes(), tuned(w).tobytes()),
    "text": lambda: (b'{"scale": 0.125, "name": "dense"}' * 90, b'{"scale": 0.5, "name": "dense"}' * 90),
    "moved": lambda: (RANDOM.bytes(3000) + (x := RANDOM.bytes(9000)), RANDOM.bytes(10) + x + b"end"),
}  # fmt: skip


@pytest.mark.parametrize("pair", PAIRS)
def test_a_patch_gives_the_new_file_back(pair: str) -> None:
    old, new = PAIRS[pair]()
    patch = encode(old, new)
    assert decode(old, patch) == new
    assert encode(old, new) == patch, "the same files give the same patch"
    assert len(patch) <= len(compress(new, "br")) + 20, "never worse than the whole file in brotli"


@pytest.mark.parametrize("kind", range(len(TYPES)))
@pytest.mark.parametrize("count", [1, 2, 63, 64, 1023, 1024, 2049, 5000, 70_000])
def test_numbers_of_any_value_survive(kind: int, count: int) -> None:
    width = np.dtype(TYPES[kind]).itemsize
    old, new = (np.frombuffer(RANDOM.bytes(count * width), TYPES[kind]).copy() for _ in range(2))
    new[:: max(1, count // 7)] = 0
    new[1 :: max(2, count // 5)] = old[1 :: max(2, count // 5)]
    if kind == GRID:
        kind = F32
    assert decode(old.tobytes(), body(old, new, kind)) == new.tobytes()


def test_infinity_nan_and_both_zeros_survive() -> None:
    old, new = (grid.reshape(-1).astype("<u4") for grid in np.meshgrid(EDGES, EDGES))
    assert decode(old.tobytes(), body(old, new, F32)) == new.tobytes()


def test_numbers_times_a_factor_cost_nearly_nothing() -> None:
    """Of scales that all changed by one factor, and of biases in their units, only rounding is left."""
    scales = np.abs(weights(4000)) + 0.01
    patch = body(scales, (scales.astype(np.float64) * 1.0371).astype("<f4"), F32)
    assert len(patch) < 0.1 * scales.nbytes
    biases = RANDOM.integers(-20_000, 20_000, 4000).astype("<i4")
    changed = np.rint(biases * 0.93).astype("<i4")
    patch = body(biases, changed, 4)
    assert decode(biases.tobytes(), patch) == changed.tobytes()
    assert len(patch) < 0.05 * biases.nbytes


def test_changes_on_a_grid_cost_their_steps_only() -> None:
    old = weights(20_000)
    steps = np.rint(RANDOM.normal(0, 3, 20_000))
    new = (old.astype(np.float64) + steps * 2.0**-12).astype("<f4")
    patch = encode(old.tobytes(), new.tobytes())
    assert decode(old.tobytes(), patch) == new.tobytes()
    entropy = 0.5 * np.log2(2 * np.pi * np.e * 9)
    assert len(patch) * 8 < 1.06 * entropy * 20_000


def test_a_fine_tune_comes_near_the_entropy_of_its_changes() -> None:
    """A float32 that moves by N(0, s) takes the entropy of that in units of its last place."""
    old = weights(100_000)
    new = tuned(old)
    unit = np.exp2(np.floor(np.log2(np.abs(new.astype(np.float64)))) - 23)
    bits = np.mean(0.5 * np.log2(2 * np.pi * np.e * 1e-8) - np.log2(unit)) * len(old)
    assert len(encode(old.tobytes(), new.tobytes())) * 8 < 1.02 * bits


def test_weights_that_are_gone_cost_less_than_a_bit() -> None:
    old = weights(50_000)
    kept = np.abs(old) > np.quantile(np.abs(old), 0.9)
    for zero, bits in ((0.0, 0.5), (-0.0, 1.5)):  # a random sign is a bit
        new = np.where(kept, old, np.where(RANDOM.random(50_000) < 0.5, zero, 0.0)).astype("<f4")
        patch = encode(old.tobytes(), new.tobytes())
        assert decode(old.tobytes(), patch) == new.tobytes()
        assert len(patch) * 8 < bits * 50_000


def test_a_layer_that_changed_costs_itself_only() -> None:
    old = weights(100_000)
    new = old.copy()
    new[90_000:] = tuned(old[90_000:])
    assert len(encode(old.tobytes(), new.tobytes())) < 0.11 * 0.7 * old.nbytes


def test_a_patch_for_another_file_is_refused() -> None:
    old, new = PAIRS["float32"]()
    with pytest.raises(PatchError, match="another file"):
        decode(bytes([old[0] ^ 1]) + old[1:], encode(old, new))


@pytest.mark.parametrize("pair", ["float32", "text", "moved", "bytes"])
def test_a_damaged_patch_is_refused_or_changes_nothing(pair: str) -> None:
    old, new = PAIRS[pair]()
    patch = encode(old, new)
    for _ in range(60):
        broken = bytearray(patch)
        for _ in range(RANDOM.integers(1, 4)):
            broken[RANDOM.integers(len(broken))] = RANDOM.integers(256)
        try:
            assert decode(old, bytes(broken)) == new
        except PatchError:
            pass
    for end in {0, 4, 12, 20, len(patch) // 2, len(patch) - 1}:
        with pytest.raises(PatchError):
            decode(old, patch[:end])


def forged(old: bytes, described: bytes, size: int, levels: bytes = bytes(6), rest: bytes = b"") -> bytes:
    """A patch that says of itself what a hostile publisher wants it to say."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = squeezer.compress(described) + squeezer.flush()
    head = b"ESD1\1" + hashlib.sha256(old).digest()[:4] + bytes(4)
    return head + varint(size) + varint(len(described)) + varint(len(packed)) + packed + varint(0) + levels + rest


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


HOSTILE = {
    "a copy from before the file": b"\0" + varint(8) + varint(1),
    "a copy from behind the file": b"\0" + varint(8) + varint(2 * 1000),
    "a copy that is too long": b"\0" + varint(2000) + varint(0),
    "an unknown operation": b"\3" + varint(8),
    "an unknown type": bytes([2 | 15 << 2]) + varint(2) + varint(0),
    "numbers without any words": b"\2" + varint(2) + varint(0),
    "an infinite factor": bytes([2 | 1 << 6]) + varint(2) + varint(0) + struct.pack("<d", np.inf),
    "nothing at all": b"",
    "an operation on nothing": b"\0" + varint(0) + varint(0),
    "an endless number": b"\0" + b"\xff" * 12,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_forged_patch_is_refused(case: str) -> None:
    old = bytes(100)
    with pytest.raises(PatchError):
        decode(old, forged(old, HOSTILE[case], 8))


def test_a_bomb_takes_no_memory() -> None:
    old = bytes(100)
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeezer.compress(bytes(200 << 20)) + squeezer.flush()
    head = b"ESD1\1" + hashlib.sha256(old).digest()[:4] + bytes(4)
    patches = [
        head + varint(8) + varint(5000) + varint(len(bomb)) + bomb,  # more than it says
        head + varint(8) + varint(200 << 20) + varint(len(bomb)) + bomb,  # more than the file is worth
        head + varint(1 << 34),
        forged(old, b"\0" + varint(1 << 30) + varint(0), 1 << 30),
    ]
    tracemalloc.start()
    for patch in patches:
        with pytest.raises(PatchError):
            decode(old, patch)
    with pytest.raises(PatchError, match="8 are allowed"):
        decode(old, encode(old, bytes(100)), limit=8)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20


def test_decoding_takes_little_memory() -> None:
    old = np.clip(np.rint(weights(1_000_000) / 0.002), -127, 127).astype(np.int8)
    new = np.clip(old + np.rint(RANDOM.normal(0, 1, old.shape)), -127, 127).astype(np.int8)
    patch = patch_of(old.tobytes(), new.tobytes(), [(s := Segment(0, old.size, 2, ""), s)])
    tracemalloc.start()
    decode(old.tobytes(), patch)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * old.nbytes


def test_changes_everywhere_take_few_operations() -> None:
    """A copy for each stretch between changes would be more operations than a decoder has to take."""
    random = np.random.default_rng(5)
    old = random.bytes(200_000)
    new = bytearray(old)
    for at in range(0, len(new), 17):
        new[at] ^= int(random.integers(1, 256))
    patch = encode(old, bytes(new) + b"?")
    assert decode(old, patch) == bytes(new) + b"?"
    assert len(patch) < 40_000


def test_short_copies_become_literals_where_there_are_too_many() -> None:
    copies = [Operation(COPY, 9 if at % 100 else 80, at) for at in range(0, 90_000, 10)]
    size = sum(operation.size for operation in copies)
    found = _few(copies, size)
    assert len(found) <= most_operations(size)
    assert sum(operation.size for operation in found) == size
    assert {operation.kind for operation in found} == {COPY, LITERAL}


def test_operations_say_their_size() -> None:
    numbers = Operation(NUMBERS, 70_000, 16, F32)
    assert numbers.size == 280_000
    assert [(piece.start, piece.count) for piece in numbers.pieces()] == [(16, 65_536), (16 + 4 * 65_536, 4464)]


@pytest.mark.parametrize("case", VECTORS["good"], ids=lambda case: case["name"])
def test_vectors_decode(case: dict[str, str]) -> None:
    """Patches of earlier versions stay readable."""
    old, new, patch = (base64.b64decode(case[name]) for name in ("old", "new", "patch"))
    assert decode(old, patch) == new


@pytest.mark.parametrize("case", VECTORS["bad"], ids=lambda case: case["name"])
def test_vectors_are_refused(case: dict[str, str]) -> None:
    with pytest.raises(PatchError):
        decode(base64.b64decode(case["old"]), base64.b64decode(case["patch"]))


def test_snapping_makes_patches_small_and_changes_little() -> None:
    old = weights(20_000)
    new = tuned(old, 1e-3)
    snapped = np.frombuffer(snap(old.tobytes(), new.tobytes()), "<f4")
    step = (new - old).std() / 16
    assert np.abs(snapped.astype(np.float64) - new).max() <= step / 2 * 1.1 + 1e-8
    patch = encode(old.tobytes(), snapped.tobytes())
    assert decode(old.tobytes(), patch) == snapped.tobytes()
    assert len(patch) < 0.3 * len(compress(new.tobytes(), "br"))


def test_snapping_leaves_alone_what_it_cannot_move() -> None:
    old = weights(3000)
    assert snap(old.tobytes(), old.tobytes()) == old.tobytes()
    new = tuned(old)
    new[5], new[-1] = np.nan, np.inf
    found = np.frombuffer(snap(old.tobytes(), new.tobytes()), "<f4")
    assert np.isnan(found[5])
    assert found[-1] == np.inf
    assert snap(b"", b"x") == b"x"
    assert snap(b"text", b"other text") == b"other text"
