"""What each stage did, through the real pipeline: files of every stage on the validation split, timed side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_networks import FAST, request_for, written

from edgeship import data, pipeline, plugins
from edgeship.child import Worker
from edgeship.history import store
from edgeship.pipeline import attribution, measuring
from edgeship.pipeline.attribution import Attribution, attribute, timed
from edgeship.pipeline.exports import Export
from edgeship.pipeline.validation import leading, open_validation
from edgeship.types import ConvertOptions, Progress, Report
from edgeship_benchmarks.stats import summary

pytestmark = pytest.mark.usefixtures("own_cache")

RECIPE = written(
    stages=[{"prune": {"sparsity": 0.75, "epochs": 2}}, {"quantize-aware": {"epochs": 1}}],
    variants=["int8", "float16"],
    max_drop=5,
)


def quiet(_: Progress) -> None:
    """No progress wanted."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds") / "pruned"


@pytest.fixture(scope="module")
def report(networks: Path, out: Path) -> Report:
    return pipeline.build(request_for(networks, "plain.keras", RECIPE, out, measured=True))


def test_every_stage_has_its_file_and_the_first_the_original_too(report: Report) -> None:
    assert [(s.name, [f.artifact for f in s.files]) for s in report.stages] == [
        ("base", ["tflite/float32", "tflite/int8"]),
        ("prune", ["tflite/int8"]),
        ("quantize-aware", ["tflite/int8"]),
    ]
    assert [s.macs for s in report.stages] == [8 * 24 + 24 * 2] * 3
    files = [f for s in report.stages for f in s.files]
    assert {f.n for f in files} == {300}
    assert all(f.size_bytes > f.brotli_bytes > 0 < f.gzip_bytes for f in files)
    assert files[2].brotli_bytes < files[1].brotli_bytes < files[0].brotli_bytes  # zeros and int8 both pay
    assert not report.warnings


def test_the_last_file_is_the_one_that_is_delivered_and_its_metric_that_of_the_validation_split(
    report: Report, networks: Path
) -> None:
    delivered = next(a for a in report.artifacts if a.id == "tflite/int8")
    last = report.stages[-1].files[-1]
    assert last.sha256 == delivered.sha256
    assert report.dataset is not None
    samples = data.load(report.dataset, "validation")
    assert samples.labels is not None
    found = plugins.runtime("litert").run(delivered, samples.inputs)
    right = next(iter(found.values())).argmax(axis=1) == samples.labels
    assert last.metric == pytest.approx(right.mean(), abs=1e-12)
    with Worker() as worker:
        source = replace(report.source, path=networks / "plain.keras")
        validation = open_validation(worker, source, report.dataset, None, quiet)
    assert validation is not None
    assert last.drop.value == pytest.approx(100 * (validation.original.mean() - right.mean()))
    assert last.drop.interval[0] < last.drop.value < last.drop.interval[1]
    assert last.drop.unit == "points"


def test_steps_add_up_to_the_drop(report: Report) -> None:
    files = [f for s in report.stages for f in s.files]
    assert files[0].step == files[0].drop
    for number, file in enumerate(files):
        assert sum(f.step.value for f in files[: number + 1]) == pytest.approx(file.drop.value)


def test_all_were_timed_side_by_side_and_are_kept(report: Report, out: Path, networks: Path) -> None:
    timings = [f.measurement for s in report.stages for f in s.files]
    assert all(m is not None and m.provenance == "measured" and m.target == "local" for m in timings)
    assert len({len(m.round_lengths) for m in timings if m}) == 1
    assert len(list((out / "measurements" / "stages").glob("*.json"))) == 4
    again = pipeline.build(request_for(networks, "plain.keras", RECIPE, out, measured=True))
    assert again.stages == report.stages


def test_a_target_is_held_while_it_is_measured(networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The build that a search chooses waits for the trials of other machines."""
    now: list[str] = []
    measured = []
    measure = measuring.measure

    @contextmanager
    def turn(target: str) -> Iterator[None]:
        now.append(target)
        yield
        now.remove(target)

    def measure_held(out: Path, artifacts: object, target: str, *more: Any) -> object:
        measured.append(target in now)
        return measure(out, artifacts, target, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(measuring, "measure", measure_held)
    request = request_for(networks, "plain.keras", RECIPE, tmp_path / "held", measured=True)
    pipeline.build(replace(request, turn=turn))
    assert measured == [True, True]  # the files, and the stages


def test_what_a_build_measures_is_in_the_history_once(report: Report, out: Path, networks: Path) -> None:
    pipeline.build(request_for(networks, "plain.keras", RECIPE, out, measured=True))  # measures nothing again
    found = store.read(names=[out.name])
    assert {item.session.source for item in found} == {"build"}
    assert len({item.session for item in found}) == 1
    assert [(item.result.artifact, item.result.artifact_sha256) for item in found] == [
        (m.artifact, m.artifact_sha256) for m in report.measurements
    ]
    assert [item.summary for item in found] == [summary(m) for m in report.measurements]


def test_without_stages_there_is_nothing_to_tell(networks: Path, tmp_path: Path) -> None:
    found = pipeline.build(request_for(networks, "plain.keras", written(variants=["int8"], max_drop=5), tmp_path / "b"))
    assert found.stages == ()
    assert not found.warnings


def test_what_cannot_be_compared_is_said(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No validation split, no runtime, a model that cannot be exported, a target that is gone."""
    stages = tuple(replace(s, files=()) for s in report.stages)
    assert report.dataset is not None
    dataset = replace(report.dataset, counts={k: n for k, n in report.dataset.counts.items() if k != "validation"})
    with Worker() as worker:
        assert open_validation(worker, report.source, dataset, None, quiet) is None
        found = attribute(worker, None, [], stages, Export("tflite", "int8", True), ConvertOptions(), quiet)
    assert found.stages == stages
    assert "needs labelled validation samples" in found.notes[0]
    found = attribute(worker, None, [], (), None, ConvertOptions(), quiet)
    assert found == Attribution(())
    assert leading([Export("nowhere", "int8", True)]) is None
    monkeypatch.setattr(measuring, "measure", _gone)
    weighed = tuple((0, attribution.Weighed(a, np.zeros(3), report.stages[0].files[0])) for a in report.artifacts[:1])
    found = timed(Attribution(stages, weighed), tmp_path, "local", dataset, FAST, quiet)
    assert found.notes == ("stages were not timed on local: the device is asleep",)


def _gone(*_: object) -> None:
    from edgeship.errors import TargetUnavailable

    raise TargetUnavailable("the device is asleep")


def test_a_stage_that_cannot_be_exported_costs_only_itself(report: Report, networks: Path, tmp_path: Path) -> None:
    from edgeship.source import inspect

    assert report.dataset is not None
    with Worker() as worker:
        source = worker.call(inspect, path=networks / "plain.keras")
        validation = open_validation(worker, source, report.dataset, None, quiet)
        gone = replace(source, path=tmp_path / "gone.keras", sha256="0" * 64)
        models = [source, gone, source]
        options = ConvertOptions(report.dataset)
        found = attribute(worker, validation, models, report.stages, Export("tflite", "int8", True), options, quiet)
    assert [len(s.files) for s in found.stages] == [2, 0, 1]
    (note,) = found.notes
    assert note.startswith("tflite/int8 after prune was not compared: ")


def test_tflite_int8_speaks_before_others() -> None:
    def first(*ids: str) -> str:
        found = leading([Export(*name.split("/"), by_name=True) for name in ids])
        assert found is not None
        return found.id

    assert first("onnx/int8", "tflite/float32", "tflite/int8") == "tflite/int8"
    assert first("onnx/int8", "tflite/float16", "tflite/dynamic") == "tflite/float16"
    assert first("onnx/float16", "onnx/int8") == "onnx/int8"
