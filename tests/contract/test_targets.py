"""One suite over every installed target: a new one is tested by being declared."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from contract_models import Exported

from edgeship import codec, plugins
from edgeship.contracts import Target
from edgeship.errors import DataError, TargetUnavailable
from edgeship.types import Artifact, Measurement, Plan, Progress
from edgeship_benchmarks import stats

_PLAN = Plan(min_runs=12, min_seconds=0.0, rounds=3, warmup_max_runs=25)


@pytest.fixture(params=plugins.names("targets"))
def target(request: pytest.FixtureRequest) -> Target:
    found = plugins.target(request.param)
    try:
        found.probe()
    except TargetUnavailable as error:
        pytest.skip(str(error))
    return found


@pytest.fixture
def runnable(exported: Mapping[str, Exported]) -> list[Artifact]:
    """The formats of `single` whose runtime is installed here."""
    found = [a for f, a in exported["single"].artifacts.items() if not plugins.runtimes_for(f)[0].missing()]
    assert found
    return found


def test_probe_describes_the_device(target: Target) -> None:
    info = target.probe()
    assert info.name == target.name
    assert info.provenance in ("measured", "emulated", "estimated")
    assert {"system", "machine", "cores"} <= set(info.facts)
    assert codec.from_json(type(info), codec.to_json(info)) == info


def test_check_gives_the_outputs_of_the_original(
    target: Target, exported: Mapping[str, Exported], runnable: list[Artifact]
) -> None:
    case = exported["single"]
    for artifact in runnable:
        found = target.check(artifact, case.inputs)
        assert list(found) == list(case.outputs)
        for name, expected in case.outputs.items():
            np.testing.assert_allclose(found[name], expected, atol=1e-5)


def test_measure_keeps_every_sample_of_every_round(
    target: Target, exported: Mapping[str, Exported], runnable: list[Artifact]
) -> None:
    events: list[Progress] = []
    found = target.measure(runnable, exported["single"].inputs, _PLAN, events.append)
    assert [m.artifact for m in found] == [a.id for a in runnable]
    for artifact, m in zip(runnable, found, strict=True):
        assert m.artifact_sha256 == artifact.sha256
        assert (m.target, m.provenance) == (target.name, target.probe().provenance)
        assert m.runtime in [r.name for r in plugins.runtimes_for(artifact.format)]
        assert len(m.round_lengths) == _PLAN.rounds
        assert sum(m.round_lengths) == len(m.latency_ms) >= _PLAN.min_runs
        assert min(m.latency_ms) > 0
        assert m.load_ms > 0
        assert m.first_inference_ms > 0
        assert m.size_bytes == artifact.size_bytes
        assert m.gzip_bytes > 0
        assert m.brotli_bytes > 0
        assert m.zstd_bytes > 0
        assert m.peak_memory_mib is None or m.peak_memory_mib > 1
        assert codec.from_json(Measurement, codec.to_json(m)) == m
        assert stats.summary(m).p99_ms is None  # too few runs for it, and it is said
        assert any("no p99" in note for note in m.notes)
    assert events
    assert events[-1].done == events[-1].total


def test_pairs_are_comparable(target: Target, exported: Mapping[str, Exported], runnable: list[Artifact]) -> None:
    twice = [runnable[0], runnable[0]]
    a, b = target.measure(twice, exported["single"].inputs, Plan(min_runs=200, min_seconds=0.2, rounds=5))
    found = stats.ratio(a, b)
    assert found.rounds == 5
    assert 0.5 < found.value < 2  # the same file twice


def test_measure_with_inputs_that_do_not_fit(target: Target, runnable: list[Artifact]) -> None:
    with pytest.raises(DataError):
        target.measure(runnable[:1], {"image": np.zeros((1, 3, 3, 1), np.float32)}, _PLAN)
