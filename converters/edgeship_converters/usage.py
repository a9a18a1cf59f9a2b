"""Labels and preprocessing written into files (see `edgeship.usage`)."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeship.archives import check_zip
from edgeship.errors import SourceError, first_line
from edgeship.types import ConvertOptions, Source, TensorSpec
from edgeship.usage import Usage, usage
from edgeship.usage.onnx import from_props, to_props
from edgeship.usage.savedmodel import to_collections
from edgeship.usage.values import MAX_TEXT
from edgeship_converters import flatfile


def attach(model: Any, said: Usage) -> bool:
    """Give a `.tflite` model (ModelT) a buffer with TFLite Metadata; False where there is nothing to say, or one there.

    The labels belong to the first output of the subgraph.
    """
    from edgeship.usage import tflite  # loads NumPy

    name = tflite.NAME.encode()
    if not said or any(entry.name == name for entry in model.metadata or ()):
        return False
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(tflite.metadata(said, *_ends(model)), np.uint8)
    entry.name, entry.buffer = name, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or ()), entry]
    return True


def _ends(model: Any) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Inputs and outputs in the order of the subgraph, which is that of the metadata, as the signature names them."""
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    sides = []
    for indices, entries in ((graph.inputs, signature.inputs), (graph.outputs, signature.outputs)):
        names = {int(entry.tensorIndex): flatfile.text(entry.name) for entry in entries}
        tensors = [(names[int(index)], graph.tensors[int(index)]) for index in indices]
        sides.append(
            [TensorSpec(name, tuple(map(int, t.shape if t.shape is not None else ())), "") for name, t in tensors]
        )
    return sides[0], sides[1]


def keep_files(delivered: bytes, source: Source) -> tuple[bytes, tuple[str, ...]]:
    """A file made of another .tflite with the files behind that one (labels), which its metadata still names.

    Returns:
        The file, and a note where those are left out: they cannot be unpacked safely, or are larger than labels are.
    """
    if source.kind != "tflite" or zipfile.is_zipfile(io.BytesIO(delivered)) or not zipfile.is_zipfile(source.path):
        return delivered, ()
    from edgeship.usage import tflite  # loads NumPy

    try:
        return tflite.with_files(delivered, _files(source.path)), ()
    # What zipfile raises: BadZipFile for a checksum, RuntimeError for a password, NotImplementedError for a method.
    except (SourceError, zipfile.BadZipFile, RuntimeError, OSError, zlib.error, EOFError) as error:
        return delivered, (f"the files behind {source.path.name} (labels) are left out: {first_line(error)}",)


def _files(path: Path) -> dict[str, bytes]:
    members = check_zip(path, SourceError)
    if sum(member.file_size for member in members) > MAX_TEXT:
        raise SourceError(f"they have more than {MAX_TEXT:,} bytes")
    with zipfile.ZipFile(path) as archive:
        return {member.filename: archive.read(member) for member in members}


def add_collections(message: Any, options: ConvertOptions) -> None:
    """Write labels and preprocessing into a SavedModel message."""
    for key, value in to_collections(usage(options.labels, options.preprocessing)).items():
        message.meta_graphs[0].collection_def[key].bytes_list.value.append(value)


def add_props(model: Any, options: ConvertOptions, kept: Mapping[str, str]) -> None:
    """Write labels and preprocessing into an ONNX ModelProto, and of `kept` what speaks of neither."""
    others = {key: value for key, value in kept.items() if not from_props({key: value})}
    for key, value in (others | to_props(usage(options.labels, options.preprocessing))).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
