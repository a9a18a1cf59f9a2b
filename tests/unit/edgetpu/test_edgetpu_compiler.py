"""The call of the user's edgetpu_compiler.

The program itself is not installed here. A script on the PATH takes its place: it has the documented command line,
prints what version 16.0 prints, and leaves a file that was made beforehand. Tests with it say `emulated`.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from tests.quantized_tflite import Builder, chain

from edgeship.child import Limits
from edgeship.edgetpu import compiler, predict
from edgeship.edgetpu.graph import COMPILED
from edgeship.errors import (
    ArtifactError,
    ChildCrashed,
    ChildTimeout,
    EdgeshipError,
    OutputError,
    TargetUnavailable,
    UnsupportedModelError,
)

LIMITS = Limits(seconds=30)

SCRIPT = """#!{python}
import os, pathlib, shutil, signal, subprocess, sys, time
here = pathlib.Path(__file__).parent
arguments = sys.argv[1:]
assert arguments[0] == "--show_operations" and arguments[1] == "--out_dir" and len(arguments) == 4, arguments
out, model = pathlib.Path(arguments[2]), pathlib.Path(arguments[3])
print((here / "output.txt").read_text())
behaviour = (here / "behaviour").read_text()
if behaviour == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (here / "child.pid").write_text(str(child.pid))
    time.sleep(600)
if behaviour == "die":
    os.kill(os.getpid(), signal.SIGSEGV)
if (here / "made.tflite").exists():
    shutil.copy(here / "made.tflite", out / (model.stem + "_edgetpu.tflite"))
sys.exit(1 if behaviour == "fail" else 0)
"""

LOG = """Edge TPU Compiler version 16.0.384591198
Started a compilation timeout timer of 180 seconds.

Model compiled successfully in 2653 ms.

Input model: model.tflite
Input size: 1.31KiB
Output model: model_edgetpu.tflite
Output size: 56.14KiB
On-chip memory used for caching model parameters: 6.08MiB
On-chip memory remaining for caching model parameters: 0.00B
Off-chip memory used for streaming uncached model parameters: 1.70MiB
Number of Edge TPU subgraphs: 1
Total number of operations: 3
Operation log: model_edgetpu.log

Model successfully compiled but not all operations are supported by the Edge TPU.
Number of operations that will run on Edge TPU: 2
Number of operations that will run on CPU: 1

Operator                       Count      Status

RELU                           1          Mapped to Edge TPU
TANH                           1          Mapped to Edge TPU
ELU                            1          Operation not supported
Compilation child process completed within timeout period.
Compilation succeeded!
"""


def made_file(program: int = 2) -> bytes:
    """RELU, TANH, ELU with the first `program` operators compiled."""
    builder = Builder()
    tensors = [builder.tensor([1, 8, 8, 4]) for _ in range(4)]
    if program:
        builder.operator(COMPILED, [tensors[0]], [tensors[program]], custom_data=b"program!")
    for number, kind in list(enumerate(("RELU", "TANH", "ELU")))[program:]:
        builder.operator(kind, [tensors[number]], [tensors[number + 1]])
    return builder.file(tensors[:1], tensors[-1:])


class Emulated:
    """The script, and what it is to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        script = folder / compiler.PROGRAM
        script.write_text(SCRIPT.format(python=sys.executable))
        script.chmod(0o755)
        self.set()

    def set(self, output: str = LOG, made: bytes | None = None, behaviour: str = "work") -> None:
        (self.folder / "output.txt").write_text(output)
        (self.folder / "behaviour").write_text(behaviour)
        if made is not None:
            (self.folder / "made.tflite").write_bytes(made)


@pytest.fixture
def emulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Emulated:
    found = Emulated(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{found.folder}{os.pathsep}{os.environ['PATH']}")
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "net.tflite"
    path.write_bytes(chain("RELU", "TANH", "ELU"))
    return path


def test_without_the_compiler_the_error_says_where_to_get_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetUnavailable) as caught:
        compiler.compile_file(model, tmp_path / "out", LIMITS)
    assert "coral.ai/docs/edgetpu/compiler" in caught.value.remedy


def test_emulated_what_it_made_is_read_and_kept(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    emulated.set(made=made_file())
    found = compiler.compile_file(model, tmp_path / "out", LIMITS)
    assert found.file == tmp_path / "out" / "net_edgetpu.tflite"
    assert found.file.read_bytes() == made_file()
    assert found.version == "16.0.384591198"
    assert [op.place for op in found.report.operators] == ["tpu", "tpu", "cpu"]
    assert found.report.operators[2].reason == "the compiler says: Operation not supported"
    assert (found.hits, found.misses) == (3, 0)
    assert [(s.kind, s.count, s.status) for s in found.statuses] == [
        ("RELU", 1, "Mapped to Edge TPU"),
        ("TANH", 1, "Mapped to Edge TPU"),
        ("ELU", 1, "Operation not supported"),
    ]
    assert found.memory_bytes["Off-chip memory used for streaming uncached model parameters"] == round(1.7 * 2**20)
    assert "Compilation succeeded" in (tmp_path / "out" / "net_edgetpu.log").read_text()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["net_edgetpu.log", "net_edgetpu.tflite"]


def test_emulated_a_wrong_prediction_is_a_miss(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    emulated.set(output="Edge TPU Compiler version 16.0.384591198\n", made=made_file(program=1))
    found = compiler.compile_file(model, tmp_path / "out", LIMITS)
    assert (found.hits, found.misses) == (2, 1)


def test_emulated_with_googles_own_pair(emulated: Emulated, shared_data: Path, tmp_path: Path) -> None:
    original = shared_data / "coral" / "deeplabv3_mnv2_dm05_pascal_quant.tflite"
    output = "Edge TPU Compiler version 16.0.384591198\nNumber of operations that will run on CPU: 8\n"
    emulated.set(output=output, made=original.with_stem(original.stem + "_edgetpu").read_bytes())
    found = compiler.compile_file(original, tmp_path / "out", LIMITS)
    assert (found.report.tpu, found.report.cpu, found.hits, found.misses) == (64, 8, 72, 0)


def test_emulated_a_refusal_has_the_compilers_words(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    words = "ERROR: Didn't find op for builtin opcode 'CONV_2D' version '6'."
    emulated.set(output=f"Edge TPU Compiler version 16.0\n{words}\n\nInvalid model: m.tflite\n", behaviour="fail")
    with pytest.raises(UnsupportedModelError) as caught:
        compiler.compile_file(model, tmp_path / "out", LIMITS)
    assert words in caught.value.message
    assert caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_emulated_an_exit_status_of_0_without_a_file_is_a_refusal(
    emulated: Emulated, model: Path, tmp_path: Path
) -> None:
    emulated.set(output="Compilation failed!\n")
    with pytest.raises(UnsupportedModelError, match="does not say why"):
        compiler.compile_file(model, tmp_path / "out", LIMITS)


def test_emulated_nothing_mapped_is_a_refusal(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    emulated.set(output="ELU   1     Operation not supported\n", made=made_file(program=0))
    with pytest.raises(UnsupportedModelError, match=r"maps no operator.*1 ELU: Operation not supported"):
        compiler.compile_file(model, tmp_path / "out", LIMITS)


@pytest.mark.parametrize("made", [b"not a model", chain("RELU")[:200]])
def test_emulated_a_file_that_cannot_be_read_is_an_error(
    emulated: Emulated, model: Path, tmp_path: Path, made: bytes
) -> None:
    emulated.set(made=made)
    with pytest.raises(ChildCrashed, match="cannot be read"):
        compiler.compile_file(model, tmp_path / "out", LIMITS)


def test_emulated_the_file_of_another_model_is_an_error(emulated: Emulated, tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(chain("RELU", "TANH"))
    emulated.set(made=made_file())
    with pytest.raises(ChildCrashed, match=r"not made from other\.tflite"):
        compiler.compile_file(path, tmp_path / "out", LIMITS)


def test_emulated_a_log_that_contradicts_the_file_is_an_error(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    emulated.set(output="Number of operations that will run on CPU: 2\n", made=made_file())
    with pytest.raises(EdgeshipError, match="says that 2 operators stay on the CPU; its file holds 1"):
        compiler.compile_file(model, tmp_path / "out", LIMITS)


def test_emulated_a_crash_names_the_signal(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    emulated.set(output="Internal compiler error. Aborting!\n", behaviour="die")
    with pytest.raises(ChildCrashed, match="SIGSEGV") as caught:
        compiler.compile_file(model, tmp_path / "out", LIMITS)
    assert "Internal compiler error" in caught.value.remedy


def test_emulated_a_hang_ends_with_all_that_it_started(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    emulated.set(behaviour="hang")
    with pytest.raises(ChildTimeout, match="longer than 3 s"):
        compiler.compile_file(model, tmp_path / "out", Limits(seconds=3))
    pid = int((emulated.folder / "child.pid").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/stat").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the compiler's child still runs"
        time.sleep(0.05)


def test_emulated_a_file_that_is_there_is_kept(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    emulated.set(made=made_file())
    place = tmp_path / "out" / "net_edgetpu.tflite"
    place.parent.mkdir()
    place.write_bytes(b"mine")
    with pytest.raises(OutputError):
        compiler.compile_file(model, place.parent, LIMITS)
    assert place.read_bytes() == b"mine"


def test_emulated_a_compiled_file_is_not_compiled_again(emulated: Emulated, tmp_path: Path) -> None:
    path = tmp_path / "net_edgetpu.tflite"
    path.write_bytes(made_file())
    assert predict(path).basis == "compiled"
    with pytest.raises(ArtifactError, match="compiled already"):
        compiler.compile_file(path, tmp_path / "out", LIMITS)


def test_emulated_a_log_that_is_there_is_kept(emulated: Emulated, model: Path, tmp_path: Path) -> None:
    emulated.set(made=made_file())
    (tmp_path / "net_edgetpu.log").write_text("mine")
    (tmp_path / "net_edgetpu.part").write_text("mine too")
    with pytest.raises(OutputError, match=r"net_edgetpu\.log exists"):
        compiler.compile_file(model, tmp_path, LIMITS)
    assert (tmp_path / "net_edgetpu.log").read_text() == "mine"
    (tmp_path / "net_edgetpu.log").unlink()
    compiler.compile_file(model, tmp_path, LIMITS)
    assert (tmp_path / "net_edgetpu.part").read_text() == "mine too"


def test_emulated_a_child_reads_what_goes_in_and_what_comes_out(
    emulated: Emulated, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(sys.modules["edgeship.edgetpu.predict"], "read_graph", here)
    emulated.set(made=made_file())
    assert compiler.compile_file(model, tmp_path / "out", LIMITS).hits == 3
