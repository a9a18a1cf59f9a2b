"""Device bundles: one verified file with all that a device needs to use it and to check itself.

    manifest.json             schema `edgeship.manifest/1`: names and hashes all the rest
    model.tflite              (or model.onnx) of the files of the build that passed, the one asked for or the smallest
    golden/input_0.npy ...    a few test inputs
    golden/output_0.npy ...   what the file gives for them

A file that gets smaller by it is stored compressed, as `model.tflite.br` or `.zst`; the manifest says how. Made from a
build folder alone; the same build gives the same bytes. Reading one needs no package beyond the base install.
"""

from __future__ import annotations

from edgeship.bundle.card import read_card
from edgeship.bundle.documents import write_documents
from edgeship.bundle.making import Wishes, device_bundle
from edgeship.bundle.reading import read_file, verify_bundle

__all__ = ["Wishes", "device_bundle", "read_card", "read_file", "verify_bundle", "write_documents"]
