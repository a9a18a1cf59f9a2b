from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tests.tiny_tflite import model_bytes

from edgeship.artifact import read_artifact, write_sidecar
from edgeship.errors import ArtifactError, UnsupportedModelError
from edgeship.source import inspect
from edgeship.types import Artifact, ConvertOptions, Dataset, Preprocessing, Quantization, TensorSpec
from edgeship_benchmarks.runtimes.tflm import TFLMRuntime
from edgeship_benchmarks.session import AgentSession
from edgeship_converters.micro import MicroConverter, operators, sources

LABELS = ("caf\u00e9", 'say "yes"', "what??/", "")
OPTIONS = ConvertOptions(labels=LABELS, preprocessing=Preprocessing(scale=1 / 255), name="2 Wake words!")


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "tiny.tflite"
    path.write_bytes(model_bytes())
    return path


@pytest.fixture(scope="module")
def made(tflite: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """float32 of a .tflite file with FULLY_CONNECTED and SOFTMAX."""
    return MicroConverter().convert(inspect(tflite), "float32", OPTIONS, tmp_path_factory.mktemp("out"))


def text(made: Artifact, name: str) -> str:
    return (made.path / name).read_text(encoding="utf-8")


def test_what_lies_in_the_folder(made: Artifact) -> None:
    assert [f.name for f in made.files] == ["model.tflite"]
    assert [f.name for f in made.sources] == [
        "model_data.h",
        "model_data.cc",
        "model_resolver.h",
        "model_settings.h",
        "README.txt",
    ]
    assert made.size_bytes == made.entry.stat().st_size  # of flash, not of the text around it
    assert made.layers
    assert made.made_by["tflite-micro"]


def test_the_array_is_the_file(made: Artifact) -> None:
    found = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2}),", text(made, "model_data.cc")))
    assert found == made.entry.read_bytes()
    assert "alignas(16)" in text(made, "model_data.cc")


def test_the_resolver_has_the_operators_of_the_file_and_no_others(made: Artifact) -> None:
    header = text(made, "model_resolver.h")
    assert re.findall(r"resolver\.(\w+)\(\)", header) == ["AddFullyConnected", "AddSoftmax"]
    assert "kOpCount = 2;" in header
    assert [name for name, _ in operators.operators(made.entry.read_bytes())] == ["FULLY_CONNECTED", "SOFTMAX"]


def test_the_arena_is_the_smallest_that_runs(made: Artifact) -> None:
    (stated,) = re.findall(r"kTensorArenaBytes = (\d+);", text(made, "model_settings.h"))
    arena = int(stated)
    with TFLMRuntime().open_session(made) as session:
        assert session.loaded.arena_bytes == arena
    assert f"{arena:,} bytes of RAM" in made.notes[-1]
    # In a process each, because TensorFlow Lite Micro crashes where memory lacks.
    assert _runs_in(made.entry, arena)
    assert not _runs_in(made.entry, arena - 16)


def _runs_in(file: Path, arena: int) -> bool:
    code = (
        "import sys; from tflite_micro import runtime\n"
        "runtime.Interpreter.from_file(sys.argv[1], arena_size=int(sys.argv[2])).invoke()"
    )
    command = [sys.executable, "-c", code, str(file), str(arena)]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


def test_every_run_is_one_in_that_arena(made: Artifact) -> None:
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    with AgentSession(TFLMRuntime().command(), name="both") as session:
        session.load("litert", made.entry)
        wanted = session.run({made.inputs[0].name: x})
        session.load("tflm", made.entry)
        found = session.run({made.inputs[0].name: x})
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("kws", "kws_model"),
        ("Wake word (v2)", "wake_word_v2_model"),
        ("my_model", "my_model"),
        ("int", "int_model"),
        ("__x__", "x_model"),
        ("9to5", "unnamed_9to5_model"),
        ("\u00fc\n*/", "unnamed_model"),
        ("", "unnamed_model"),
    ],
)
def test_names_are_made_safe(name: str, wanted: str) -> None:
    assert sources.identifier(name) == wanted


def test_quantization_is_written_exactly() -> None:
    scale = float(np.float32(0.1))
    row = sources._tensors([TensorSpec("x", (1, 3), "int8", Quantization(scale, -128))])
    (written,) = re.findall(r"\}, ([^,]+)f, -128\}", row)
    assert np.float32(written) == np.float32(scale)


def test_labels_and_preprocessing_travel(made: Artifact) -> None:
    assert made.labels == LABELS
    assert "  x 0.00392157\n" in text(made, "README.txt")
    assert "unnamed_2_wake_words_model::kModelData" in text(made, "README.txt")


def test_the_sources_compile_and_say_what_the_file_says(made: Artifact, tmp_path: Path) -> None:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("needs g++ or clang++")
    space = sources.identifier(OPTIONS.name)
    (tmp_path / "main.cc").write_text(
        f"""#include <cstdio>
#include "model_data.h"
#include "model_settings.h"
namespace m = {space};
int main() {{
  if (reinterpret_cast<std::uintptr_t>(m::kModelData) % 16 != 0) return 1;
  std::printf("%s %s %d %d %d\\n", m::kInputs[0].name, m::kInputs[0].dtype, m::kInputs[0].rank,
              static_cast<int>(m::kInputs[0].shape[1]), static_cast<int>(m::kTensorArenaBytes));
  for (const char* label : m::kLabels) std::printf("%s\\n", label);
  std::fwrite(m::kModelData, 1, m::kModelDataBytes, stderr);
}}
"""
    )
    program = tmp_path / "program"
    flags = ["-std=c++11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", str(made.path), "-o", str(program)]
    inputs = [str(tmp_path / "main.cc"), str(made.path / "model_data.cc")]
    built = subprocess.run([compiler, *flags, *inputs], capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([str(program)], capture_output=True, timeout=60, check=True)
    assert ran.stderr == made.entry.read_bytes()
    first, *labels = ran.stdout.decode().split("\n")
    assert first.startswith(f"{made.inputs[0].name} float32 2 4 ")
    assert tuple(labels[:-1]) == LABELS


def test_names_of_operators_are_those_of_the_interpreter() -> None:
    """What the table says is there is: the library exports the registration of each operator."""
    import tflite_micro.python.tflite_micro as package

    library = Path(next(iter(package.__path__))) / "_runtime.so"
    found = set(re.findall(rb"Register_([A-Z0-9_]+?)Ev", library.read_bytes()))
    lacking = {name for name in operators.OPS if name.encode() not in found}
    assert lacking == set()


@pytest.mark.parametrize(
    ("operation", "dtype", "said"),
    [
        (
            lambda x: keras.ops.power(keras.ops.abs(x) + 1.0, 1.5),
            "float32",
            "TensorFlow Lite Micro has no operator POW",
        ),
        # It has this one, but not for these numbers: its own words are passed on.
        (lambda x: keras.ops.cumsum(x, axis=1) + 1, "int32", r"Node CUMSUM \(number \d+\) \(.*[Cc]umsum"),
    ],
    ids=["operator", "numbers"],
)
def test_what_micro_lacks_is_named(operation: Callable[[Any], Any], dtype: str, said: str, tmp_path: Path) -> None:
    x = keras.Input((4,), name="x", dtype=dtype)
    keras.Model(x, keras.layers.Identity(name="y")(operation(x))).save(tmp_path / "model.keras")
    (tmp_path / "out").mkdir()
    with pytest.raises(UnsupportedModelError, match=said) as caught:
        MicroConverter().convert(inspect(tmp_path / "model.keras"), "float32", ConvertOptions(), tmp_path / "out")
    assert caught.value.message.startswith("micro/float32: ")
    assert caught.value.remedy


def test_a_loop_is_unrolled(tmp_path: Path) -> None:
    """Loops of TensorFlow Lite Micro compute something else, or never end."""
    x = keras.Input((5, 3), name="x")
    keras.Model(x, keras.layers.SimpleRNN(4, name="y")(x)).save(tmp_path / "m.keras")
    made = MicroConverter().convert(inspect(tmp_path / "m.keras"), "float32", ConvertOptions(), tmp_path)
    assert "WHILE" not in {name for name, _ in operators.operators(made.entry.read_bytes())}
    given = np.random.default_rng(0).normal(size=(2, 5, 3)).astype(np.float32)
    (found,) = TFLMRuntime().run(made, {"x": given}).values()
    expected = keras.saving.load_model(tmp_path / "m.keras").predict(given, verbose=0)
    assert np.allclose(found, expected, atol=1e-5)


def test_an_operator_that_ends_the_interpreter_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scale of what is always 0 (`tflite.dead`) ends TensorFlow Lite Micro in differences too."""
    monkeypatch.setattr("edgeship_converters.tflite.tensorflow_lite._with_live_ranges", lambda content: content)
    x = keras.Input((2, 3, 4, 2), name="x")
    y = keras.layers.Activation("elu", name="bend")(keras.layers.GlobalMaxPooling3D()(x))
    keras.Model(x, y).save(tmp_path / "m.keras")
    (tmp_path / "calibration" / "x").mkdir(parents=True)
    np.save(tmp_path / "calibration" / "x" / "x.npy", np.random.default_rng(0).normal(size=(32, 2, 3, 4, 2)))
    source = inspect(tmp_path / "m.keras")
    options = ConvertOptions(Dataset(tmp_path, "c", "", "unlabelled", source.inputs, {"calibration": 32}))
    with pytest.raises(
        UnsupportedModelError, match=r"cannot run the file: it crashed .* at Node SUB \(number \d\) \(bend"
    ):
        MicroConverter().convert(source, "int8", options, tmp_path)


def test_a_size_that_is_not_fixed_is_refused(tmp_path: Path) -> None:
    x = keras.Input((None, 3), name="x")
    model = keras.Model(x, keras.layers.Conv1D(2, 3, name="y")(x))
    model.save(tmp_path / "free.keras")
    (tmp_path / "out").mkdir()
    with pytest.raises(UnsupportedModelError, match="size that is not fixed"):
        MicroConverter().convert(inspect(tmp_path / "free.keras"), "float32", ConvertOptions(), tmp_path / "out")


def test_sources_are_checked_like_files(made: Artifact, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "copy")
    artifact = replace(made, path=tmp_path / "copy")
    write_sidecar(artifact)
    assert read_artifact(artifact.path) == artifact
    (artifact.path / "model_settings.h").write_text(text(made, "model_settings.h").replace("= ", "=  ", 1))
    with pytest.raises(ArtifactError, match=r"model_settings\.h is not the file"):
        read_artifact(artifact.path)
    with pytest.raises(ArtifactError, match="inside the artifact's folder"):
        write_sidecar(replace(artifact, sources=(replace(made.sources[0], name="../x"),)))


def test_what_is_missing_is_said_with_the_command(monkeypatch: pytest.MonkeyPatch, made: Artifact) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tflite_micro" else find(name))
    assert MicroConverter().missing() == ["tflite-micro"]
    assert TFLMRuntime().missing() == ["tflite-micro"]
    assert "edgeship[micro]" in TFLMRuntime().remedy
