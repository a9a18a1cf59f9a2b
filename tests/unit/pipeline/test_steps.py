"""Steps of the pipeline, with real workers and runtimes: what a remembered result depends on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeship import cache, plugins
from edgeship.child import Limits, Worker
from edgeship.contracts import Target
from edgeship.data import DataOptions, from_arrays, load
from edgeship.errors import ArtifactError, SourceError
from edgeship.pipeline import measuring, snapshot, steps
from edgeship.pipeline.exports import Export
from edgeship.types import (
    Artifact,
    ConvertOptions,
    Dataset,
    DeviceInfo,
    Measurement,
    NotMeasured,
    Plan,
    Progress,
    Source,
    TensorSpec,
)
from edgeship.verify import Outputs

pytestmark = pytest.mark.usefixtures("own_cache")

_LAYERS = """
import keras
import own_factor

class Scale(keras.layers.Layer):
    def call(self, x):
        return x * own_factor.FACTOR
"""
_PLAN = Plan(min_runs=10, min_seconds=0.01, rounds=2, warmup_max_runs=30)


def quiet(_: Progress) -> None:
    """No progress wanted."""


def write_models(folder: Path, own: Path) -> None:
    """`scaled.keras` with a layer of the user's, `plain.keras`, and `aware.keras` after quantization-aware training."""
    import sys

    import keras

    import edgeship

    keras.utils.set_random_seed(0)
    sys.path.append(str(own))
    from own_layers import Scale  # type: ignore[import-not-found] # written by the test

    image = keras.Input((6,), name="numbers")
    keras.Model(image, Scale(name="scaled")(keras.layers.Dense(3)(image))).save(folder / "scaled.keras")
    x = keras.layers.Dense(8, "relu")(image)
    plain = keras.Model(image, keras.layers.Dense(3, "softmax", name="above")(x))
    plain.save(folder / "plain.keras")
    x = np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32)
    edgeship.finalize(edgeship.quantize_aware(plain, x)).save(folder / "aware.keras")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the user's modules."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own_layers.py").write_text(_LAYERS)
    (folder / "own_factor.py").write_text("FACTOR = 2.0\n")
    return folder


@pytest.fixture(scope="module")
def folder(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, written by a worker; its cache is this module's."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        with Worker(Limits(seconds=300)) as worker:
            worker.call(write_models, folder=folder, own=own)
    return folder


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    with Worker(Limits(seconds=300)) as worker:
        yield worker


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    x = np.random.default_rng(1).normal(size=(80, 6)).astype(np.float32)
    arrays = {"x_train": x, "x_test": x[:40], "y_train": np.arange(80) % 3, "y_test": np.arange(40) % 3}
    spec = TensorSpec("numbers", (None, 6), "float32")
    return from_arrays(arrays, (spec,), (), DataOptions(), tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def plain(folder: Path, worker: Worker) -> Source:
    return steps.open_source(worker, folder / "plain.keras", (), allow_unsafe=False)


@pytest.fixture(scope="module")
def artifact(plain: Source, worker: Worker) -> Artifact:
    return steps.convert(worker, plain, Export("tflite", "float32", by_name=True), ConvertOptions())


def run(artifact: Artifact, dataset: Dataset) -> Outputs:
    return steps.run_artifact(artifact, plugins.runtimes_for(artifact.format)[0], dataset, quiet)


def gap(one: Outputs, other: Outputs) -> float:
    pairs = zip(one.arrays.values(), other.arrays.values(), strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def test_a_changed_layer_of_the_user_is_converted_anew(
    folder: Path, own: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The module that changes is one that the layer's own imports."""
    monkeypatch.chdir(own)
    found = []
    for factor in (2.0, 3.0):
        (own / "own_factor.py").write_text(f"FACTOR = {factor}\n")
        with Worker(Limits(seconds=300)) as worker:
            source = steps.open_source(worker, folder / "scaled.keras", ("own_layers:Scale",), allow_unsafe=False)
            original = steps.reference(worker, source, dataset, quiet)
            made = steps.convert(worker, source, Export("tflite", "float32", by_name=True), ConvertOptions())
            found.append((source, original, run(made, dataset)))
    (two, original_2, made_2), (three, original_3, made_3) = found
    assert two.sha256 == three.sha256
    assert two.code_sha256 != three.code_sha256
    assert gap(original_2, made_2) < 1e-5
    assert gap(original_3, made_3) < 1e-5
    np.testing.assert_allclose(original_3.arrays["scaled"], 1.5 * original_2.arrays["scaled"], rtol=1e-5)


def test_without_code_of_the_user_all_is_remembered(plain: Source, dataset: Dataset, worker: Worker) -> None:
    assert plain.code_sha256 == ""
    first = steps.reference(worker, plain, dataset, quiet)

    class NoWorker(Worker):
        def call(self, function, /, *, progress=None, **arguments):  # type: ignore[no-untyped-def] # as the base has it
            raise AssertionError(function)

    assert gap(steps.reference(NoWorker(), plain, dataset, quiet), first) == 0
    again = steps.open_source(NoWorker(), plain.path, (), allow_unsafe=False)
    assert again == plain


def test_a_checkpoint_that_is_overwritten_during_a_build_is_used_as_it_was(
    folder: Path, plain: Source, dataset: Dataset, worker: Worker, tmp_path: Path
) -> None:
    model = tmp_path / "checkpoint.keras"
    shutil.copyfile(folder / "plain.keras", model)
    source = steps.open_source(worker, model, (), allow_unsafe=False)
    shutil.copyfile(folder / "aware.keras", model)  # as a callback of the training that goes on does
    original = steps.reference(worker, source, dataset, quiet)
    made = run(steps.convert(worker, source, Export("tflite", "float32", by_name=True), ConvertOptions()), dataset)
    expected = steps.reference(worker, plain, dataset, quiet)
    assert gap(original, expected) == 0
    assert gap(made, expected) < 1e-5


def test_a_model_that_changes_while_it_is_copied_is_refused(
    folder: Path, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash is taken first, and another one's content would be filed under it."""
    model = tmp_path / "training.keras"
    shutil.copyfile(folder / "plain.keras", model)
    content = snapshot.content

    def then_overwritten(place: Path) -> list[str]:
        found = content(place)
        if place == model:
            shutil.copyfile(folder / "aware.keras", model)
        return found

    monkeypatch.setattr(snapshot, "content", then_overwritten)
    with pytest.raises(SourceError, match=r"training\.keras was changed while it was read"):
        steps.open_source(worker, model, (), allow_unsafe=False)
    monkeypatch.undo()
    assert steps.open_source(worker, model, (), allow_unsafe=False).fake_quantized


def test_what_an_unsafe_model_runs_is_not_remembered(plain: Source, worker: Worker) -> None:
    source = steps.open_source(worker, plain.path, (), allow_unsafe=True)
    assert source.code_sha256 is None
    export = Export("tflite", "float32", by_name=True)
    paths = {steps.convert(worker, source, export, ConvertOptions()).path for _ in range(2)}
    assert len(paths) == 2


def test_one_file_under_two_names(artifact: Artifact, dataset: Dataset) -> None:
    """A foreign file that is held against two models takes the name of each one's output."""
    other = replace(artifact, outputs=(replace(artifact.outputs[0], name="a/b"),))
    first, second = run(artifact, dataset), run(other, dataset)
    assert list(first.arrays) == ["above"]
    assert list(second.arrays) == ["a/b"]
    assert gap(first, second) == 0


def test_files_without_fake_quantization_have_their_own_reference(
    folder: Path, worker: Worker, dataset: Dataset
) -> None:
    source = steps.open_source(worker, folder / "aware.keras", (), allow_unsafe=False)
    assert source.fake_quantized
    exports = [Export(*parts.split("/"), by_name=True) for parts in ("tflite/int8", "tflite/float32", "onnx/float32")]
    assert [steps.strips(source, export.id) for export in exports] == [False, True, True]
    assert not any(steps.strips(replace(source, fake_quantized=False), export.id) for export in exports)
    quantized = steps.reference(worker, source, dataset, quiet)
    stripped = steps.reference(worker, source, dataset, quiet, stripped=True)
    assert list(stripped.arrays) == list(quantized.arrays)
    assert gap(quantized, stripped) > 1e-3
    for export in exports[1:]:
        made = steps.convert(worker, source, export, ConvertOptions())
        assert gap(run(made, dataset), stripped) < 1e-5


class Counting:
    """The local target, which remembers what was asked of it."""

    name = "local"
    examples = ("local",)

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.facts: dict[str, str] = {}
        self.broken: set[str] = set()
        self._local = plugins._load("targets", "local", Target, "")  # type: ignore[type-abstract] # as plugins does

    def probe(self) -> DeviceInfo:
        found = self._local.probe()
        return replace(found, facts={**found.facts, **self.facts})

    def check(self, artifact: Artifact, inputs):  # type: ignore[no-untyped-def] # as the Protocol has it
        self.asked.append(f"check {artifact.id}")
        if artifact.id in self.broken:
            raise ArtifactError(f"{artifact.id} cannot run here")
        return self._local.check(artifact, inputs)

    def measure(self, artifacts, inputs, plan, progress=None):  # type: ignore[no-untyped-def] # as the Protocol has it
        self.asked.append(f"measure {' '.join(a.id for a in artifacts)}")
        return self._local.measure(artifacts, inputs, plan, progress)


def test_a_measurement_is_kept_under_the_same_conditions_only(
    artifact: Artifact, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Counting()
    monkeypatch.setattr(plugins, "target", lambda _: target)
    monkeypatch.setattr(measuring, "code_of", lambda *_: "")
    second = replace(artifact, variant="float16")

    def measured(artifacts: list[Artifact], plan: Plan = _PLAN) -> tuple[list[measuring.Rows], list[str]]:
        target.asked.clear()
        found = measuring.measure(tmp_path, artifacts, "local", dataset, plan, quiet)
        for artifact, rows in zip(artifacts, found, strict=True):
            kind = NotMeasured if artifact.id in target.broken else Measurement
            assert [(row.artifact, type(row)) for row in rows] == [(artifact.id, kind)]
        return list(found), list(target.asked)

    first, asked = measured([artifact])
    assert asked == ["measure tflite/float32"]
    assert measured([artifact]) == (first, [])
    target.facts = {"load_average": "99", "temperature_c": "80"}
    assert measured([artifact]) == (first, [])
    # Another file joins: it alone is checked, both are measured side by side.
    assert measured([artifact, second])[1] == ["check tflite/float16", "measure tflite/float32 tflite/float16"]
    both = measured([artifact, second])[0]
    # One that cannot run costs the other nothing.
    third = replace(artifact, variant="int8")
    target.broken = {"tflite/int8"}
    rows, asked = measured([artifact, second, third])
    assert (rows[:2], asked) == (both, ["check tflite/int8"])
    target.broken = set()
    for change in ("cpu", "governor"):
        target.facts = {change: "another"}
        assert len(measured([artifact])[1]) == 1
    assert len(measured([artifact], replace(_PLAN, min_runs=11))[1]) == 1
    changed = replace(artifact, files=(*artifact.files, replace(artifact.files[0], name="shard.bin", sha256="0" * 64)))
    assert changed.sha256 != artifact.sha256
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "code_version", lambda: "another")
        assert len(measured([artifact])[1]) == 1


def test_weights_of_a_model_in_several_files_count(artifact: Artifact) -> None:
    """model.json of TF.js stays the same when only the weights beside it change."""
    entry = artifact.files[0]
    parts = [replace(artifact, files=(entry, replace(entry, name="group1.bin", sha256=c * 64))) for c in "ab"]
    assert parts[0].sha256 != parts[1].sha256
    assert artifact.sha256 == entry.sha256


def test_a_probe_is_known_by_its_content(plain: Source, worker: Worker) -> None:
    first, again, other = (steps.open_probe(worker, plain, seed) for seed in (0, 0, 1))
    assert first == again
    assert first.sha256 != other.sha256
    assert load(first, "test").inputs["numbers"].shape == (64, 6)


def test_an_operator_set_has_a_file_of_its_own(worker: Worker, plain: Source) -> None:
    import onnx

    for opset in (None, 13, 26):
        made = steps.convert(worker, plain, Export("onnx", "float32", by_name=True), ConvertOptions(opset=opset))
        assert onnx.load(made.entry).opset_import[0].version == (opset or 18)
