from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeship.artifact import hash_files, read_artifact, write_sidecar
from edgeship.errors import ArtifactError
from edgeship.types import Artifact, Quantization, TensorSpec

CONTENT = b"\x1c\x00\x00\x00TFL3 not really a model"


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    """Two files, one in a folder below, with a sidecar."""
    (tmp_path / "model.tflite").write_bytes(CONTENT)
    (tmp_path / "extra").mkdir()
    (tmp_path / "extra" / "labels.txt").write_text("cat\ndog\n")
    made = Artifact(
        path=tmp_path,
        format="tflite",
        variant="int8-floatio",
        files=hash_files(tmp_path, ["model.tflite", "extra/labels.txt"]),
        inputs=(TensorSpec("image", (1, None, None, 3), "int8", Quantization(0.0078125, -3)),),
        outputs=(TensorSpec("probabilities", (1, 2), "float32"),),
        source_sha256="ab" * 32,
        labels=("cat", "dog"),
        made_by={"tensorflow": "2.21.0"},
        verification="passed",
    )
    write_sidecar(made)
    return made


def change(artifact: Artifact, edit: Callable[[dict[str, Any]], None]) -> None:
    path = artifact.path / "artifact.json"
    data = json.loads(path.read_text())
    edit(data)
    path.write_text(json.dumps(data))


def test_reads_what_was_written_by_folder_entry_and_sidecar(artifact: Artifact) -> None:
    assert read_artifact(artifact.path) == artifact
    assert read_artifact(artifact.entry) == artifact
    assert read_artifact(artifact.path / "artifact.json") == artifact


def test_the_folder_can_be_moved(artifact: Artifact) -> None:
    assert str(artifact.path) not in (artifact.path / "artifact.json").read_text()
    moved = artifact.path.rename(artifact.path.with_name("moved"))
    assert read_artifact(moved) == replace(artifact, path=moved)


@pytest.mark.parametrize("name", ["model.tflite", "extra/labels.txt"])
def test_one_changed_byte_is_noticed_in_any_file(artifact: Artifact, name: str) -> None:
    content = bytearray((artifact.path / name).read_bytes())
    content[-2] ^= 1
    (artifact.path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="SHA-256"):
        read_artifact(artifact.path)


def test_another_size_is_noticed(artifact: Artifact) -> None:
    (artifact.path / "model.tflite").write_bytes(CONTENT[:-1])
    with pytest.raises(ArtifactError, match="bytes and not"):
        read_artifact(artifact.path)


def test_a_missing_file_is_noticed(artifact: Artifact) -> None:
    (artifact.path / "extra" / "labels.txt").unlink()
    with pytest.raises(ArtifactError, match=r"labels\.txt does not exist"):
        read_artifact(artifact.path)


@pytest.mark.parametrize(
    "name",
    [
        "../model.tflite",
        "/etc/hostname",
        "a/../../b",
        "a\\b",
        "C:x",
        "",
        ".",
        "./model.tflite",
        "artifact.json",
        "a\nb",
    ],
)
def test_names_stay_inside_the_folder(artifact: Artifact, name: str) -> None:
    change(artifact, lambda data: data["files"][0].update(name=name))
    with pytest.raises(ArtifactError, match="is not the name of a file inside"):
        read_artifact(artifact.path)
    with pytest.raises(ArtifactError, match="is not the name of a file inside"):
        hash_files(artifact.path, [name])


def test_a_link_out_of_the_folder_is_refused(artifact: Artifact, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside") / "model.tflite"
    outside.write_bytes(CONTENT)
    (artifact.path / "model.tflite").unlink()
    (artifact.path / "model.tflite").symlink_to(outside)
    with pytest.raises(ArtifactError, match="no regular file inside"):
        read_artifact(artifact.path)


@pytest.mark.parametrize(
    "edit",
    [
        lambda data: data.update(schema="edgeship.artifact/2"),
        lambda data: data.update(surprise=1),
        lambda data: data.pop("inputs"),
        lambda data: data.update(files=[]),
        lambda data: data.update(files=data["files"][:1] * 2),
        lambda data: data["files"][0].update(sha256="0"),
        lambda data: data["files"][0].update(size_bytes=-1),
        lambda data: data.update(format="../tflite"),
        lambda data: data.update(variant=""),
        lambda data: data.update(verification="fine"),
        lambda data: data["inputs"][0].update(shape=[-1, 2]),
        lambda data: data["inputs"][0]["quantization"].update(scale=0),
        lambda data: data["inputs"][0]["quantization"].update(scale=float("nan")),
    ],
)
def test_a_sidecar_that_is_none_is_refused(artifact: Artifact, edit: Callable[[dict[str, Any]], None]) -> None:
    change(artifact, edit)
    with pytest.raises(ArtifactError):
        read_artifact(artifact.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000])
def test_text_that_is_no_sidecar_is_refused(artifact: Artifact, text: str) -> None:
    (artifact.path / "artifact.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"artifact\.json"):
        read_artifact(artifact.path)


def test_an_artifact_that_could_not_be_read_back_is_not_written(artifact: Artifact) -> None:
    before = (artifact.path / "artifact.json").read_bytes()
    with pytest.raises(ArtifactError):
        write_sidecar(replace(artifact, files=()))
    assert (artifact.path / "artifact.json").read_bytes() == before


@pytest.mark.parametrize(("name", "format_name"), [("net.tflite", "tflite"), ("net.onnx", "onnx")])
def test_a_file_from_elsewhere(tmp_path: Path, name: str, format_name: str) -> None:
    (tmp_path / name).write_bytes(CONTENT)
    found = read_artifact(tmp_path / name)
    assert (found.format, found.variant, found.verification) == (format_name, "foreign", "UNVERIFIED")
    assert [(f.name, f.size_bytes) for f in found.files] == [(name, len(CONTENT))]
    assert found.inputs == found.outputs == ()


def test_another_file_beside_a_sidecar_is_from_elsewhere(artifact: Artifact) -> None:
    (artifact.path / "other.tflite").write_bytes(CONTENT)
    assert read_artifact(artifact.path / "other.tflite").variant == "foreign"


def test_a_tfjs_model_from_elsewhere_brings_its_shards(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"weightsManifest": [{"paths": ["w/1.bin", "w/2.bin"]}]}))
    (tmp_path / "w").mkdir()
    for name in ("1.bin", "2.bin"):
        (tmp_path / "w" / name).write_bytes(b"1234")
    found = read_artifact(tmp_path / "model.json")
    assert (found.format, [f.name for f in found.files]) == ("tfjs", ["model.json", "w/1.bin", "w/2.bin"])


@pytest.mark.parametrize(
    "text", ["{}", "[]", '{"weightsManifest": [{"paths": ["../up.bin"]}]}', '{"weightsManifest": [{"paths": [1]}]}']
)
def test_a_json_file_that_is_no_tfjs_model_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "up.bin").write_bytes(b"1234")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "model.json").write_text(text)
    with pytest.raises(ArtifactError):
        read_artifact(tmp_path / "inner" / "model.json")


def test_what_is_no_exported_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("hello")
    for path in (tmp_path, tmp_path / "model.txt", tmp_path / "absent.tflite"):
        with pytest.raises(ArtifactError) as caught:
            read_artifact(path)
        assert caught.value.remedy
