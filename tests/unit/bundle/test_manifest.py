"""The schema that everybody can read and the reader that devices have refuse the same manifests."""

from __future__ import annotations

import copy
import hashlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib import resources

import pytest
from jsonschema import Draft202012Validator

from edgeship import manifest as manifests
from edgeship.errors import ArtifactError, InputError
from edgeship.types import Budget, ModelCard

SCHEMA = Draft202012Validator(json.loads(resources.files("edgeship").joinpath("manifest.schema.json").read_text()))
#: What stands for anything in a document; none of them is right everywhere.
VALUES = (
    None,
    True,
    -1,
    0,
    1,
    0.5,
    1 << 40,
    "",
    "x",
    "x" * 100_001,
    "../x",
    "/x",
    "a\\b",
    "a:b",
    "a\n",
    "a/.b",
    "é",
    "1.2.3",
    "01.2.3",
    "1.2.3\n",
    "2026-11-20T21:04:05Z\n",
    "f" * 64,
    "F" * 64,
    "f" * 64 + "\n",
    [],
    [1],
    [1, 2],
    ["x"],
    {},
    {"x": 1},
    {"x": "y"},
)
#: What only the reader refuses: documents that contradict themselves, and numbers that no pattern can bound.
READER_ONLY = (
    r"names a file twice|not among its files|must name a file for each|has a name twice|for each of the outputs"
    r"|outputs that there are|take [\d,]+ bytes"
)


@pytest.fixture(scope="session")
def full(pristine):
    """A manifest in which nothing is null or empty that can be something."""
    found, _ = manifests.read_file(pristine / "manifest.json")
    drop = replace(found.metric, direction="maximize")
    lineage = replace(found.lineage, parent="a" * 64)
    card = ModelCard("Tells left from right.", "Apache-2.0", "demonstrations", "three classes")
    changes = {"version": "1.2.3", "card": card, "budget": Budget(20.0, 1 << 20), "lineage": lineage, "metric": drop}
    return json.loads(manifests.written(replace(found, **changes)))


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        if path[:1] != ("lineage",) or key != "recipe":
            yield from places(child, (*path, key))


def changed(document, path, change):
    """A copy of a document with `change(holder, key)` done to a place."""
    found = copy.deepcopy(document)
    holder = found
    for key in path[:-1]:
        holder = holder[key]
    change(holder, path[-1])
    return found


def mutations(document):
    """(what was done, document): each value at each place, each key missing, each object with one key more."""
    for path in places(document):
        if not path:
            continue
        for value in VALUES:
            yield (path, value), changed(document, path, lambda h, k, v=value: h.__setitem__(k, v))
        yield (path, "missing"), changed(document, path, lambda h, k: h.__delitem__(k))
        yield (path, "twice"), changed(document, path, lambda h, k: isinstance(h, list) and h.append(h[k]))
        yield (path, "unknown"), changed(document, path, lambda h, k: isinstance(h, dict) and h.__setitem__(k + "_", 1))


def by_schema(document):
    return SCHEMA.is_valid(document)


def by_reader(document):
    """Why the reader refuses it; empty where it does not."""
    try:
        manifests.read(json.dumps(document).encode())
    except ArtifactError as error:
        return error.message
    return ""


def test_reader_and_schema_refuse_the_same(full):
    assert by_schema(full)
    assert by_reader(full) == ""
    verdicts = [(what, by_schema(document), by_reader(document)) for what, document in mutations(full)]
    taken = [what for what, valid, reason in verdicts if not valid and not reason]
    assert taken == [], "the reader takes what the schema refuses"
    odd = [
        (what, reason) for what, valid, reason in verdicts if valid and reason and not re.search(READER_ONLY, reason)
    ]
    assert odd == [], "the reader refuses what the schema takes"
    assert sum(not valid for _, valid, _ in verdicts) > 2000
    assert sum(not reason for _, _, reason in verdicts) > 100


@pytest.mark.parametrize(
    "path",
    [("card",), ("version",), ("metric",), ("metric", "drop"), ("lineage", "parent"), ("lineage", "dataset")],
    ids=".".join,
)
def test_what_may_be_null_may_be_null(full, path):
    document = changed(full, path, lambda holder, key: holder.__setitem__(key, None))
    assert by_schema(document)
    assert by_reader(document) == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version="2147483648.0.0"), "version"),
        (lambda d: d.update(format="tfjs"), "tfjs"),
        (lambda d: d.update(kind="web"), "tflite or onnx for a device"),
        (lambda d: d.update(format="onnx"), "must be onnxruntime for onnx"),
        (lambda d: d["golden"]["tolerances"].pop(), r"must have one for '\*'"),
        (lambda d: d["golden"]["inputs"].update(other="golden/input_0.npy"), "for each of the inputs"),
        (lambda d: d["golden"]["tolerances"][1]["max_abs"].clear(), "for each of the outputs"),
        (lambda d: d["inputs"].append(d["inputs"][0]), "has a name twice"),
        (lambda d: d["files"][0]["stored"].update(name=d["files"][1]["name"].upper()), "names a file twice"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(full, change, message):
    document = copy.deepcopy(full)
    change(document)
    assert re.search(message, by_reader(document))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff", "UTF-8"),
        (b"[" * 100_000, "not JSON"),
        (b'{"schema": "edgeship.manifest/1", "schema": "edgeship.manifest/1"}', "written twice"),
        (b'{"schema": 1e999}', "1e999 is not JSON"),
        (b'{"schema": NaN}', "NaN is not JSON"),
        (b" " * (5 << 20), "larger than"),
        (b"[]", "schema is 'list'"),
    ],
)
def test_what_is_no_document_is_refused(content, message):
    with pytest.raises(ArtifactError, match=message):
        manifests.read(content)


def test_a_manifest_is_written_as_it_was_read(full, pristine):
    content = (pristine / "manifest.json").read_bytes()
    assert manifests.written(manifests.read(content)) == content
    assert json.loads(manifests.written(manifests.read(json.dumps(full).encode()))) == full


def test_nothing_is_written_that_would_not_be_read(pristine):
    found, _ = manifests.read_file(pristine / "manifest.json")
    with pytest.raises(InputError, match=r"\$\.version"):
        manifests.written(replace(found, version="1.2"))
    with pytest.raises(InputError, match=r"\$\.files\[0\]\.name"):
        manifests.written(replace(found, files=(replace(found.files[0], name="../model.tflite"), *found.files[1:])))


def test_reading_needs_nothing_beyond_the_base_install(made):
    absent = ("jsonschema", "jinja2", "tensorflow", "keras", "onnx", "onnxruntime")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({absent}))\n"
        f"from pathlib import Path; from edgeship.bundle import verify_bundle\n"
        f"print(verify_bundle(Path({str(made)!r})).sha256)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == hashlib.sha256((made / "manifest.json").read_bytes()).hexdigest()
