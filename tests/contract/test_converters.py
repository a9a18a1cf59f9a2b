"""One suite over every installed converter: a new one is tested by being declared."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import converter_models
import numpy as np
import pytest

from edgeship import plugins
from edgeship.child import Limits, Worker
from edgeship.contracts import Converter
from edgeship.errors import DataError, InputError, UnsupportedModelError
from edgeship.pipeline.exports import CALIBRATED
from edgeship.source import inspect
from edgeship.types import VARIANTS, Array, Artifact, ConvertOptions, Dataset, Source

FORMATS = plugins.names("converters")
EXPORTS = [(name, variant) for name in FORMATS for variant in plugins.converter(name).variants]
#: Largest difference from Keras by variant, as a share of the range of each output.
TOLERANCE = {
    "float32": 1e-5,
    "float16": 5e-3,
    "dynamic": 0.05,
    "int8": 0.08,
    "int8-floatio": 0.08,
    "int16x8": 0.03,
    "int16x8-floatio": 0.03,
    "mixed": 0.08,
    "int4": 0.15,
    "int4-mixed": 0.15,
    "uint8": 0.05,
    "uint16": 1e-3,
}


class Workshop:
    """Models and their conversions, made in one warm worker and kept."""

    def __init__(self, folder: Path, worker: Worker) -> None:
        self.folder = folder
        self._worker = worker
        self._sources: dict[str, Source] = {}
        self._made: dict[tuple[str, str, str], Artifact] = {}
        self._count = 0

    def source(self, model: str) -> Source:
        if model not in self._sources:
            path = self.folder / f"{model}.keras"
            if model.endswith(".tflite"):
                path = self.made(Path(model).stem, "tflite", "float32").entry
            self._sources[model] = self._worker.call(inspect, path=path)
        return self._sources[model]

    def calibration(self, model: str) -> Dataset:
        counts = {"calibration": converter_models.CALIBRATION}
        return Dataset(
            self.folder / Path(model).stem, model, "0" * 64, "classification", self.source(model).inputs, counts
        )

    def expected(self, model: str, part: str, name: str) -> Array:
        array: Array = np.load(self.folder / Path(model).stem / "expected" / part / f"{name}.npy")
        return array

    def convert(self, model: str, format_name: str, variant: str, options: ConvertOptions | None = None) -> Artifact:
        """Convert into a new folder."""
        self._count += 1
        out = self.folder / "out" / str(self._count)
        out.mkdir(parents=True)
        return self._worker.call(
            plugins.convert,
            format_name=format_name,
            source=self.source(model),
            variant=variant,
            options=options or ConvertOptions(calibration=self.calibration(model), labels=("a", "b")),
            out_dir=out,
        )

    def made(self, model: str, format_name: str, variant: str) -> Artifact:
        """Convert once."""
        key = (model, format_name, variant)
        if key not in self._made:
            self._made[key] = self.convert(*key)
        return self._made[key]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("converters")
    path = f"{Path(__file__).parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    with mock.patch.dict(os.environ, {"PYTHONPATH": path}), Worker(Limits(seconds=300)) as worker:
        worker.call(converter_models.make, folder=folder)
        yield Workshop(folder, worker)


@pytest.fixture(params=FORMATS)
def converter(request: pytest.FixtureRequest) -> Converter:
    return plugins.converter(request.param)


def test_says_what_it_writes(converter: Converter) -> None:
    assert converter.format in FORMATS
    assert converter.variants
    assert set(converter.variants) <= set(VARIANTS)
    assert "float32" in converter.variants
    assert set(converter.equivalents) <= set(VARIANTS) - set(converter.variants)
    assert set(converter.equivalents.values()) <= set(converter.variants)
    assert list(converter.missing()) == []


def test_looking_for_what_is_missing_imports_nothing_heavy(converter: Converter) -> None:
    code = (
        "import sys\n"
        "from edgeship import plugins\n"
        f"plugins.converter({converter.format!r}).missing()\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'numpy', 'onnx', 'onnxruntime', 'tf2onnx'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_refuses_a_variant_that_it_does_not_have(converter: Converter, workshop: Workshop) -> None:
    with pytest.raises(InputError) as caught:
        workshop.convert("cnn", converter.format, "float64")
    assert "float64" in caught.value.message
    assert "float32" in caught.value.remedy


@pytest.mark.parametrize(("format_name", "variant"), [e for e in EXPORTS if e[1] in CALIBRATED])
def test_refuses_to_calibrate_on_nothing(workshop: Workshop, format_name: str, variant: str) -> None:
    with pytest.raises(DataError, match="no data was given"):
        workshop.convert("cnn", format_name, variant, ConvertOptions())


@pytest.mark.parametrize(("format_name", "variant"), EXPORTS)
def test_describes_its_files(workshop: Workshop, format_name: str, variant: str) -> None:
    artifact = workshop.made("cnn", format_name, variant)
    source = workshop.source("cnn")
    assert (artifact.format, artifact.variant, artifact.verification) == (format_name, variant, "UNVERIFIED")
    assert {p.relative_to(artifact.path).as_posix() for p in artifact.path.rglob("*") if p.is_file()} == {
        f.name for f in (*artifact.files, *artifact.sources)
    }
    for file in (*artifact.files, *artifact.sources):
        content = (artifact.path / file.name).read_bytes()
        assert (file.size_bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    for found, wanted in ((artifact.inputs, source.inputs), (artifact.outputs, source.outputs)):
        assert [s.name for s in found] == [s.name for s in wanted]
        assert [s.shape[1:] for s in found] == [s.shape[1:] for s in wanted]
        assert [s.quantization is not None for s in found] == [not s.dtype.startswith("float") for s in found]
    assert artifact.source_sha256 == source.sha256
    assert artifact.labels == ("a", "b")
    assert {"edgeship", "tensorflow", "flatbuffers", "protobuf"} <= set(artifact.made_by)
    assert ("sympy" in artifact.made_by) == (format_name == "onnx")  # which the shapes of its models come from


@pytest.mark.parametrize(("format_name", "variant"), EXPORTS)
def test_computes_what_keras_computes(workshop: Workshop, format_name: str, variant: str) -> None:
    for model in ("cnn", "pair"):
        _compare(workshop, model, format_name, variant)


def _compare(workshop: Workshop, model: str, format_name: str, variant: str) -> None:
    if variant.startswith("int4") and Path(model).stem == "pair":  # 24 weights
        with pytest.raises(UnsupportedModelError, match="no weights that can be made smaller"):
            workshop.made(model, format_name, variant)
        return
    artifact = workshop.made(model, format_name, variant)
    runtime = plugins.runtimes_for(format_name)[0]
    missing = runtime.missing()
    if missing:
        pytest.skip(f"{runtime.name} needs {', '.join(missing)}: {runtime.remedy}")
    inputs = {i.name: workshop.expected(model, "x", i.name) for i in artifact.inputs}
    found = runtime.run(artifact, inputs)
    for spec in artifact.outputs:
        wanted = workshop.expected(model, "", spec.name)
        allowed = TOLERANCE[variant] * np.ptp(wanted)
        np.testing.assert_allclose(found[spec.name], wanted, rtol=0, atol=allowed)
        # The comparison could fail: outputs of neighbouring samples differ by more than is allowed.
        assert np.abs(np.roll(wanted, 1, axis=0) - wanted).max() > 2 * allowed


@pytest.mark.parametrize(("format_name", "variant"), EXPORTS)
def test_converts_a_tflite_file_or_says_that_it_cannot(workshop: Workshop, format_name: str, variant: str) -> None:
    if plugins.refusal(format_name, "tflite") is None:
        for model in ("cnn.tflite", "pair.tflite"):
            _compare(workshop, model, format_name, variant)
        return
    with pytest.raises(UnsupportedModelError) as caught:
        workshop.made("cnn.tflite", format_name, variant)
    assert "Give the Keras model" in caught.value.remedy


@pytest.mark.parametrize("format_name", FORMATS)
def test_runs_a_recurrent_model(workshop: Workshop, format_name: str) -> None:
    _compare(workshop, "lstm", format_name, "float32")


def _models(variant: str) -> tuple[str, ...]:
    """Those that have enough weights for it; a small one last."""
    return ("cnn", "lstm") if variant.startswith("int4") else ("cnn", "lstm", "pair")


@pytest.mark.parametrize(("format_name", "variant"), EXPORTS)
def test_equal_inputs_give_equal_bytes_in_a_warm_process(workshop: Workshop, format_name: str, variant: str) -> None:
    first = workshop.made("cnn", format_name, variant)
    workshop.made(_models(variant)[-1], format_name, variant)
    assert workshop.convert("cnn", format_name, variant).files == first.files


@pytest.mark.slow
@pytest.mark.parametrize(("format_name", "variant"), EXPORTS)
def test_equal_inputs_give_equal_bytes_in_fresh_processes(workshop: Workshop, format_name: str, variant: str) -> None:
    models = _models(variant)
    warm = {model: workshop.made(model, format_name, variant).files for model in models}
    for seed, order in (("1", models), ("2", models[::-1])):
        with mock.patch.dict(os.environ, {"PYTHONHASHSEED": seed}), Worker(Limits(seconds=300)) as worker:
            fresh = Workshop(workshop.folder, worker)
            fresh._count = 100_000 + 1000 * int(seed) + 10 * EXPORTS.index((format_name, variant))
            assert {model: fresh.convert(model, format_name, variant).files for model in order} == warm
