import dataclasses
import json
import math
import types
import typing
from dataclasses import replace
from pathlib import Path

import pytest
from tests import report_builder

from edgeship import report
from edgeship.errors import InputError
from edgeship.report import store
from edgeship.types import Change, Emulation, Estimate, Failure, Measurement, Report

SCHEMA = json.loads((Path(store.__file__).parent / "schema.json").read_text())


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build")
    report.write(report_builder.build(folder), folder)
    return folder


def edited(build, tmp_path, change):
    data = json.loads((build / "report.json").read_text())
    change(data)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(data))
    return path


def test_round_trip_keeps_everything_but_places_outside(build):
    made = report_builder.build(build)
    places = {
        "source": replace(made.source, path=Path("resnet8.keras")),
        "dataset": replace(made.dataset, path=Path("1f")),
        "command": tuple(c.replace("/home/ann/models/", "") for c in made.command),
    }
    # Tuples inside the recipe are lists in JSON; the builder uses lists.
    assert report.read(build) == replace(made, **places)
    assert report.read(build / "report.json") == report.read(build)


def test_a_moved_build_is_read_at_its_new_place(build, tmp_path):
    import shutil

    moved = tmp_path / "elsewhere" / "b"
    shutil.copytree(build, moved)
    found = report.read(moved)
    assert found.artifacts[0].path == moved / "artifacts" / "tflite" / "float32"
    assert found.artifacts[0].entry.is_file()
    assert found.baseline.path == moved / "predictions" / "original"


def test_writing_again_what_was_read_changes_nothing(build, tmp_path, monkeypatch):
    import shutil

    copy = shutil.copytree(build, tmp_path / "b")
    before = {p.name: p.read_bytes() for p in copy.iterdir() if p.is_file()}
    for place in (tmp_path, copy):
        monkeypatch.chdir(place)
        report.write(report.read(copy), copy)
        assert {p.name: p.read_bytes() for p in copy.iterdir() if p.is_file()} == before


def test_no_place_of_this_machine_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    folder = tmp_path / "builds" / "r"
    folder.mkdir(parents=True)
    made = report_builder.build(folder)
    message = f"cannot read {folder}/artifacts/x, /home/ann/models/resnet8.keras, /home/ann/secret and /home/anna/kept"
    made = replace(made, failures=(Failure("tflite/int4", "convert", "E", message, "", True),), warnings=(message,))
    report.write(made, folder)
    expected = "cannot read ./artifacts/x, resnet8.keras, ~/secret and /home/anna/kept"
    found = report.read(folder)
    assert found.failures[0].message == found.warnings[0] == expected
    for name in ("report.json", "report.md", "report.html"):
        text = (folder / name).read_text()
        assert str(folder) not in text
        assert "/home/ann/" not in text


def test_non_finite_numbers_survive(tmp_path):
    made = report_builder.build(tmp_path)
    gate = replace(made.gates[-1], value=math.inf, interval=(-math.inf, math.inf))
    broken = replace(made.stages[1].files[0], metric=math.nan, drop=Change(math.nan, (-math.inf, math.inf), "points"))
    stage = replace(made.stages[0], metric=math.nan, files=(broken,))
    report.write(replace(made, gates=(*made.gates[:-1], gate), stages=(stage,)), tmp_path)
    found = report.read(tmp_path)
    assert found.gates[-1] == gate
    assert math.isnan(found.stages[0].metric)
    (file,) = found.stages[0].files
    assert math.isnan(file.metric)
    assert math.isnan(file.drop.value)
    assert file.drop.interval == (-math.inf, math.inf)
    assert "NaN" in (tmp_path / "report.html").read_text()


def test_infinite_latency_is_refused(tmp_path):
    made = report_builder.build(tmp_path)
    bad = replace(made.measurements[0], latency_ms=(1.0, math.inf))
    with pytest.raises(InputError, match=r"\$\.measurements\[0\]\.latency_ms\[1\]"):
        report.write(replace(made, measurements=(bad,)), tmp_path)
    assert not (tmp_path / "report.json").exists()


def set_at(*path_and_value):
    *path, last, value = path_and_value

    def change(data):
        for key in path:
            data = data[key]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_at("schema", "edgeship.report/2"), "schema is edgeship.report/2"),
        (set_at("extra", 1), "extra"),
        (set_at("artifacts", 0, "extra", 1), r"\$\.artifacts\[0\].*extra"),
        (set_at("gates", 2, "status", "perhaps"), r"\$\.gates\[2\]\.status"),
        (set_at("gates", 2, "value", "0.5"), r"\$\.gates\[2\]\.value"),
        (set_at("gates", 2, "n", -1), r"\$\.gates\[2\]\.n"),
        (set_at("source", "sha256", "A" * 64), r"\$\.source\.sha256"),
        (set_at("artifacts", 0, "path", "./../../etc"), r"\$\.artifacts\[0\]\.path"),
        (set_at("artifacts", 0, "path", "/etc"), r"\$\.artifacts\[0\]\.path"),
        (set_at("artifacts", 0, "path", "./a/../../b"), r"\$\.artifacts\[0\]\.path"),
        (set_at("artifacts", 0, "files", 0, "name", "../model.tflite"), r"files\[0\]\.name"),
        (set_at("artifacts", 0, "files", 0, "name", "C:\\x"), r"files\[0\]\.name"),
        (set_at("artifacts", 0, "verification", "ok"), r"\$\.artifacts\[0\]\.verification"),
        (set_at("artifacts", 1, "variant", "float32"), "listed twice"),
        (set_at("gates", 0, "accepted", False), "tflite/float32 is said to have passed"),
        (set_at("gates", []), "is said to have passed"),
        (set_at("created", "yesterday"), r"\$\.created"),
        (set_at("measurements", 0, "provenance", "guessed"), "provenance"),
        (set_at("measurements", 0, "latency_ms", []), r"\$\.measurements\[0\]\.latency_ms"),
        (set_at("measurements", 0, "latency_ms", [0.1, -0.1]), r"latency_ms\[1\]"),
        (set_at("measurements", 0, "latency_ms", [0.1, True]), r"latency_ms\[1\]"),
    ],
)
def test_bad_reports_are_refused_with_the_place(build, tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        report.read(edited(build, tmp_path, change))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"schema": NaN}', "NaN is not JSON"),
        ('{"schema": 1e999}', "1e999 is not JSON"),
        ('{"schema": 1, "schema": 1}', "written twice"),
        ("[]", "schema is None"),
        ("\ud800", "surrogate"),
    ],
)
def test_text_that_is_no_report_is_refused(tmp_path, text, message):
    path = tmp_path / "report.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=message if message != "surrogate" else "not UTF-8"):
        report.read(path)


def test_missing_and_oversized_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="cannot read"):
        report.read(tmp_path)
    monkeypatch.setattr(store, "LIMIT_BYTES", 10)
    (tmp_path / "report.json").write_text(" " * 11)
    with pytest.raises(InputError, match="larger than 10 bytes"):
        report.read(tmp_path)


def test_an_artifact_outside_the_build_is_refused(tmp_path):
    made = report_builder.build(tmp_path)
    with pytest.raises(InputError, match="tflite/float32 lies outside"):
        report.write(made, tmp_path / "artifacts" / "onnx")


def test_lists_of_numbers_stand_on_one_line_and_strings_are_untouched(tmp_path):
    made = replace(report_builder.build(tmp_path), warnings=("[1,  2]", "[\n 1,\n 2\n]"))
    report.write(made, tmp_path)
    text = (tmp_path / "report.json").read_text()
    assert max(len(line) for line in text.splitlines()) > 1000
    assert report.read(tmp_path).warnings == made.warnings


def dataclasses_in(kind):
    """Every dataclass that a type mentions."""
    if dataclasses.is_dataclass(kind):
        yield kind
        for hint in typing.get_type_hints(kind).values():
            yield from dataclasses_in(hint)
    for part in typing.get_args(kind):
        if not isinstance(part, str | types.EllipsisType):
            yield from dataclasses_in(part)


#: Fields that came later: a report without them is still read.
LATER = {
    "Source": {"baked"},
    "Dataset": {"augment"},
    "Stage": {"macs", "files"},
    "Artifact": {"layers", "notes", "sources"},
    "Preprocessing": {"mean", "std", "value_range"},
    "SliceRow": {"p_limit"},
    "Exhibit": {"names", "total", "input"},
    "Report": {"attempts", "emulations", "estimates", "unmeasured", "slices", "exhibits"},
    "Measurement": {"preprocessing_ms", "postprocessing_ms", "batch", "streaming", "energy", "repeats"}
    | {"group", "parity", "page", "profile"},
}


def test_the_schema_names_exactly_the_fields_of_the_types():
    names = {"TensorSpec": "tensor", "FileEntry": "file", "DeviceInfo": "device", "StageFile": "stage_file"}
    names |= {
        "NotMeasured": "not_measured",
        "PageStart": "page_start",
        "OperatorProfile": "operator_profile",
        "OperatorTime": "operator_time",
        "OcclusionCase": "occlusion_case",
        "SliceRow": "slice_row",
        "SliceStudy": "slice_study",
    }
    kinds = set(dataclasses_in(Report)) - {Report}
    assert len(kinds) == 33
    for kind in kinds:
        definition = SCHEMA["$defs"][names.get(kind.__name__, kind.__name__.lower())]
        tag = [kind.provenance] if kind in (Measurement, Emulation, Estimate) else []
        fields = [f.name for f in dataclasses.fields(kind)] + ["provenance" for _ in tag]
        assert [definition["properties"]["provenance"]["const"] for _ in tag] == tag
        assert sorted(definition["properties"]) == sorted(fields), kind
        assert sorted(definition["required"]) == sorted(set(fields) - LATER.get(kind.__name__, set())), kind
        assert definition["additionalProperties"] is False
    fields = {"schema", *(f.name for f in dataclasses.fields(Report))}
    assert sorted(SCHEMA["properties"]) == sorted(fields)
    assert sorted(SCHEMA["required"]) == sorted(fields - LATER["Report"])


def test_the_schemas_are_valid_themselves():
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator.check_schema(
        json.loads((Path(store.__file__).parent.parent / "manifest.schema.json").read_text())
    )
