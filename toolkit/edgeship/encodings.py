"""Compressed forms of files: brotli (RFC 7932) and zstd (RFC 8878), under their names in HTTP, `br` and `zstd`.

One place that compresses, so that what a report says is what a bundle carries, and one that decodes what may come from
anywhere: never more bytes than were announced, in little memory.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Collection, Iterator

import brotli
from backports import zstd

from edgeship.archives import implausible
from edgeship.errors import ArtifactError
from edgeship.types import on_the_wire

#: Name of an encoding -> what files end in; the names web servers look for beside a file.
SUFFIXES = {"br": ".br", "zstd": ".zst"}
#: Largest decoded file: a .tflite file cannot be larger, because its references have 32 bits.
MAX_BYTES = 2 << 30

_CHUNK = 1 << 20
#: Level 19 uses this much (8 MiB); decoders are allowed to refuse more (RFC 8878, section 3.1.1.1.2).
_ZSTD_WINDOW_LOG = 23


def encode(content: bytes, encoding: str, *, brotli_quality: int = 11) -> bytes:
    """Compress for delivery: made once, sent often. `gzip` level 9, `br` by its quality, `zstd` level 19.

    The same content gives the same bytes with the same versions of the libraries.
    """
    ways: dict[str, Callable[[bytes], bytes]] = {
        "gzip": lambda plain: gzip.compress(plain, compresslevel=9, mtime=0),
        "br": lambda plain: bytes(brotli.compress(plain, quality=brotli_quality)),
        "zstd": lambda plain: zstd.compress(plain, 19),
    }
    return ways[encoding](content)


def smallest(content: bytes, allowed: Collection[str] = tuple(SUFFIXES)) -> tuple[str, bytes] | None:
    """The encoding with the fewest bytes, and those; None where compression does not pay (`on_the_wire`)."""
    found = [(name, encode(content, name)) for name in allowed]
    name, encoded = min(found, key=lambda pair: len(pair[1]))
    return (name, encoded) if on_the_wire(len(content), len(encoded)) < len(content) else None


def decode(encoded: bytes, encoding: str, size_bytes: int) -> Iterator[bytes]:
    """Decode piece by piece; memory is bounded whatever the content says.

    Args:
        encoded: what came.
        encoding: `br` or `zstd`.
        size_bytes: how long the result was announced to be.

    Yields:
        Pieces of the result, `size_bytes` in all.

    Raises:
        ArtifactError: the announced size is implausible, the content is broken, shorter or longer. What was yielded
            before must not be used then.
    """
    if encoding not in SUFFIXES:
        raise ArtifactError(f"the encoding {encoding!r} is unknown", remedy=f"Known are {', '.join(SUFFIXES)}.")
    if size_bytes > MAX_BYTES or implausible(size_bytes, len(encoded)):
        raise ArtifactError(f"{len(encoded):,} bytes would decode to {size_bytes:,}, more than is plausible")
    decoders = {"br": _brotli, "zstd": _zstd}
    total = 0
    try:
        for piece in decoders[encoding](encoded):
            total += len(piece)
            if total > size_bytes:
                raise ArtifactError(f"it decodes to more than the {size_bytes:,} bytes that were announced")
            yield piece
    except (brotli.error, zstd.ZstdError) as error:
        raise ArtifactError(f"it is not valid {encoding}: {error}") from error
    if total != size_bytes:
        raise ArtifactError(f"it decodes to {total:,} bytes, {size_bytes:,} were announced")


def _brotli(encoded: bytes) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    piece = decoder.process(encoded, output_buffer_limit=_CHUNK)
    yield piece
    while not decoder.is_finished():
        # That it can take more does not mean that it has given all: only when nothing comes is the end missing.
        piece = decoder.process(b"", output_buffer_limit=_CHUNK)
        if not piece and not decoder.is_finished() and decoder.can_accept_more_data():
            raise ArtifactError("it is cut off")
        yield piece


def _zstd(encoded: bytes) -> Iterator[bytes]:
    decoder = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})
    yield decoder.decompress(encoded, max_length=_CHUNK)
    while not decoder.eof:
        if decoder.needs_input:
            raise ArtifactError("it is cut off")
        yield decoder.decompress(b"", max_length=_CHUNK)
