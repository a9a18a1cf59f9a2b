"""What a release must show before it runs; the child that tries it may crash, hang or eat all memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.device_repository import Published, X, expected
from tests.enrolled_device import LIMITS, Device

from edgeship.device import selftest
from edgeship.device.selftest import Examined, check_memory, check_speed
from edgeship.device.trial import compare
from edgeship.errors import MissingPackageError, UpdateRefused
from edgeship.types import Budget


@pytest.fixture
def updated(device: Device) -> Device:
    device.update()
    return device


def offered(published: Published, **made: object) -> None:
    published.release("1.1.0", 2, **made)
    published.rollout("1.1.0")


def refused(device: Device) -> str:
    """Why what is offered was not taken; what ran still answers."""
    outcome = device.update()
    assert (outcome.result, device.active) == ("kept", "1.0.0")
    with device.model() as model:
        np.testing.assert_allclose(model.predict(X).outputs["probabilities"], expected(X, 1), atol=1e-5)
    return outcome.refused[0]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"golden": expected(X, 3)}, "differs by"),
        ({"golden": np.full((8, 3), np.nan, np.float32)}, "no number everywhere"),
        ({"golden": expected(X, 2)[:7]}, "not of the golden output's shape"),
        ({"model": b"TFL3"}, "LiteRT cannot open"),
        ({"model": b"", "compress": False}, "LiteRT cannot open"),
        ({"budget": {"latency_ms": 1e-6}}, "the budget is"),
        ({"budget": {"memory_bytes": 1}}, "the budget is"),
    ],
    ids=["golden", "NaN", "shape", "broken", "empty", "latency", "memory"],
)
def test_what_is_not_as_its_manifest_says_is_refused(
    updated: Device, published: Published, made: dict[str, object], why: str
) -> None:
    offered(published, **made)
    assert why in refused(updated)


def runtime(folder: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A LiteRT of another kind for the children of this test."""
    (folder / "ai_edge_litert").mkdir()
    (folder / "ai_edge_litert/__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_release_that_crashes_the_runtime_is_refused(
    updated: Device, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(published)
    runtime(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", monkeypatch)
    assert "died of SIGSEGV" in refused(updated)
    assert updated.status().failed[0].until() is None


def test_a_release_that_hangs_is_refused(
    updated: Device, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(published)
    updated.set(limits=replace(LIMITS, test_seconds=1.0))
    runtime(tmp_path, "import threading; threading.Event().wait()", monkeypatch)
    assert "gave no sign for 1 s" in refused(updated)
    assert updated.status().failed[0].until() is not None


def test_a_release_that_eats_all_memory_is_refused(
    updated: Device, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(published)
    updated.set(limits=replace(LIMITS, test_memory_mib=300))
    runtime(tmp_path, "eaten = [bytearray(1 << 20) for _ in range(1000)]", monkeypatch)
    assert "memory" in refused(updated)
    assert updated.status().failed[0].until() is not None


def test_a_device_without_litert_blames_no_release(
    updated: Device, published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(published)
    with monkeypatch.context() as patch:
        runtime(tmp_path, "raise ImportError('not installed')", patch)
        with pytest.raises(MissingPackageError):
            updated.update()
    assert updated.status().failed == ()
    assert (updated.update().result, updated.active) == ("updated", "1.1.0")


def test_what_runs_is_the_measure_of_what_comes() -> None:
    found = Examined({}, 10, (3.0,) * 20, (1.0,) * 20)
    check_speed(found, Budget(None, None), slowdown=2.0)  # a millisecond more matters to nobody
    slow = replace(found, latency_ms=(3.5,) * 20)
    with pytest.raises(UpdateRefused, match="where what runs takes"):
        check_speed(slow, Budget(None, None), slowdown=2.0)
    check_speed(replace(slow, current_ms=None), Budget(None, None), slowdown=2.0)


def test_one_slow_moment_is_no_slow_model() -> None:
    times = (1.0,) * 39 + (500.0,)
    check_speed(Examined({}, 10, times, times[::-1]), Budget(2.0, None), slowdown=2.0)


def test_memory_that_is_not_known_is_not_judged() -> None:
    check_memory(Examined({}, None, (1.0,), None), Budget(None, 5))
    with pytest.raises(UpdateRefused):
        check_memory(Examined({}, 6, (1.0,), None), Budget(None, 5))


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(1, 101)]
    assert selftest.percentile(values, 0.95) == 95.0
    assert selftest.percentile([7.0], 0.95) == 7.0


def test_outputs_are_compared_as_the_manifest_means() -> None:
    golden = np.array([[0.1, 0.9], [0.6, 0.4]], np.float32)
    found = np.array([[0.2, 0.8], [0.4, 0.6]], np.float32)
    assert compare(found, golden) == {"max_abs": pytest.approx(0.2), "agreement": 0.5}
    assert compare(np.array([1, 2]), np.array([1, 3]))["agreement"] == 0.5
    assert compare(found * np.nan, golden)["max_abs"] is None
