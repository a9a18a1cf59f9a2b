"""`edgeship estimate`: where measurements are found, which go together, and what is refused."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from tests import tiny_tflite
from tests.latencies import measured

from edgeship import codec, estimating
from edgeship.artifact import read_artifact
from edgeship.cli import cli
from edgeship.cli.failures import run
from edgeship.errors import InputError
from edgeship.history.remembering import remember
from edgeship.types import NO_GPU, Artifact, Estimate, Measurement, NotMeasured, Progress

#: Dense layers of files that were measured, and of one that was not and lies between them.
_MEASURED = [(16, 256), (16, 512, 64), (16, 128, 64), (16, 512, 512, 64), (64, 1024), (64, 64, 64, 64), (64, 700, 32)]
_NEW = (16, 300, 200)


def _file(folder: Path, sizes: Sequence[int]) -> Artifact:
    path = folder / f"{'-'.join(map(str, sizes))}.tflite"
    path.write_bytes(tiny_tflite.chain_bytes(sizes))
    return read_artifact(path)


def _time_ms(sizes: Sequence[int]) -> float:
    """0.004 ms, and 0.5 billion multiply-accumulates a second."""
    return 0.004 + sum(a * b for a, b in itertools.pairwise(sizes)) / 0.5e9 * 1e3


def _measurement(artifact: Artifact, ms: float, **more: object) -> Measurement:
    made = measured([np.full(60, ms)], cpu="a processor", cores="2", load_average="0.10")
    return replace(made, artifact=artifact.id, artifact_sha256=artifact.sha256, **more)  # type: ignore[arg-type] # by name


def _document(folder: Path, measurements: Sequence[Measurement]) -> Path:
    path = folder / "measured.json"
    path.write_text(json.dumps({"measurements": codec.to_data(tuple(measurements)), "more": 1}))
    return path


@pytest.fixture
def known(tmp_path: Path) -> tuple[Path, Path]:
    """Results of seven files, and the folder with the files."""
    folder = tmp_path / "files"
    folder.mkdir()
    rows = [_measurement(_file(folder, sizes), _time_ms(sizes)) for sizes in _MEASURED]
    return _document(tmp_path, rows), folder


def _quiet(_: Progress) -> None:
    pass


def test_a_file_between_those_that_were_measured(known: tuple[Path, Path], tmp_path: Path) -> None:
    new = _file(tmp_path, _NEW)
    (row,) = estimating.estimate([new.entry], known, _quiet)
    assert isinstance(row, Estimate), row
    assert row.fitted_ms == pytest.approx(_time_ms(_NEW), rel=0.05)
    assert row.leave_one_out_error is not None
    assert row.leave_one_out_error < 0.1
    assert (row.target, row.runtime) == ("local", "litert")
    assert row.device.provenance == "estimated"
    assert row.device.facts == {"cpu": "a processor", "cores": "2"}
    assert row.basis.startswith("fitted on 7 files measured there, 1 thread: ")
    assert "worst leave-one-out error" in row.basis


def test_each_place_and_way_of_measuring_is_a_row_of_its_own(known: tuple[Path, Path], tmp_path: Path) -> None:
    found = estimating.read_known(known)
    two = [(replace(m, threads=2, latency_ms=tuple(v / 2 for v in m.latency_ms)), a) for m, a in found]
    other = [(replace(m, target="ssh://pi"), a) for m, a in found[:3]]
    rows = estimating.from_known([_file(tmp_path, _NEW)], [*found, *two, *other], _quiet)
    assert [(row.target, type(row)) for row in rows] == [
        ("local", Estimate),
        ("local", Estimate),
        ("ssh://pi", NotMeasured),
    ]
    one, half, few = rows
    assert isinstance(one, Estimate)
    assert isinstance(half, Estimate)
    assert one.fitted_ms == pytest.approx(2 * (half.fitted_ms or 0), rel=1e-6)
    assert "2 threads" in half.basis
    assert isinstance(few, NotMeasured)
    assert "3 measured files are too few" in few.reason


def _on(known: estimating.Known, **facts: str) -> estimating.Known:
    m, artifact = known
    return replace(m, device=replace(m.device, facts={**m.device.facts, **facts})), artifact


@pytest.mark.parametrize("fact", ["model", "soc", "build", "user_agent", "gpu"])
def test_two_phones_are_two_devices(known: tuple[Path, Path], tmp_path: Path, fact: str) -> None:
    """Phones and browsers do not name their processor."""
    found = estimating.read_known(known)
    one, other = ([_on(item, **{fact: name}) for item in part] for name, part in (("A", found), ("B", found[:3])))
    rows = estimating.from_known([_file(tmp_path, _NEW)], [*one, *other], _quiet)
    assert [type(row) for row in rows] == [Estimate, NotMeasured]
    assert isinstance(rows[1], NotMeasured)
    assert "3 measured files are too few" in rows[1].reason


def test_software_that_stood_for_a_gpu_is_not_fitted(known: tuple[Path, Path], tmp_path: Path) -> None:
    found = estimating.read_known(known)
    software = [_on(item, software_gpu="yes") for item in found]
    rows = estimating.from_known([_file(tmp_path, _NEW)], [*found, *software], _quiet)
    assert [type(row) for row in rows] == [Estimate, NotMeasured]
    assert isinstance(rows[1], NotMeasured)
    assert rows[1].reason == NO_GPU


def test_what_is_refused_is_a_row(known: tuple[Path, Path], tmp_path: Path) -> None:
    larger = _file(tmp_path, (64, 2048, 2048))
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4]) for name in "xy"]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
    onnx.save(onnx.helper.make_model(graph, ir_version=9), tmp_path / "other.onnx")
    rows = estimating.estimate([larger.entry, tmp_path / "other.onnx"], known, _quiet)
    reasons = [row.reason for row in rows if isinstance(row, NotMeasured)]
    assert len(reasons) == 2
    assert "float MACs 4.325e+06, measured 4,096 to" in reasons[0]
    assert reasons[1] == "only tflite files were measured in litert"


def test_a_measured_file_is_told_so(known: tuple[Path, Path]) -> None:
    (row,) = estimating.estimate([known[1] / "16-512-64.tflite"], known, _quiet)
    assert isinstance(row, Estimate)
    assert any("this very file was measured" in note for note in row.notes)


def test_what_this_machine_has_kept(known: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history has medians of rounds in place of samples: the fit is the same."""
    monkeypatch.setenv("EDGESHIP_HISTORY", str(tmp_path / "history.sqlite3"))
    assert remember("benchmark", [(artifact, m) for m, artifact in estimating.read_known(known)]) == ()
    new = [_file(tmp_path, _NEW).entry]
    kept = estimating.estimate(new, [estimating.HISTORY, known[1]], _quiet)
    assert kept == estimating.estimate(new, known, _quiet)


def test_sources_without_what_is_needed(known: tuple[Path, Path], tmp_path: Path) -> None:
    document, folder = known
    with pytest.raises(InputError, match="nothing was measured in them"):
        estimating.read_known([folder])
    with pytest.raises(InputError, match="no measurement of them is of a file that was given"):
        estimating.read_known([document])
    (tmp_path / "odd.json").write_text("[1]")
    with pytest.raises(InputError, match="holds no measurements"):
        estimating.read_known([tmp_path / "odd.json"])


def test_the_command_never_calls_it_measured(
    known: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = _file(tmp_path, _NEW)
    words = ["estimate", str(new.entry), "--from", str(known[0]), "--from", str(known[1])]
    assert run(cli, words) == 0
    said = capsys.readouterr().out
    assert "estimated, not measured" in said
    assert "about 0." in said
    assert "leave-one-out error" in said
    assert "median" not in said
    assert run(cli, [*words, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["estimates"]
    assert row["provenance"] == "estimated"
    assert "latency_ms" not in row
