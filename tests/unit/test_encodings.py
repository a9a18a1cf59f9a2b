from __future__ import annotations

import gzip
import tracemalloc

import brotli
import numpy as np
import pytest
import zstandard

from edgeship.encodings import SUFFIXES, decode, encode, smallest
from edgeship.errors import ArtifactError

#: What an int8 file looks like to a compressor: few values, many zeros.
WEIGHTS = np.random.default_rng(0).choice([0, 0, 0, 5, -7, 100], 3_000_000).astype(np.int8).tobytes()


@pytest.mark.parametrize("encoding", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"x", WEIGHTS], ids=["empty", "one", "weights"])
def test_decoding_undoes_encoding(encoding: str, content: bytes) -> None:
    encoded = encode(content[:200_000], encoding)
    assert b"".join(decode(encoded, encoding, len(content[:200_000]))) == content[:200_000]
    assert encode(content[:200_000], encoding) == encoded


def test_other_programs_read_what_is_written() -> None:
    part = WEIGHTS[:50_000]
    assert brotli.decompress(encode(part, "br")) == part
    assert zstandard.decompress(encode(part, "zstd")) == part
    assert gzip.decompress(encode(part, "gzip")) == part


def test_the_smallest_is_taken_if_it_pays() -> None:
    part = WEIGHTS[:50_000]
    found = smallest(part)
    assert found is not None
    assert len(found[1]) == min(len(encode(part, name)) for name in SUFFIXES)
    assert smallest(np.random.default_rng(0).bytes(50_000)) is None
    assert smallest(b"") is None


@pytest.mark.parametrize(("encoding", "level"), [("br", 1), ("zstd", 1)])
def test_a_bomb_takes_no_memory(encoding: str, level: int) -> None:
    zeros = bytes(48 << 20)
    bomb = brotli.compress(zeros, quality=level) if encoding == "br" else zstandard.compress(zeros, level)
    del zeros
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="more than the 1,000 bytes"):
        list(decode(bomb, encoding, 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20


@pytest.mark.parametrize(
    ("encoded", "encoding", "size", "message"),
    [
        (b"", "br", 0, "cut off"),
        (b"", "zstd", 1, "cut off"),
        (encode(b"abc" * 99, "br")[:-1], "br", 297, "cut off"),
        (encode(WEIGHTS[:9000], "zstd")[:-1], "zstd", 9000, "cut off"),
        (b"\xff" * 40, "br", 40, "not valid br"),
        (b"\xff" * 40, "zstd", 40, "not valid zstd"),
        (b"x", "gzip", 1, "'gzip' is unknown"),
        (encode(b"abc", "br"), "br", 65 << 20, "more than is plausible"),
        (encode(b"abc", "br"), "br", 3 << 30, "more than is plausible"),
        (encode(b"abc", "br"), "br", 4, "decodes to 3 bytes, 4 were announced"),
    ],
)
def test_what_is_broken_is_refused(encoded: bytes, encoding: str, size: int, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        list(decode(encoded, encoding, size))


def test_a_large_file_that_hardly_compresses_comes_out_whole() -> None:
    """The decoder says that it can take more input while it still has output to give."""
    floats = np.random.default_rng(0).normal(0, 0.05, 2_000_000).astype("<f4").tobytes()
    encoded = encode(floats, "br", brotli_quality=1)
    assert b"".join(decode(encoded, "br", len(floats))) == floats
    with pytest.raises(ArtifactError, match="cut off"):
        b"".join(decode(encoded[:-1000], "br", len(floats)))
