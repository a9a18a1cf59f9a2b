import hashlib
import io
import json
import os
import shutil
from dataclasses import replace

import brotli
import numpy as np
import pytest
import zstandard
from tests import report_builder, tiny_tflite

from edgeship import bundle, report
from edgeship.artifact import hash_files, write_sidecar
from edgeship.bundle import device_bundle, read_file, verify_bundle
from edgeship.cli import cli, failures
from edgeship.encodings import encode
from edgeship.errors import ArtifactError, GateFailed, InputError, OutputError
from edgeship.types import Artifact, Dataset, Gate, Prediction, Preprocessing, Report, Source, TensorSpec

X = np.random.default_rng(5).normal(size=(8, 4)).astype(np.float32)


def make_build(folder, content=None, **changes):
    """A build folder with one TFLite file, as the pipeline leaves it."""
    place = folder / "artifacts" / "tflite" / "float32"
    place.mkdir(parents=True)
    (place / "model.tflite").write_bytes(content or tiny_tflite.model_bytes())
    inputs, outputs = (TensorSpec("x", (1, 4), "float32"),), (TensorSpec("probabilities", (1, 3), "float32"),)
    artifact = Artifact(
        place,
        "tflite",
        "float32",
        hash_files(place, ["model.tflite"]),
        inputs,
        outputs,
        "a" * 64,
        ("left", "right", "<b>up</b>"),
        {"tensorflow": "2.21.0"},
        "passed",
        Preprocessing(scale=0.5),
    )
    artifact = replace(artifact, **changes)
    write_sidecar(artifact)
    golden = folder / "golden"
    (golden / "inputs").mkdir(parents=True)
    (golden / "outputs" / "tflite__float32").mkdir(parents=True)
    np.save(golden / "inputs" / "x.npy", X)
    np.save(golden / "outputs" / "tflite__float32" / "probabilities.npy", tiny_tflite.expected(X))
    ranges = {"inputs": {"x": [-3.5, 3.25]}, "outputs": {"probabilities": [0.0, 1.0]}}
    (golden / "ranges.json").write_text(json.dumps(ranges))
    report.write(make_report(folder, artifact), folder)
    return folder


def make_report(folder, artifact):
    accepted = artifact.verification == "passed"
    status = "pass" if accepted else "fail"
    gate = Gate("metric", artifact.id, "litert", status, accepted, 0.1, 0.5, "points", 100, (-0.2, 0.4))
    source = Source(folder / "net.keras", "keras", "keras", "a" * 64, artifact.inputs, artifact.outputs, 15, True)
    data = Dataset(folder / "d", "points.npz", "b" * 64, "classification", artifact.inputs, {"test": 100})
    return Report(
        name="net",
        created="2026-11-20T21:04:05+00:00",
        source=source,
        dataset=data,
        recipe={"schema": "edgeship.recipe/1", "name": "auto"},
        metric="accuracy",
        baseline=Prediction(folder / "predictions", "keras", 100, 0.95),
        stages=(),
        artifacts=(artifact,),
        predictions={f"{artifact.id} litert": Prediction(folder / "predictions", "litert", 100, 0.949)},
        gates=(gate,),
        measurements=(report_builder.measurement(artifact, 0.3, 1),),
        failures=(),
        environment={"python": "3.11.9"},
        command=("edgeship", "build", "net.keras"),
        metric_direction="maximize",
    )


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return make_build(tmp_path_factory.mktemp("build"))


@pytest.fixture(scope="module")
def pristine(build, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "net"
    return device_bundle(build, out).path


@pytest.fixture
def made(pristine, tmp_path):
    return shutil.copytree(pristine, tmp_path / "bundle")


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_bundle_holds_all_a_device_needs(build, made):
    found = verify_bundle(made)
    assert (found.kind, found.name, found.artifact, found.entry) == ("device", "net", "tflite/float32", "model.tflite")
    assert found.sha256 == hashlib.sha256((made / "manifest.json").read_bytes()).hexdigest()
    assert found.wire_bytes == sum(len(v) for k, v in contents(made).items() if k != "manifest.json")
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["schema"] == "edgeship.manifest/1"
    assert manifest["labels"] == ["left", "right", "<b>up</b>"]
    assert manifest["inputs"] == [
        {
            "name": "x",
            "shape": [1, 4],
            "dtype": "float32",
            "quantization": None,
            "range": [-3.5, 3.25],
            "preprocessing": {
                "scale": 0.5,
                "resize": None,
                "channels": None,
                "given_dtype": "float32",
                "steps": [],
            },
        }
    ]
    assert manifest["outputs"][0]["range"] == [0.0, 1.0]
    assert manifest["metric"]["drop"]["interval"] == [-0.2, 0.4]
    assert manifest["metric"]["value"] == 0.949
    latency = manifest["latency"][0]
    assert latency["provenance"] == "measured"
    assert latency["interval_ms"][0] <= latency["median_ms"] <= latency["interval_ms"][1] <= latency["p90_ms"]
    lineage = manifest["lineage"]
    assert lineage["report_sha256"] == hashlib.sha256((build / "report.json").read_bytes()).hexdigest()
    assert lineage["source"]["sha256"] == "a" * 64
    assert lineage["dataset"]["sha256"] == "b" * 64
    assert str(build) not in (made / "manifest.json").read_text()


def test_golden_samples_check_the_file_on_a_device(made):
    """As a device would: run the delivered file on the delivered inputs, with what the manifest says."""
    from ai_edge_litert.interpreter import Interpreter

    bundle = verify_bundle(made)
    manifest = json.loads((made / "manifest.json").read_text())
    golden = manifest["golden"]
    inputs = np.load(io.BytesIO(read_file(bundle, golden["inputs"]["x"])), allow_pickle=False)
    outputs = np.load(io.BytesIO(read_file(bundle, golden["outputs"]["probabilities"])), allow_pickle=False)
    assert len(inputs) == golden["samples"] == 8
    own, other = golden["tolerances"]
    assert (own["runtime"], other["runtime"]) == ("litert", "*")
    assert 0 < own["max_abs"]["probabilities"] < other["max_abs"]["probabilities"] < 0.01
    assert own["agreement"] == {"probabilities": 0.875}
    interpreter = Interpreter(model_content=read_file(bundle, bundle.entry))
    interpreter.allocate_tensors()
    for x, expected in zip(inputs, outputs, strict=True):
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[None])
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
        assert np.abs(found - expected).max() <= own["max_abs"]["probabilities"]


def test_the_same_build_gives_the_same_bytes_and_is_reused(build, tmp_path):
    first, second = device_bundle(build, tmp_path / "a"), device_bundle(build, tmp_path / "b")
    assert contents(first.path) == contents(second.path)
    assert device_bundle(build, tmp_path / "a") == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


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
        (manifest(lambda d: d["golden"].update(unknown=1)), r"\$\.golden.*unknown"),
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
        (stored(zstandard.compress(PLAIN)[:-9], "zstd"), "announced|zstd"),
        (stored(b""), "cut off"),
        (stored(b"", "zstd"), "decodes to 0 bytes"),
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


def test_files_are_stored_by_the_smallest_way_or_as_they_are(tmp_path, made):
    bundle = verify_bundle(made)
    for entry in bundle.files:
        plain = read_file(bundle, entry.name)
        forms = {"br": len(encode(plain, "br")), "zstd": len(encode(plain, "zstd")), None: len(plain)}
        way = entry.stored.encoding if entry.stored else None
        assert len((made / entry.wire.name).read_bytes()) == forms[way] == min(forms.values())
        assert hashlib.sha256(plain).hexdigest() == entry.sha256
    assert bundle.wire_bytes < 0.9 * bundle.size_bytes
    hard = make_build(tmp_path / "hard", PLAIN + np.random.default_rng(0).bytes(200_000))
    model = device_bundle(hard, tmp_path / "out").files[0]
    assert model.stored is None
    assert read_file(verify_bundle(tmp_path / "out"), "model.tflite").startswith(PLAIN)


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


@pytest.mark.parametrize("state", ["failed", "UNVERIFIED"])
def test_what_did_not_pass_is_not_delivered(tmp_path, state):
    folder = make_build(tmp_path / "build", verification=state)
    with pytest.raises(GateFailed, match=f"tflite/float32 {state}") as caught:
        device_bundle(folder, tmp_path / "out")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_a_build_without_tflite_is_refused(tmp_path, build):
    folder = shutil.copytree(build, tmp_path / "build")
    empty = replace(report.read(folder), artifacts=(), gates=(), measurements=())
    report.write(empty, folder)
    with pytest.raises(InputError, match="has no TFLite file"):
        device_bundle(folder, tmp_path / "out")


def save(path, array):
    np.save(path, array)


OUTPUT = "golden/outputs/tflite__float32/probabilities.npy"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "artifacts/tflite/float32/model.tflite").write_bytes(b"x"), "model.tflite"),
        (lambda f: (f / "report.json").unlink(), "cannot read"),
        (lambda f: shutil.rmtree(f / "golden"), "cannot read"),
        (lambda f: (f / OUTPUT).unlink(), "no golden samples"),
        (lambda f: (f / OUTPUT).write_bytes(b"no array"), "no .npy file"),
        (lambda f: save(f / OUTPUT, np.zeros((8, 3), object)), "no .npy file"),
        (lambda f: save(f / OUTPUT, np.full((8, 3), np.nan)), "finite"),
        (lambda f: save(f / OUTPUT, np.zeros((8, 4))), "shape"),
        (lambda f: save(f / OUTPUT, tiny_tflite.expected(X)[:7]), "number of samples"),
        (lambda f: save(f / OUTPUT, tiny_tflite.expected(X)[::-1]), "differs by"),
        (lambda f: save(f / OUTPUT, tiny_tflite.expected(X) + 1e-3), "differs by"),
        (lambda f: (f / "golden/ranges.json").write_text("{}"), "does not hold ranges"),
        (lambda f: (f / "golden/ranges.json").write_text('{"inputs": {"x": [2, 1]}, "outputs": {}}'), "smallest"),
    ],
)
def test_a_spoiled_build_is_refused_and_nothing_is_written(tmp_path, build, spoil, message):
    folder = shutil.copytree(build, tmp_path / "build")
    spoil(folder)
    with pytest.raises(InputError, match=message):
        device_bundle(folder, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["build"]


def test_a_replaced_model_with_a_fresh_sidecar_is_still_found(tmp_path, build):
    """The report, not the sidecar, says what was verified."""
    folder = shutil.copytree(build, tmp_path / "build")
    chosen = report.read(folder).artifacts[0]
    (chosen.entry).write_bytes(tiny_tflite.model_bytes(weights=-tiny_tflite.WEIGHTS))
    write_sidecar(replace(chosen, files=hash_files(chosen.path, ["model.tflite"])))
    with pytest.raises(ArtifactError, match="not what the report says"):
        device_bundle(folder, tmp_path / "out")
    shown = (folder / "report.html").read_bytes()
    assert failures.run(cli, ["report", str(folder)]) == 2
    assert (folder / "report.html").read_bytes() == shown


def test_the_report_does_not_vouch_for_a_changed_file(tmp_path, build, capsys):
    folder = shutil.copytree(build, tmp_path / "build")
    assert failures.run(cli, ["report", str(folder)]) == 0
    assert "passed" in capsys.readouterr().out
    entry = report.read(folder).artifacts[0].entry
    entry.write_bytes(tiny_tflite.model_bytes(weights=-tiny_tflite.WEIGHTS))
    assert failures.run(cli, ["report", str(folder)]) == 2
    shown = capsys.readouterr()
    assert "is not the file that artifact.json describes" in shown.err
    assert "passed" not in shown.out


def test_foreign_folders_are_never_touched(tmp_path, build):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    for force in (False, True):
        with pytest.raises(OutputError, match="not a bundle's"):
            device_bundle(build, out, force=force)
    assert contents(out) == {"thesis.txt": b"years of work"}
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="not a folder"):
        device_bundle(build, tmp_path / "file", force=True)
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(OutputError, match="not a folder"):
        device_bundle(build, tmp_path / "link", force=True)


def test_another_bundle_is_replaced_only_with_force(tmp_path, build, made):
    data = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps({**data, "name": "older"}))
    before = contents(made)
    with pytest.raises(OutputError, match="another bundle"):
        device_bundle(build, made)
    assert contents(made) == before
    assert device_bundle(build, made, force=True).name == "net"
    (made / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not a bundle's"):
        device_bundle(build, made, force=True)


def test_an_empty_folder_is_filled(tmp_path, build):
    (tmp_path / "out").mkdir()
    assert device_bundle(build, tmp_path / "out").artifact == "tflite/float32"


def test_a_write_that_fails_leaves_nothing(tmp_path, build, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle.shutil, "copyfile", fail)
    with pytest.raises(Exception, match="disk is full") as caught:
        device_bundle(build, tmp_path / "out")
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []
