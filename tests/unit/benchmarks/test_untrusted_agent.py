"""Answers that no agent of ours gives: a board is a machine of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import ArtifactError, ChildCrashed, EdgeshipError
from edgeship.types import Progress
from edgeship_benchmarks import exchange
from edgeship_benchmarks.session import AgentSession


def _session(folder: Path, answer: str) -> AgentSession:
    """An agent that says this to everything."""
    program = folder / "agent.py"
    program.write_text(f"import sys\nfor line in sys.stdin:\n    print({answer!r}, flush=True)\n")
    return AgentSession([sys.executable, str(program)], name="odd agent")


@pytest.mark.parametrize(
    "result",
    [
        '{"latency_ms": []}',
        '{"latency_ms": [0.1, -1]}',
        '{"latency_ms": ["0.1"]}',
        '{"latency_ms": [true]}',
        '{"latency_ms": [1e999]}',
        '{"latency_ms": [0.1], "microjoules": "many"}',
        '{"latency_ms": {"0": 1}}',
        "[]",
        "null",
        "{}",
    ],
)
def test_times_that_cannot_be(tmp_path: Path, result: str) -> None:
    with _session(tmp_path, f'{{"result": {result}}}') as session, pytest.raises(ChildCrashed):
        session.measure({"x": np.zeros((1, 2), np.float32)})


@pytest.mark.parametrize(
    "result",
    [
        '{"first_inference_ms": 1e999, "runs": 1, "stable": true}',
        '{"first_inference_ms": 1, "runs": -5, "stable": true}',
        '{"first_inference_ms": 1, "runs": 1}',
        '{"preprocessing_ms": -3, "postprocessing_ms": 0}',
        "[]",
    ],
)
def test_values_that_cannot_be(tmp_path: Path, result: str) -> None:
    x = {"x": np.zeros((1, 2), np.float32)}
    with _session(tmp_path, f'{{"result": {result}}}') as session, pytest.raises(ChildCrashed):
        session.warm_up(x)
    with _session(tmp_path, f'{{"result": {result}}}') as session, pytest.raises(ChildCrashed):
        session.processing(x)


def _npy(shape: str, content: bytes = b"") -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + content


@pytest.mark.parametrize(
    "content",
    [b"", b"no array", _npy("(10000000000000,)"), _npy("(2,)", b"1234"), _npy("(1,)", b"12345678"), _npy("(-1,)")],
)
def test_arrays_that_are_no_more_than_they_say(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "0.npy").write_bytes(content)
    with pytest.raises(ChildCrashed, match=r"wrote no array to 0\.npy"):
        exchange.read(tmp_path / "0.npy")


def test_an_array_that_is_one(tmp_path: Path) -> None:
    for number, array in enumerate((np.arange(6).reshape(2, 3), np.zeros((0, 2), np.float32), np.float32(1))):
        np.save(tmp_path / f"{number}.npy", array)
        np.testing.assert_array_equal(exchange.read(tmp_path / f"{number}.npy"), array)


@pytest.mark.parametrize("answer", ['{"result": NaN}', "[" * 100_000, '{"result": {"facts": [1]}}', '{"result": 3}'])
def test_facts_that_cannot_be(tmp_path: Path, answer: str) -> None:
    with _session(tmp_path, answer) as session, pytest.raises(EdgeshipError):
        session.describe()


def test_long_facts_are_cut(tmp_path: Path) -> None:
    with _session(tmp_path, f'{{"result": {{"facts": {{"{"k" * 9000}": "{"v" * 9000}"}}}}}}') as session:
        ((key, value),) = session.describe().items()
    assert (len(key), len(value)) == (2000, 2000)


def test_stages_are_ours(tmp_path: Path) -> None:
    """Each stage is a bar in the terminal."""
    program = tmp_path / "agent.py"
    program.write_text(
        "import json\nfor number in range(20):\n"
        "    print(json.dumps({'progress': {'stage': f'[red]{number}', 'done': number, 'total': 20}}), flush=True)\n"
        "print(json.dumps({'error': {'type': 'ArtifactError', 'message': 'no'}}), flush=True)\ninput()\n"
    )
    events: list[Progress] = []
    x = {"x": np.zeros((1, 2), np.float32)}
    for asked, stage in (("run", "run"), ("trace", "profile")):
        events.clear()
        session = AgentSession([sys.executable, str(program)], name="odd agent")
        with session, pytest.raises(ArtifactError, match="no"):
            getattr(session, asked)(x, progress=events.append)
        assert events == [Progress(stage, number, 20) for number in range(20)]


def test_outputs_outside_of_the_folder(tmp_path: Path) -> None:
    answer = '{"result": {"outputs": {"y": "/etc/passwd"}}}'
    with _session(tmp_path, answer) as session, pytest.raises(ChildCrashed, match="which is outside of"):
        session.run({"x": np.zeros((1, 2), np.float32)})
