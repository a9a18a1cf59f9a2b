"""Reading and writing `manifest.json`, schema `edgeship.manifest/1`: light enough for a device, and trusting nothing.

What [manifest.schema.json](manifest.schema.json) refuses is refused here too, without a package for JSON Schema; so is
what no schema can say: files named twice, golden samples of inputs that there are not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgeship.codec import from_data, strict_json, to_data, to_json
from edgeship.encodings import MAX_BYTES, SUFFIXES
from edgeship.errors import ArtifactError, InputError
from edgeship.releases.names import version
from edgeship.types import InputPreprocessing, Manifest, ManifestInput, ManifestOutput

SCHEMA = "edgeship.manifest/1"
NAME = "manifest.json"
#: A manifest is read before anything about it is known to be true.
LIMIT_BYTES = 4 << 20

#: What runs which format, for whom.
RUNTIMES = {("device", "tflite"): "litert", ("device", "onnx"): "onnxruntime", ("web", "tfjs"): "tfjs"}

_LONGEST_TEXT = 100_000
_LONGEST_CARD_TEXT = 10_000
_LONGEST_NAME = 1024
_MOST_FILES = 256
_MOST_OPERATORS = 4096
_MOST_AXES = 16
_MOST_CHANNELS = 65_536
# ASCII, so that no file system takes two of them for one; no part begins with a dot, so that none leaves the folder.
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DTYPE = re.compile(r"[a-z0-9_]{1,32}")
_RELEASE = re.compile(r"[0-9]{1,5}(\.[0-9]{1,5}){1,3}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,38})?(Z|[+-][0-9]{2}:[0-9]{2})")

#: A place in the document, whether what is there may be there, and what to say where not.
_Rule = tuple[str, bool, str]


def read(content: bytes, where: str = NAME) -> Manifest:
    """A manifest that may come from anywhere.

    Raises ArtifactError naming the place in the document, where it is too large, no JSON, not of the schema, or
    contradicts itself. That the files are there and are what it says, is not its affair.
    """
    try:
        found = _parsed(content)
        check(found)
    except InputError as error:
        raise ArtifactError(f"{where}: {error.message}", remedy=error.remedy) from error
    return found


def _parsed(content: bytes) -> Manifest:
    if len(content) > LIMIT_BYTES:
        raise InputError(f"it is larger than {LIMIT_BYTES:,} bytes")
    data = strict_json(content)
    given = data.get("schema") if isinstance(data, dict) else type(data).__name__
    if given != SCHEMA:
        raise InputError(f"its schema is {str(given)[:100]!r}", remedy=f"This edgeship reads {SCHEMA!r}.")
    return from_data(Manifest, data)


def read_file(path: Path) -> tuple[Manifest, bytes]:
    """The manifest in a file, and the bytes of it. Raises ArtifactError as `read`, for links, and where none is."""
    if path.is_symlink() or not path.is_file():
        raise ArtifactError(f"{path.parent} has no {path.name}")
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    return read(content, str(path)), content


def written(manifest: Manifest) -> bytes:
    """The manifest as it is delivered: the same value gives the same bytes. Raises InputError as `check`."""
    check(manifest)
    return to_json(manifest).encode()


def check(manifest: Manifest) -> None:
    """Raise InputError, naming the place, for a value that no client would take."""
    for rules in (_head, _files, _runtime, _tensors, _golden, _results, _lineage):
        for place, holds, remark in rules(manifest):
            if not holds:
                raise InputError(f"{place} {remark}")
    for place, text in _texts("$", to_data(manifest)):
        if len(text) > _LONGEST_TEXT:
            raise InputError(f"{place} has {len(text):,} characters, {_LONGEST_TEXT:,} are allowed")


def _head(m: Manifest) -> Iterator[_Rule]:
    yield "$.version", m.version is None or _is_version(m.version), _not("null or a version such as 1.4.0", m.version)
    yield "$.created", _MOMENT.fullmatch(m.created) is not None, _not("a moment with its offset from UTC", m.created)
    runtime = RUNTIMES.get((m.kind, m.format))
    yield "$.format", runtime is not None, "must be tflite or onnx for a device, tfjs for the web"
    yield "$.runtime.name", m.runtime.name == runtime, _not(f"{runtime} for {m.format}", m.runtime.name)
    if m.card is not None:
        for name, text in to_data(m.card).items():
            yield f"$.card.{name}", len(text) <= _LONGEST_CARD_TEXT, f"has more than {_LONGEST_CARD_TEXT:,} characters"


def _files(m: Manifest) -> Iterator[_Rule]:
    yield "$.files", 1 <= len(m.files) <= _MOST_FILES, f"must be 1 to {_MOST_FILES} files"
    names = []
    for index, file in enumerate(m.files):
        for part, entry in ((f"$.files[{index}]", file), (f"$.files[{index}].stored", file.stored)):
            if entry is not None:
                names.append(entry.name)
                yield f"{part}.name", is_file_name(entry.name), _not(_FILE_NAMES, entry.name)
                yield f"{part}.sha256", _SHA256.fullmatch(entry.sha256) is not None, _DIGEST
                yield f"{part}.size_bytes", 0 <= entry.size_bytes <= MAX_BYTES, f"must be 0 to {MAX_BYTES:,}"
        if file.stored is not None:
            yield (
                f"$.files[{index}].stored.encoding",
                file.stored.encoding in SUFFIXES,
                _not(" or ".join(SUFFIXES), file.stored.encoding),
            )
    # Decoding writes the plain names beside the stored ones: none may stand for two files.
    once = {name.casefold() for name in (NAME, *names)}
    yield "$.files", len(once) == 1 + len(names), "names a file twice"
    total = sum(file.size_bytes for file in m.files)
    yield "$.files", total <= MAX_BYTES, f"take {total:,} bytes, {MAX_BYTES:,} are allowed"
    plain = {file.name for file in m.files}
    for place, name in (("$.entry", m.entry), *_golden_names(m)):
        yield place, name in plain, f"is {name[:100]!r}, which is not among its files"


def _runtime(m: Manifest) -> Iterator[_Rule]:
    yield (
        "$.runtime.minimum",
        _RELEASE.fullmatch(m.runtime.minimum) is not None,
        _not("a release such as 2.3.0", m.runtime.minimum),
    )
    yield "$.runtime.ops", len(m.runtime.ops) <= _MOST_OPERATORS, f"has more than {_MOST_OPERATORS:,} operators"
    for index, op in enumerate(m.runtime.ops):
        yield f"$.runtime.ops[{index}].version", op.version is None or op.version >= 0, "must be null, 0 or more"
    latency, memory = m.budget.latency_ms, m.budget.memory_bytes
    yield "$.budget.latency_ms", latency is None or 0 < latency < math.inf, "must be null or more than 0"
    yield "$.budget.memory_bytes", memory is None or memory > 0, "must be null or more than 0"


def _tensors(m: Manifest) -> Iterator[_Rule]:
    for index, given in enumerate(m.inputs):
        yield from _tensor(f"$.inputs[{index}]", given)
        yield from _preprocessing(f"$.inputs[{index}].preprocessing", given.preprocessing)
    for index, made in enumerate(m.outputs):
        yield from _tensor(f"$.outputs[{index}]", made)
    for side, names in (("inputs", [t.name for t in m.inputs]), ("outputs", [t.name for t in m.outputs])):
        yield f"$.{side}", len(names) > 0, "must not be empty"
        yield f"$.{side}", len(set(names)) == len(names), "has a name twice"


def _tensor(place: str, tensor: ManifestInput | ManifestOutput) -> Iterator[_Rule]:
    sizes = all(size is None or size >= 0 for size in tensor.shape) and len(tensor.shape) <= _MOST_AXES
    yield f"{place}.shape", sizes, f"must be at most {_MOST_AXES} sizes of 0 and more, or null"
    yield f"{place}.dtype", _DTYPE.fullmatch(tensor.dtype) is not None, "must be the name of a dtype"
    scale = tensor.quantization is None or tensor.quantization.scale > 0
    yield f"{place}.quantization.scale", scale, "must be more than 0"


def _preprocessing(place: str, done: InputPreprocessing) -> Iterator[_Rule]:
    many = f"has more than {_MOST_CHANNELS:,} numbers"
    yield f"{place}.scale", done.scale is None or done.scale > 0, "must be null or more than 0"
    yield f"{place}.mean", len(done.mean) <= _MOST_CHANNELS, many
    yield f"{place}.std", len(done.std) <= _MOST_CHANNELS, many
    yield f"{place}.std", all(number > 0 for number in done.std), "must be numbers above 0"
    yield f"{place}.given_dtype", _DTYPE.fullmatch(done.given_dtype) is not None, "must be the name of a dtype"
    yield f"{place}.steps", len(done.steps) <= 1, "has a step twice"


def _golden(m: Manifest) -> Iterator[_Rule]:
    g = m.golden
    yield "$.golden.samples", g.samples >= 1, "must be 1 or more"
    for side, files, tensors in (("inputs", g.inputs, m.inputs), ("outputs", g.outputs, m.outputs)):
        yield f"$.golden.{side}", set(files) == {t.name for t in tensors}, f"must name a file for each of the {side}"
    yield "$.golden.tolerances", "*" in {t.runtime for t in g.tolerances}, "must have one for '*'"
    for index, tolerance in enumerate(g.tolerances):
        place = f"$.golden.tolerances[{index}]"
        yield f"{place}.max_abs", set(tolerance.max_abs) == set(g.outputs), "must have a number for each of the outputs"
        yield f"{place}.max_abs", all(n >= 0 for n in tolerance.max_abs.values()), "must be 0 or more"
        shares = set(tolerance.agreement) <= set(g.outputs) and all(0 <= n <= 1 for n in tolerance.agreement.values())
        yield f"{place}.agreement", shares, "must be 0 to 1, of outputs that there are"


def _results(m: Manifest) -> Iterator[_Rule]:
    if m.metric is not None and m.metric.drop is not None:
        yield "$.metric.drop.n", m.metric.drop.n >= 0, "must be 0 or more"
    for index, latency in enumerate(m.latency):
        numbers = (latency.threads, latency.n, latency.median_ms, latency.p90_ms, *(latency.interval_ms or ()))
        yield f"$.latency[{index}]", all(number >= 0 for number in numbers), "must have numbers of 0 and more"


def _lineage(m: Manifest) -> Iterator[_Rule]:
    line = m.lineage
    digests = {"source.sha256": line.source.sha256, "report_sha256": line.report_sha256}
    digests |= {"parent": line.parent} if line.parent is not None else {}
    counts = {"source.parameters": line.source.parameters}
    if line.dataset is not None:
        digests["dataset.sha256"] = line.dataset.sha256
        counts |= {f"dataset.counts.{split[:100]}": count for split, count in line.dataset.counts.items()}
    for name, digest in digests.items():
        yield f"$.lineage.{name}", _SHA256.fullmatch(digest) is not None, _DIGEST
    for name, count in counts.items():
        yield f"$.lineage.{name}", count >= 0, "must be 0 or more"


_FILE_NAMES = "a name inside the folder, of A-Z a-z 0-9 . _ - and /"
_DIGEST = "must be 64 hexadecimal digits"


def _not(allowed: str, given: object) -> str:
    return f"must be {allowed}, not {str(given)[:100]!r}"


def is_file_name(name: str) -> bool:
    """Whether a file of a bundle may be called so: relative, inside its folder, the same on every file system."""
    return len(name) <= _LONGEST_NAME and _FILE.fullmatch(name) is not None


def _golden_names(m: Manifest) -> Iterable[tuple[str, str]]:
    for side, files in (("inputs", m.golden.inputs), ("outputs", m.golden.outputs)):
        yield from ((f"$.golden.{side}.{tensor[:100]}", name) for tensor, name in files.items())


def _is_version(text: str) -> bool:
    try:
        return bool(version(text))
    except InputError:
        return False


def _texts(place: str, value: Any) -> Iterator[tuple[str, str]]:
    """All texts of a document with their places, but those of the recipe, which is as its author wrote it."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if (place, key) != ("$.lineage", "recipe"):
                yield from _texts(f"{place}.{key[:100]}", inner)
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _texts(f"{place}[{index}]", inner)
