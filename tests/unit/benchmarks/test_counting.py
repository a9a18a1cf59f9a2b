"""What the emulator's plugin leaves is read with care; what its absence means is said."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeship.errors import ChildCrashed, InputError, TargetUnavailable, UnavailableError
from edgeship.types import Artifact, NotMeasured, Plan
from edgeship_benchmarks.emulation import counting, programs, qemu
from edgeship_benchmarks.targets.emulated import EmulatedTarget


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path / "cache"))


def test_repeats_become_one_figure_with_its_spread() -> None:
    found = counting.instructions([(10, 20, 5, 1, 0), (10, 20, 5, 1, 0), (11, 20, 6, 1, 0)])
    assert (found.total, found.repeats) == (36, 3)
    assert found.by_class == {"load and store": 10, "float and vector": 20, "integer": 5, "branch": 1}
    assert found.spread == pytest.approx(2 / 36)


@pytest.mark.parametrize("counts", [[], [(0, 0, 0, 0, 0)]])
def test_nothing_counted_is_said(counts: list[tuple[int, ...]]) -> None:
    with pytest.raises(UnavailableError, match="counted no inference"):
        counting.instructions(counts)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (None, "instructions are not counted: the emulator's plugin left no counts"),
        (ChildCrashed("the agent died", remedy="Its last lines"), "not counted: the agent died; Its last lines"),
    ],
)
def test_outputs_are_compared_where_counting_fails(
    monkeypatch: pytest.MonkeyPatch, failure: ChildCrashed | None, said: str
) -> None:
    def ran(*_: object) -> None:
        if failure is not None:
            raise failure

    session = nullcontext(SimpleNamespace(loaded=SimpleNamespace(batch=None), run=ran))
    target = EmulatedTarget("cortex-a72")
    monkeypatch.setattr(counting, "options", lambda _: [])
    monkeypatch.setattr(target, "_session", lambda *_: session)
    counted, (note,) = target._counted(
        Artifact(Path(), "tflite", "int8", (), (), (), "0" * 64), {"x": np.zeros((1, 2))}
    )
    assert counted is None
    assert said in note


def test_programs_that_hang_or_do_not_start_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(TargetUnavailable, match=r"did not finish within 0\.2 s"):
        programs.run([sys.executable, "-c", "import time; time.sleep(60)"], 0.2)
    with pytest.raises(TargetUnavailable, match="nothing cannot be started"):
        programs.run([str(tmp_path / "nothing")], 1)
    assert programs.run(["cat"], 10, "entries").stdout == "entries"


def test_lines_of_the_plugin(tmp_path: Path) -> None:
    file = tmp_path / "counts"
    file.write_text("1 2 3 4 5\n6 7 8 9 0\n")
    assert counting.read(file) == [(1, 2, 3, 4, 5), (6, 7, 8, 9, 0)]


@pytest.mark.parametrize("text", ["1 2 3\n", "1 2 3 4 x\n", "1 2 3 4 -5\n"])
def test_what_the_plugin_did_not_write_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "counts").write_text(text)
    with pytest.raises(UnavailableError, match="counts"):
        counting.read(tmp_path / "counts")
    with pytest.raises(UnavailableError, match="left no counts"):
        counting.read(tmp_path / "absent")


def test_without_the_emulator_the_remedy_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    qemu.find.cache_clear()
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(TargetUnavailable, match="qemu-aarch64") as caught:
        counting.plugin()
    assert "qemu-user gcc" in caught.value.remedy
    with pytest.raises(TargetUnavailable, match="emulation needs mmdebstrap, qemu-user-static"):
        EmulatedTarget("cortex-a72").probe()
    qemu.find.cache_clear()


def test_the_processor_has_to_be_named() -> None:
    with pytest.raises(InputError) as caught:
        EmulatedTarget()
    assert "emulated:cortex-a72" in caught.value.remedy
    with pytest.raises(InputError, match="no emulated processor is called 'pentium'"):
        EmulatedTarget("pentium")


def test_a_file_that_no_board_runs_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeship_benchmarks.emulation.root.missing", list)
    monkeypatch.setattr("edgeship_benchmarks.emulation.root.make", lambda _: tmp_path)
    monkeypatch.setattr("edgeship_benchmarks.emulation.root.site_packages", lambda _: tmp_path)
    artifact = Artifact(tmp_path, "tfjs", "float32", (), (), (), "0" * 64)
    (row,) = EmulatedTarget("cortex-a72").measure([artifact], {}, Plan())
    assert isinstance(row, NotMeasured)
    assert "runs tflite files, not tfjs" in row.reason
