"""A bundle may come from anywhere: whatever was done to it is found before it is used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import brotli
import pytest
import zstandard
from tests import tiny_tflite

from edgeship.bundle import read_file, verify_bundle
from edgeship.errors import ArtifactError

#: As it lies in the bundle.
MODEL = "model.tflite.br"


def edit(name, change):
    def tamper(folder):
        (path,) = folder.glob(name)
        path.write_bytes(change(path.read_bytes()))

    return tamper


def manifest(change):
    def tamper(folder):
        data = json.loads((folder / "manifest.json").read_text())
        change(data)
        (folder / "manifest.json").write_text(json.dumps(data))

    return tamper


def rename(old, new):
    """Say `new` in the manifest where `old` was."""
    return manifest(lambda data: [f.update(name=new) for f in data["files"] if f["name"] == old])


def link(folder):
    outside = folder.parent / "outside.tflite"
    shutil.move(folder / MODEL, outside)
    (folder / MODEL).symlink_to(outside)


def link_folder(folder):
    shutil.move(folder / "golden", folder.parent / "elsewhere")
    (folder / "golden").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (edit(MODEL, lambda b: b[:-1] + bytes([b[-1] ^ 1])), "SHA-256 is another one"),
        (edit(MODEL, lambda b: b + b"x"), "has not the"),
        (edit("golden/output_0.npy*", lambda b: b[:-4] + b"abcd"), "SHA-256 is another one"),
        (edit("manifest.json", lambda b: b[:-30]), "not JSON"),
        (edit("manifest.json", lambda b: b"\xff" + b), "not UTF-8"),
        (edit("manifest.json", lambda b: b + b" " * (5 << 20)), "larger than"),
        (edit("manifest.json", lambda b: b"[]"), "schema is"),
        (lambda f: (f / "manifest.json").unlink(), "has no manifest.json"),
        (lambda f: (f / MODEL).unlink(), "model.tflite.br is missing"),
        (lambda f: (f / "model.tflite").write_bytes(b""), "'model.tflite' is not named"),
        (lambda f: (f / "extra.bin").write_bytes(b""), "'extra.bin' is not named"),
        (lambda f: (f / "golden" / "extra.npy").write_bytes(b""), "'golden/extra.npy' is not named"),
        (link, "is a link"),
        (link_folder, "golden"),
        (lambda f: (f / "loop").symlink_to(f), "'loop' is not named"),
        (lambda f: os.mkfifo(f / "pipe"), "'pipe' is not named"),
        (rename("model.tflite", "../model.tflite"), r"files\[0\]\.name"),
        (rename("model.tflite", "/etc/passwd"), r"files\[0\]\.name"),
        (rename("model.tflite", "a/../../b"), r"files\[0\]\.name"),
        (rename("model.tflite", "..\\b"), r"files\[0\]\.name"),
        (rename("model.tflite", "C:b"), r"files\[0\]\.name"),
        (rename("model.tflite", "./model.tflite"), r"files\[0\]\.name"),
        (rename("model.tflite", "golden//x"), r"files\[0\]\.name"),
        (rename("model.tflite", "model.tflite/"), r"files\[0\]\.name"),
        (rename("model.tflite", ""), r"files\[0\]\.name"),
        (rename("model.tflite", "Manifest.json"), "names a file twice"),
        (manifest(lambda d: d["files"].append(d["files"][0])), "names a file twice"),
        (manifest(lambda d: d.update(files=[])), r"\$\.files"),
        (manifest(lambda d: d.update(unknown=1)), "unknown"),
        (manifest(lambda d: d["golden"].update(unknown=1)), r"unknown.*\$\.golden"),
        (manifest(lambda d: d.update(schema="edgeship.manifest/2")), "schema is"),
        (manifest(lambda d: d.update(entry="other.tflite")), "'other.tflite'"),
        (manifest(lambda d: d["golden"]["inputs"].update(x="../x.npy")), r"\$\.golden\.inputs"),
        (manifest(lambda d: d["golden"]["inputs"].update(x="nowhere.npy")), "nowhere.npy"),
        (manifest(lambda d: d["files"][0].update(size_bytes=-1)), "size_bytes"),
        (manifest(lambda d: d["files"][0].update(sha256="0" * 64)), "SHA-256 is another one"),
    ],
)
def test_tampering_is_found(made, tamper, message):
    tamper(made)
    with pytest.raises(ArtifactError, match=message):
        verify_bundle(made)


def stored(content, encoding="br", **changes):
    """A sender who means ill: the compressed model is another one, and the manifest agrees about what was sent."""

    def tamper(folder):
        (folder / MODEL).unlink()
        name = changes.pop("name", MODEL)
        (folder / name).write_bytes(content)
        data = json.loads((folder / "manifest.json").read_text())
        data["files"][0].update(changes)
        digest = hashlib.sha256(content).hexdigest()
        wire = {"name": name, "encoding": encoding, "sha256": digest, "size_bytes": len(content)}
        data["files"][0]["stored"] = wire
        (folder / "manifest.json").write_text(json.dumps(data))

    return tamper


PLAIN = tiny_tflite.model_bytes()
ZEROS = bytes(16 << 20)
BOMB_BYTES = 100 << 20
LONG_WINDOW = zstandard.ZstdCompressionParameters(window_log=27)


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (stored(brotli.compress(PLAIN)[:-9]), "cut off"),
        (stored(zstandard.compress(PLAIN)[:-9], "zstd"), "cut off"),
        (stored(b""), "cut off"),
        (stored(b"", "zstd"), "cut off"),
        (stored(PLAIN), "not valid br"),
        (stored(PLAIN, "zstd"), "not valid zstd"),
        (stored(zstandard.compress(PLAIN)), "not valid br"),
        (stored(brotli.compress(PLAIN) + b"more"), "not valid br"),
        (stored(brotli.compress(PLAIN[:-1])), f"decodes to {len(PLAIN) - 1:,} bytes, {len(PLAIN):,} were announced"),
        (stored(brotli.compress(PLAIN + b"x")), f"more than the {len(PLAIN):,} bytes"),
        (stored(brotli.compress(ZEROS, quality=1)), f"more than the {len(PLAIN):,} bytes"),
        (stored(zstandard.compress(ZEROS), "zstd"), f"more than the {len(PLAIN):,} bytes"),
        (stored(brotli.compress(ZEROS, quality=1), size_bytes=BOMB_BYTES), "more than is plausible"),
        (stored(zstandard.compress(ZEROS), "zstd", size_bytes=BOMB_BYTES), "more than is plausible"),
        (stored(brotli.compress(PLAIN), size_bytes=1 << 40), "size_bytes"),
        (stored(brotli.compress(PLAIN), size_bytes=2 << 30), "2,147,483,648 are allowed"),
        (stored(zstandard.ZstdCompressor(compression_params=LONG_WINDOW).compress(ZEROS), "zstd"), "not valid zstd"),
        (stored(brotli.compress(PLAIN[:-1] + b"x")), "SHA-256 is another one"),
        (stored(brotli.compress(PLAIN), sha256="0" * 64), "SHA-256 is another one"),
        (stored(brotli.compress(PLAIN), "gzip"), "gzip"),
        (stored(brotli.compress(PLAIN), "identity"), "identity"),
        (stored(brotli.compress(PLAIN), name="model.tflite"), "names a file twice"),
        (stored(brotli.compress(PLAIN), name="GOLDEN/input_0.npy"), "names a file twice"),
        (manifest(lambda d: d["files"][0]["stored"].update(name="../model.tflite.br")), r"stored"),
        (manifest(lambda d: d["files"][0]["stored"].update(name="/etc/passwd")), r"stored"),
        (manifest(lambda d: d["files"][0].update(stored=None)), "model.tflite is missing"),
        (manifest(lambda d: d["files"][0].pop("stored")), "stored"),
        (manifest(lambda d: d["files"][0]["stored"].update(size_bytes=1)), "has not the 1 bytes"),
    ],
)
def test_compressed_files_are_decoded_within_bounds(made, tamper, message):
    (made / "GOLDEN").mkdir(exist_ok=True)
    tamper(made)
    with pytest.raises(ArtifactError, match=message):
        verify_bundle(made)


def test_a_file_that_is_not_there_cannot_be_read(made):
    with pytest.raises(ArtifactError, match=r"holds no 'other\.tflite'") as caught:
        read_file(verify_bundle(made), "other.tflite")
    assert "model.tflite" in caught.value.remedy


def test_a_file_that_changed_after_the_check_is_not_used(made):
    bundle = verify_bundle(made)
    (made / MODEL).write_bytes(brotli.compress(PLAIN[:-1] + b"x"))
    with pytest.raises(ArtifactError, match="SHA-256 is another one"):
        read_file(bundle, "model.tflite")


def test_no_folder_is_no_bundle(tmp_path):
    with pytest.raises(ArtifactError, match="is not a bundle"):
        verify_bundle(tmp_path / "absent")
