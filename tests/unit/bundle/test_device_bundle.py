"""What a bundle holds, which file it takes, and where it is written."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from bundle_builds import X, contents, make_build
from tests import report_builder, tiny_tflite

from edgeship import report
from edgeship.artifact import hash_files, write_sidecar
from edgeship.bundle import device_bundle, making, read_file, verify_bundle
from edgeship.cli import cli, failures
from edgeship.encodings import encode
from edgeship.errors import ArtifactError, GateFailed, InputError, OutputError
from edgeship_benchmarks.sizes import sizes

PLAIN = tiny_tflite.model_bytes()


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
                "mean": [],
                "std": [],
                "value_range": None,
                "given_dtype": "float32",
                "steps": [],
            },
        }
    ]
    assert (manifest["version"], manifest["card"], manifest["lineage"]["parent"]) == (None, None, None)
    assert manifest["budget"] == {"latency_ms": None, "memory_bytes": None}
    ops = [{"name": "FULLY_CONNECTED", "version": 1}, {"name": "SOFTMAX", "version": 1}]
    assert manifest["runtime"] == {"name": "litert", "minimum": "1.5.0", "ops": ops}
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


def add_file(build, variant, content, *, measured):
    """Another TFLite file that passed, in a copy of a build: its report, sidecar and golden samples."""
    before = report.read(build)
    first = before.artifacts[0]
    place = build / "artifacts" / "tflite" / variant
    place.mkdir()
    (place / "model.tflite").write_bytes(content)
    added = replace(first, path=place, variant=variant, files=hash_files(place, ["model.tflite"]))
    write_sidecar(added)
    outputs = build / "golden" / "outputs"
    shutil.copytree(outputs / "tflite__float32", outputs / f"tflite__{variant}")
    measurements = []
    if measured:
        size = sizes(added)
        compressed = {"size_bytes": size.raw_bytes, "brotli_bytes": size.brotli_bytes, "zstd_bytes": size.zstd_bytes}
        measurements = [*before.measurements, replace(report_builder.measurement(added, 0.3, 2), **compressed)]
    gates = (*before.gates, *(replace(gate, artifact=added.id) for gate in before.gates))
    both = replace(before, artifacts=(first, added), gates=gates, measurements=tuple(measurements))
    report.write(both, build)


@pytest.mark.parametrize("measured", [True, False])
def test_the_file_with_the_fewest_bytes_to_deliver_is_taken(tmp_path, measured):
    """The larger of two files, because it is full of zeros, which are not sent."""
    noise = np.random.default_rng(0).bytes(20_000)
    build = make_build(tmp_path / "build", PLAIN + noise)
    add_file(build, "float16", PLAIN + noise[:5_000] + bytes(40_000), measured=measured)
    made = device_bundle(build, tmp_path / "out")
    assert made.artifact == "tflite/float16"
    assert made.size_bytes > 45_000 > 10_000 > made.wire_bytes


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

    monkeypatch.setattr(making.shutil, "copyfile", fail)
    with pytest.raises(Exception, match="disk is full") as caught:
        device_bundle(build, tmp_path / "out")
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []
