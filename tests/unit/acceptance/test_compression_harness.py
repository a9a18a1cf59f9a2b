"""The harness of the compression cells: what is due, resuming, locks, peers. Nothing here trains."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from tests.acceptance.compression import __main__ as program
from tests.acceptance.compression import cells, code, goals, methods, prepare, records, table
from tests.acceptance.compression.catalogue import METHODS
from tests.acceptance.compression.cells import BASE, Cell
from tests.acceptance.compression.data import flip_and_crop
from tests.acceptance.compression.methods import Made, Work
from tests.acceptance.compression.peers.common import Request, sweep
from tests.acceptance.compression.tasks import TASKS
from tests.compression_rows import record, right
from tests.tiny_tflite import model_bytes, signed

from edgeship import recipe
from edgeship.errors import EdgeshipError
from edgeship.usage import Usage
from edgeship_converters.tflite.slim import slim

CIFAR = TASKS["cifar10"]


def test_records_come_back_from_disk(tmp_path: Path) -> None:
    given = record("int8", 1, wrong=171)
    records.write(given, tmp_path)
    assert records.read(tmp_path) == [given]
    assert records.find("cifar10", "int8", 1, tmp_path) == given
    assert records.find("cifar10", "int8", 2, tmp_path) is None
    assert np.array_equal(records.unpack(given), right(171))


class Copy:
    """A real method, if a dull one: the file is the base itself, as TFLite."""

    name, seeds, tasks, ours = "copy", (0, 1), ("cifar10",), True

    def __init__(self) -> None:
        self.setting = 1

    def determines(self):
        return {"setting": self.setting}

    def make(self, work: Work) -> Made:
        file = work.folder / "model.tflite"
        file.write_bytes(model_bytes())
        return Made(file)


@pytest.fixture
def copy(monkeypatch: pytest.MonkeyPatch) -> Copy:
    method = Copy()
    monkeypatch.setitem(METHODS, "copy", method)
    return method


def test_a_cell_is_due_when_missing_or_when_what_determines_it_changed(copy: Copy, tmp_path: Path) -> None:
    cell = Cell(CIFAR, "copy", 1)
    records.write(record(BASE, sha256="base"), tmp_path)
    assert cells.due(cell, tmp_path) == "missing"
    records.write(record("copy", 1, key=cells.key(cell, tmp_path)), tmp_path)
    assert cells.due(cell, tmp_path) == ""
    assert cells.due(Cell(CIFAR, "copy", 0), tmp_path) == "missing"
    copy.setting = 2
    assert cells.due(cell, tmp_path) == "stale"
    copy.setting = 1
    records.write(record(BASE, sha256="another base"), tmp_path)
    assert cells.due(cell, tmp_path) == "stale"


def test_what_failed_is_tried_again_if_it_is_ours(copy: Copy, tmp_path: Path) -> None:
    cell = Cell(CIFAR, "copy")
    records.write(record("copy", key=cells.key(cell, tmp_path), failure="EdgeshipError: no"), tmp_path)
    assert cells.due(cell, tmp_path) == "failed"
    copy.ours = False
    records.write(record("copy", key=cells.key(cell, tmp_path), failure="EdgeshipError: no"), tmp_path)
    assert cells.due(cell, tmp_path) == ""


def test_a_base_that_failed_is_trained_again(tmp_path: Path) -> None:
    base = Cell(CIFAR, BASE)
    records.write(record(BASE, key=cells.key(base, tmp_path)), tmp_path)
    assert cells.due(base, tmp_path) == ""
    records.write(record(BASE, key=cells.key(base, tmp_path), failure="ChildError: no"), tmp_path)
    assert cells.due(base, tmp_path) == "failed"


@pytest.mark.parametrize("failure", ["ChildTimeout: it did not end within 3600 s", "bug: KeyError: 'x'"])
def test_a_peer_that_did_not_come_to_an_end_is_not_known(copy: Copy, tmp_path: Path, failure: str) -> None:
    copy.ours = False
    cell = Cell(CIFAR, "copy")
    records.write(record("copy", key=cells.key(cell, tmp_path), failure=failure), tmp_path)
    assert cells.due(cell, tmp_path) == "failed"
    assert "tfmot-qat" in goals.missing_peers([record("tfmot-qat", failure=failure)])
    assert "tfmot-qat" not in goals.missing_peers([record("tfmot-qat", failure="EdgeshipError: no")])


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [("import sys; sys.exit('no such op')", "EdgeshipError", "no such op"),
     ("import os; os.kill(os.getpid(), 9)", "ChildCrashed", "signal 9")],
)  # fmt: skip
def test_a_script_that_was_killed_says_nothing_about_its_peer(script: str, kind: str, said: str) -> None:
    with pytest.raises(EdgeshipError, match=said) as caught:
        methods._run([sys.executable, "-c", script], "peer")
    assert type(caught.value).__name__ == kind


def test_recipes_of_ours_run_from_committed_code(copy: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "due", lambda cell: "missing")
    monkeypatch.setattr(cells, "_git", lambda *words: " M toolkit/edgeship/a.py\n?? toolkit/b.py\n")
    asked = argparse.Namespace(again=False)
    assert program._unclean([Cell(CIFAR, "copy")], asked).startswith("not committed: toolkit/edgeship/a.py, toolkit/b")
    assert program._unclean([Cell(CIFAR, "tfmot-qat")], asked) == ""
    assert cells.commit().endswith("+")
    monkeypatch.setattr(cells, "_git", lambda *words: "")
    assert program._unclean([Cell(CIFAR, "copy")], asked) == ""
    assert not cells.commit().endswith("+")


def test_what_a_run_writes_does_not_stop_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(cells, "_git", lambda *words: asked.extend(words) or "")
    cells.changed()
    assert f":(exclude){records.FOLDER.relative_to(code.ROOT)}" in asked


def test_stale_records_say_so_on_disk(tmp_path: Path) -> None:
    records.write(record("int8"), tmp_path)
    assert records.mark(record("int8"), "other", tmp_path).stale
    assert records.find("cifar10", "int8", 0, tmp_path).stale
    assert not records.mark(records.find("cifar10", "int8", 0, tmp_path), "k", tmp_path).stale
    assert "int8** †" in table.page([record(BASE), record("int8", stale=True)])
    assert "†" not in table.page([record(BASE), record("int8")]).split("## Goals")[1]


def test_two_runners_do_not_do_the_same_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path))
    asks = "from tests.acceptance.compression import cells\nwith cells.lock('cifar10/int8-s0') as mine: print(mine)"

    def other() -> str:
        command = [sys.executable, "-c", asks]
        return subprocess.run(command, cwd=code.ROOT, capture_output=True, text=True, check=True).stdout.strip()

    with cells.lock("cifar10/int8-s0") as mine:
        assert mine
        assert other() == "False"
    assert other() == "True"


def test_comments_imports_and_places_do_not_make_cells_stale(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text('"""One."""\ndef f(x):\n    """Two."""\n    return x + 1\n')
    before = code.digest([tmp_path])
    file = file.rename(tmp_path / "b.py")
    file.write_text('"""Another."""\n\nimport os\n\n\ndef f(x):\n    # said otherwise\n    return (x + 1)\n')
    assert code.digest([tmp_path]) == before
    file.write_text("def f(x):\n    return x + 2\n")
    assert code.digest([tmp_path]) != before
    (tmp_path / "recipe.yaml").write_text("epochs: 1")
    with_recipe = code.digest([tmp_path])
    (tmp_path / "recipe.yaml").write_text("epochs: 2")
    assert code.digest([tmp_path]) != with_recipe


def test_a_recipe_depends_on_the_code_of_its_own_stages() -> None:
    files = {p.name for p in code.behind(("edgeship.compress.quantize.stage",), ("edgeship.compress",))}
    assert {"stage.py", "aware.py", "entropy.py", "layers.py", "model.py"} <= files
    assert not {"groups.py", "factorize.py", "request.py"} & files


def test_a_peer_depends_on_what_makes_the_file_that_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(code, "digest", lambda files: asked.extend(file.name for file in files) or "")
    METHODS["nncf-ptq"].determines()
    assert {"nncf.py", "ort.py", "prepare.py", "common.py"} <= set(asked)


def test_a_cell_has_a_name_of_its_own() -> None:
    names = [str(cell) for cell in cells.cells()]
    assert len(set(names)) == len(names)
    assert "mnist/int8-s1" not in names
    assert {
        "cifar10/base-s0",
        "cifar10/yardstick-s0",
        "mnist/int8-s0",
        "cifar10/int8-s2",
        "cifar10/tfmot-pcqat-50-16-s0",
    } <= set(names)
    assert names.index("cifar10/base-s0") < names.index("cifar10/yardstick-s0") < names.index("cifar10/int8-s0")


@pytest.mark.parametrize("name", ["small", "safe"])
def test_recipes_run_as_users_run_them(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the time that attempts may take: what is chosen must not hang on what else the machine does."""
    given: dict[str, Any] = {}

    def build(*_: object, **options: Any) -> None:
        given.update(options)
        raise EdgeshipError("enough")

    monkeypatch.setattr("edgeship.build", build)
    task = dataclasses.replace(CIFAR, batch_size=16)  # of peers
    with pytest.raises(EdgeshipError, match="enough"):
        METHODS[name].make(Work(task, tmp_path, None, 3, tmp_path))  # type: ignore[arg-type] # not read
    expected = recipe.load(name).changed(seed=3)
    minutes = 7 * 24 * 60 if expected.attempts else expected.minutes
    assert given["recipe"] == dataclasses.replace(expected, minutes=minutes)


def test_labels_are_no_part_of_what_is_compared(tmp_path: Path) -> None:
    """Peers deliver none; a file without any is compared as it is."""
    content = signed(model_bytes(), ("x", "scores"))
    plain, labelled = slim(content), slim(content, said=Usage(labels=("cat", "dog", "bird")))
    assert len(labelled) > len(plain) + 100
    for delivered in (plain, labelled):
        (tmp_path / "model.tflite").write_bytes(delivered)
        assert methods._without_labels(tmp_path / "model.tflite", tmp_path / "out.tflite").read_bytes() == plain


def test_sweep_chooses_by_the_score_and_lists_what_failed() -> None:
    def make(x: int) -> int:
        if x == 3:
            raise ValueError("three")
        return 10 * x

    made, chosen, tried = sweep([{"x": 1}, {"x": 2}, {"x": 3}], make, lambda value: -abs(value - 20))
    assert (made, chosen) == (20, {"x": 2})
    assert tried == [{"x": 1, "validation": -10}, {"x": 2, "validation": 0}, {"x": 3, "failed": "ValueError: three"}]
    with pytest.raises(RuntimeError, match="no candidate could be made: ValueError: three"):
        sweep([{"x": 3}], make, float)


@pytest.mark.parametrize(("final", "expected"), [(0.92, (b"30", 30)), (0.90, (b"3", 3)), (None, (b"3", 3))])
def test_a_peers_best_short_run_competes_with_its_last(
    monkeypatch: pytest.MonkeyPatch, final: float | None, expected: tuple[bytes, int]
) -> None:
    package = "tensorflow_model_optimization"
    schemes = f"{package}.python.core.quantization.keras.collab_opts"
    for name in (
        "tensorflow", "tf_keras", package, f"{package}.python.core.clustering.keras.experimental",
        f"{schemes}.cluster_preserve",
        f"{schemes}.prune_preserve",
    ):  # fmt: skip
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.delitem(sys.modules, "tests.acceptance.compression.peers.tfmot", raising=False)
    tfmot = importlib.import_module("tests.acceptance.compression.peers.tfmot")
    monkeypatch.delitem(sys.modules, "tests.acceptance.compression.peers.tfmot")

    class Run:
        def __init__(self, _: object, __: float, epochs: int) -> None:
            self.epochs = epochs

        def file(self) -> bytes:
            if self.epochs == 30 and final is None:
                raise ValueError("no")
            return str(self.epochs).encode()

    asked, given = MagicMock(epochs=30, settings={"qat": True}), MagicMock()
    asked.split.return_value = (np.zeros(1), np.zeros(1))
    for name, stand_in in {"request": lambda: asked, "Run": Run, "finish": given}.items():
        monkeypatch.setattr(tfmot, name, stand_in)
    monkeypatch.setattr(tfmot, "litert_accuracy", lambda made, *_: {b"3": 0.91, b"30": final}[made])
    tfmot.main()
    (_, content, *_), facts = given.call_args
    assert (content, facts["epochs"]) == expected
    assert [row["epochs"] for row in facts["sweep"]] == [3, 3, 3, 30]


def test_nncf_gets_the_file_as_tf2onnx_wrote_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw.onnx").write_bytes(b"raw")
    (tmp_path / "request.json").write_text('{"base": "model.keras"}')
    monkeypatch.setattr(prepare, "float_model", lambda *_: tmp_path / "raw.onnx")
    monkeypatch.setattr(sys, "argv", ["prepare", str(tmp_path), "onnx"])
    prepare.main()
    assert (tmp_path / "float.onnx").read_bytes() == b"raw"


def test_scripts_of_peers_do_not_see_the_test_split(tmp_path: Path) -> None:
    asked = Request("base", str(tmp_path), "x", "out", 0, augment=True, batch_size=4, epochs=1, settings={})
    with pytest.raises(ValueError, match="no script sees the test split"):
        asked.split("test")


def test_batches_of_peers_cover_an_epoch_once(tmp_path: Path) -> None:
    (tmp_path / "train" / "x").mkdir(parents=True)
    np.save(tmp_path / "train" / "x" / "x.npy", np.arange(10.0, dtype=np.float32)[:, None])
    np.save(tmp_path / "train" / "y.npy", np.arange(10))
    asked = Request("base", str(tmp_path), "x", "out", 0, augment=False, batch_size=4, epochs=1, settings={})
    batches = list(asked.batches(0))
    assert len(batches) == asked.steps == 3
    assert sorted(np.concatenate([y for _, y in batches])) == list(range(10))
    assert all(np.array_equal(x[:, 0], y) for x, y in batches)
    assert not np.array_equal(batches[0][1], next(asked.batches(1))[1])


def test_augmentation_moves_and_mirrors_and_nothing_else() -> None:
    images = np.random.default_rng(0).random((40, 12, 12, 2), np.float32)
    labels = np.arange(40)
    varied, kept = flip_and_crop(images, labels, np.random.default_rng(1))
    assert np.array_equal(kept, labels)
    assert varied.shape == images.shape
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="symmetric")
    seen = set()
    for number, image in enumerate(varied):
        for mirrored in (False, True):
            wanted = image[:, ::-1] if mirrored else image
            places = [
                (top, left, mirrored)
                for top in range(9)
                for left in range(9)
                if np.array_equal(padded[number, top : top + 12, left : left + 12], wanted)
            ]
            seen.update(places)
    assert len({mirrored for *_, mirrored in seen}) == 2
    assert len({top for top, *_ in seen}) > 5


def test_a_base_is_trained_anew_when_its_training_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGESHIP_CACHE", str(tmp_path))
    cell = Cell(TASKS["gesture"], BASE)
    assert not cells._is_trained(cell, "key")
    (cell.folder / "backup").mkdir()  # interrupted: it goes on from there
    assert not cells._is_trained(cell, "key")
    assert (cell.folder / "backup").is_dir()
    (cell.folder / "model.keras").write_bytes(b"model")
    assert cells._is_trained(cell, "key")
    assert not cells._is_trained(cell, "another")
    assert sorted(path.name for path in cell.folder.iterdir()) == ["key"]
