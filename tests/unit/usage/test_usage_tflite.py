"""TFLite Metadata: written, read back, left alone, bounded; accepted by what else reads .tflite files."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from tests.tiny_tflite import image_model_bytes, model_bytes, signed

from edgeship.artifact import read_artifact
from edgeship.errors import ArtifactError
from edgeship.inspection import difference, opening
from edgeship.preprocessing import NAMED, affine
from edgeship.types import Preprocessing, TensorSpec
from edgeship.usage import Usage, read, tflite, usage
from edgeship.usage.tables import encode
from edgeship_converters.tflite import slim

LABELS = ("cat", "dog", "größe")
FULL = Preprocessing(1 / 255, "bilinear", "RGB", value_range=(0.0, 255.0))


def delivered(tmp_path: Path, said: Usage, *, image: bool = False) -> Path:
    content = signed(image_model_bytes(), ("image", "pixels")) if image else signed(model_bytes(), ("x", "p"))
    path = tmp_path / "m.tflite"
    path.write_bytes(slim.slim(content, said=said))
    return path


@pytest.mark.parametrize(
    "done",
    [FULL, NAMED["raw"], NAMED["tf"], NAMED["torch"], NAMED["caffe"], Preprocessing(std=(2.0,)), Preprocessing(0.1)],
)
def test_preprocessing_comes_back(tmp_path: Path, done: Preprocessing) -> None:
    found = read("tflite", delivered(tmp_path, Usage(preprocessing=done), image=True)).preprocessing
    if done.scale is None:
        assert found.scale is None
        return
    assert (found.resize, found.channels, found.value_range) == (done.resize, done.channels, done.value_range)
    for ours, theirs in zip(affine(found), affine(done), strict=True):
        assert np.allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_labels_come_back_and_everything_else_stays(tmp_path: Path) -> None:
    bare = slim.slim(signed(model_bytes(), ("x", "p")))
    path = delivered(tmp_path, usage(LABELS, FULL))
    content = path.read_bytes()
    assert read("tflite", path) == Usage(LABELS, FULL)
    assert len(content) - len(bare) < 700
    x = np.random.default_rng(0).normal(size=(1, 4)).astype(np.float32)
    results = [Interpreter(model_content=c).get_signature_runner()(x=x)["p"] for c in (bare, content)]
    assert np.array_equal(*results)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (member,) = archive.infolist()
        assert (member.filename, member.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
    assert slim.slim(content) == content
    assert slim.slim(signed(model_bytes(), ("x", "p")), said=usage(LABELS, FULL)) == content, "equal bytes again"


def test_the_file_can_be_mapped_into_memory(tmp_path: Path) -> None:
    path = delivered(tmp_path, usage(LABELS, FULL))
    x = np.ones((1, 4), np.float32)
    mapped = Interpreter(model_path=str(path)).get_signature_runner()(x=x)["p"]
    assert np.array_equal(mapped, Interpreter(model_content=path.read_bytes()).get_signature_runner()(x=x)["p"])
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            assert buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0


def test_a_model_with_nothing_to_say_has_no_metadata(tmp_path: Path) -> None:
    plain = slim.slim(signed(model_bytes(), ("x", "p")))
    assert delivered(tmp_path, usage(("0", "1", "2"), Preprocessing())).read_bytes() == plain
    assert b"TFLITE_METADATA" not in plain


def test_micro_runs_a_file_with_an_archive(tmp_path: Path) -> None:
    tflite_micro = pytest.importorskip("tflite_micro", reason="needs tflite-micro")
    content = delivered(tmp_path, usage(LABELS, FULL)).read_bytes()
    interpreter = tflite_micro.runtime.Interpreter.from_bytes(content)
    x = np.ones((1, 4), np.float32)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    expected = Interpreter(model_content=content).get_signature_runner()(x=x)["p"]
    assert np.allclose(interpreter.get_output(0), expected, atol=1e-6)


def test_a_lone_file_is_used_as_it_says(tmp_path: Path) -> None:
    path = delivered(tmp_path, usage(LABELS, FULL))
    artifact = read_artifact(path)
    assert (artifact.labels, artifact.preprocessing, artifact.notes) == (LABELS, FULL, ())
    found = opening.inspect(path, ask=False)
    assert found.labels == LABELS
    assert found.facts["preprocessing"] == "resize: bilinear, channels: RGB, values 0..255, x 0.00392157"
    assert found.metadata["output p: file"] == "labels.txt"


def test_labels_of_a_single_score_are_those_of_its_values() -> None:
    raw = tflite.metadata(Usage(("no", "yes")), [TensorSpec("x", (1, 4), "")], [TensorSpec("score", (1, 1), "")])
    ((_, told),) = [item for item in tflite.tell(raw).descriptions if item[0] == "output score"]
    (file,) = told.tables(6)
    assert (file.text(0), file.byte(2)) == ("labels.txt", tflite.VALUE_LABELS)


def test_inputs_that_are_prepared_in_different_ways_are_not_known() -> None:
    specs = [TensorSpec(name, (1, 4), "") for name in "ab"]
    said = tflite.metadata(Usage(preprocessing=NAMED["unit"]), specs, specs[:1])
    assert tflite.tell(said).preprocessing == NAMED["unit"]
    changed = bytearray(said)
    place = bytes(said).rindex(np.float32(255).tobytes())
    changed[place : place + 4] = np.float32(2).tobytes()
    assert tflite.tell(bytes(changed)).preprocessing == Preprocessing()


@pytest.mark.parametrize("name", ["coral/mobilenet_v1_0.25_128_quant.tflite"])
def test_a_file_of_somebody_else(shared_data: Path, name: str) -> None:
    found = read("tflite", shared_data / name)
    assert len(found.labels) == 1001
    assert found.labels[282].startswith("tabby")
    assert (found.preprocessing.scale, found.preprocessing.channels) == (1.0, "RGB")
    assert (found.preprocessing.mean, found.preprocessing.std) == ((127.5,), (127.5,))


def damaged(content: bytes, archive: bytes) -> bytes:
    return content[: content.index(b"PK\x03\x04")] + archive


@pytest.mark.parametrize("kind", ["bomb", "large", "outside", "lines", "cut"])
def test_archives_that_are_not_unpacked(tmp_path: Path, kind: str) -> None:
    path = delivered(tmp_path, usage(LABELS, FULL))
    content = path.read_bytes()
    body = {"bomb": b"\n" * (16 << 20), "large": b"", "lines": b"\n" * 200_000}.get(kind, b"cat")
    whole = io.BytesIO(content[: content.index(b"PK\x03\x04")])
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_DEFLATED if kind == "bomb" else zipfile.ZIP_STORED) as archive:
        name = "../labels.txt" if kind == "outside" else "labels.txt"
        archive.writestr(name, np.random.default_rng(0).bytes(9 << 20) if kind == "large" else body)
    path.write_bytes(whole.getvalue()[:-30] + b"PK\x05\x06" + b"\xff" * 18 if kind == "cut" else whole.getvalue())
    with pytest.raises(ArtifactError):
        read("tflite", path)
    artifact = read_artifact(path)
    assert artifact.labels == ()
    assert artifact.notes[0].startswith("its labels and preprocessing could not be read: ")


def test_bytes_that_are_not_utf_8_and_control_characters_are_shown_harmlessly(tmp_path: Path) -> None:
    path = delivered(tmp_path, usage(LABELS, FULL))
    content = path.read_bytes()
    whole = io.BytesIO(content[: content.index(b"PK\x03\x04")])
    with zipfile.ZipFile(whole, "a") as archive:
        archive.writestr("labels.txt", b"\xef\xbb\xbfcat\r\n\xff\xfe\n\x1b[31m<b>\n")
    path.write_bytes(whole.getvalue())
    assert read("tflite", path).labels == ("cat", "\ufffd\ufffd", "\ufffd[31m<b>")


def test_every_damage_of_the_metadata_is_a_typed_error_or_nothing(tmp_path: Path) -> None:
    path = delivered(tmp_path, usage(LABELS, FULL))
    content = path.read_bytes()
    start = content.index(b"M001") - 4
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(content)
        place = start + int(rng.integers(0, 240))
        changed[place] = int(rng.integers(0, 256))
        path.write_bytes(changed)
        try:
            assert isinstance(read("tflite", path), Usage)
        except ArtifactError as error:
            assert "broken" in error.message or "labels" in error.message  # noqa: PT017 - one of two right answers


def test_tables_of_a_large_buffer_are_read_in_little_memory() -> None:
    """Metadata of 1 MiB in which hundreds of inputs are described."""
    raw = encode({tflite.SUBGRAPHS: [{tflite.INPUTS: [{0: "x"}] * 300}]}, tflite.MARK) + bytes(1 << 20)
    tracemalloc.start()
    assert len(tflite.tell(raw).descriptions) == 300
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 << 20


def test_more_tables_than_any_model_has_are_not_read() -> None:
    raw = encode({tflite.SUBGRAPHS: [{tflite.INPUTS: [{}] * 70_000}]}, tflite.MARK)
    with pytest.raises(ValueError, match="more in it than fits"):
        tflite.tell(raw)


def test_a_text_that_many_tables_share_is_counted_each_time() -> None:
    builder = flatbuffers.Builder(1 << 20)
    name = builder.CreateString("x" * (1 << 16))
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    tensor = builder.EndObject()
    builder.StartVector(4, 1000, 4)
    for _ in range(1000):
        builder.PrependUOffsetTRelative(tensor)
    inputs = builder.EndVector()
    builder.StartObject(tflite.INPUTS + 1)
    builder.PrependUOffsetTRelativeSlot(tflite.INPUTS, inputs, 0)
    graph = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    builder.StartObject(tflite.SUBGRAPHS + 1)
    builder.PrependUOffsetTRelativeSlot(tflite.SUBGRAPHS, graphs, 0)
    builder.Finish(builder.EndObject(), tflite.MARK)
    with pytest.raises(ValueError, match="more in it than fits"):
        tflite.tell(bytes(builder.Output()))


def test_only_the_child_reads_a_file_that_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = delivered(tmp_path, usage(LABELS, FULL))

    def here(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(opening.sidecar, "read_artifact", here)
    assert opening.inspect(path).labels == LABELS
    assert difference(path, path).same


def test_a_small_file_takes_little_memory_to_read(tmp_path: Path) -> None:
    path = delivered(tmp_path, usage(LABELS, FULL))
    read("tflite", path)  # with what is imported for that
    tracemalloc.start()
    read("tflite", path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
