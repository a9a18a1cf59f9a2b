"""One suite over every installed target: a new one is tested by being declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from contract_models import Exported

from edgeship import codec, plugins
from edgeship.contracts import Target
from edgeship.errors import InputError, TargetUnavailable
from edgeship.types import Artifact, Emulation, Estimate, Measurement, NotMeasured, Plan, Progress, Result
from edgeship_benchmarks import comparison, stats

pytestmark = pytest.mark.usefixtures("a_phone")

_PLAN = Plan(min_runs=12, min_seconds=0.0, rounds=3, warmup_max_runs=25, profile=True)
_ADDRESSES = [address for scheme in plugins.names("targets") for address in plugins.addresses(scheme)]


@pytest.fixture(params=_ADDRESSES)
def target(request: pytest.FixtureRequest) -> Target:
    found = plugins.target(request.param)
    try:
        found.probe()
    except TargetUnavailable as error:
        pytest.skip(f"needs the target {request.param}: {error}")
    return found


@pytest.fixture
def running(target: Target) -> Target:
    """A target that runs files, which one that only estimates does not."""
    if target.probe().provenance == "estimated":
        pytest.skip(f"needs the target {target.name} to run files: it estimates")
    return target


@pytest.fixture
def runnable(exported: Mapping[str, Exported]) -> list[Artifact]:
    """The formats of `single` whose runtime is installed here."""
    found = [a for f, a in exported["single"].artifacts.items() if not plugins.runtimes_for(f)[0].missing()]
    assert found
    return found


@pytest.mark.parametrize("address", _ADDRESSES)
def test_a_target_is_there_or_says_what_gets_it(address: str) -> None:
    found = plugins.target(address)
    assert found.name == address
    assert address in found.examples
    try:
        info = found.probe()
    except TargetUnavailable as error:
        missing = error.message, error.remedy
    else:
        missing = None
    if missing is not None:
        assert all(missing), "the reason, and the command that gets it"
        return
    assert info.name == address
    assert info.provenance in ("measured", "emulated", "estimated")
    assert {"system", "machine", "cores"} <= set(info.facts)
    assert codec.from_json(type(info), codec.to_json(info)) == info


@pytest.mark.parametrize("scheme", plugins.names("targets"))
def test_an_address_without_meaning_is_refused_before_anything_is_looked_for(scheme: str) -> None:
    with pytest.raises(InputError):
        plugins.target(f"{scheme}:\n nonsense; $(true)")


def test_check_gives_the_outputs_of_the_original(
    running: Target, exported: Mapping[str, Exported], runnable: list[Artifact]
) -> None:
    case = exported["single"]
    checked = 0
    for artifact in runnable:
        try:
            found = running.check(artifact, case.inputs)
        except TargetUnavailable:  # a format that nothing on the target opens
            continue
        checked += 1
        assert list(found) == list(case.outputs)
        for name, expected in case.outputs.items():
            np.testing.assert_allclose(found[name], expected, atol=1e-5)
    assert checked


def test_measure_gives_rows_for_every_artifact(
    target: Target, exported: Mapping[str, Exported], runnable: list[Artifact]
) -> None:
    events: list[Progress] = []
    found = target.measure(runnable, exported["single"].inputs, _PLAN, events.append)
    order = [a.id for a in runnable]
    assert list(dict.fromkeys(row.artifact for row in found)) == order
    assert [order.index(row.artifact) for row in found] == sorted(order.index(row.artifact) for row in found)
    assert len({(row.artifact, row.runtime) for row in found}) == len(found)
    assert any(isinstance(row, Result) for row in found)
    for row in found:
        assert row.target == target.name
        if isinstance(row, NotMeasured):
            assert row.reason
            continue
        artifact = runnable[order.index(row.artifact)]
        assert row.artifact_sha256 == artifact.sha256
        assert row.device.name == target.name
        assert row.device.provenance == row.provenance
        assert codec.from_data(Result, codec.to_data(row)) == row  # type: ignore[arg-type] # a union is no class
        if isinstance(row, Measurement):
            _check_measurement(row, artifact)
        if isinstance(row, Emulation):
            assert row.parity.samples >= 1
            assert row.parity.largest_difference is not None
            assert row.parity.largest_difference < 1e-4
            assert row.instructions is None or row.instructions.total > 0
        if isinstance(row, Estimate):
            assert (row.at_least_ms or row.fitted_ms or 0) > 0
            assert row.basis
    assert events
    assert events[-1].done == events[-1].total


def _check_measurement(m: Measurement, artifact: Artifact) -> None:
    """Every sample of every round is kept."""
    assert len(m.round_lengths) == _PLAN.rounds
    assert sum(m.round_lengths) == len(m.latency_ms)
    assert len(m.latency_ms) * int(m.device.facts.get("inferences_per_time", "1")) >= _PLAN.min_runs
    assert min(m.latency_ms) >= 0  # a browser's clock is coarse
    assert max(m.latency_ms) > 0
    assert m.load_ms > 0
    assert m.first_inference_ms > 0
    assert m.size_bytes == artifact.size_bytes
    assert m.gzip_bytes > 0
    assert m.brotli_bytes > 0
    assert m.zstd_bytes > 0
    assert m.peak_memory_mib is None or m.peak_memory_mib > 1
    assert stats.summary(m).p99_ms is None  # too few runs for it, and it is said
    assert any("no p99" in note for note in m.notes)
    if m.profile is None:
        assert any("no profile" in note or "software GPU" in note for note in m.notes)
    else:
        assert m.profile.operators
        assert m.profile.whole_ms > 0


def test_pairs_are_comparable(target: Target, exported: Mapping[str, Exported], runnable: list[Artifact]) -> None:
    first = runnable[0]
    twice = [first, replace(first, variant=f"{first.variant}#2")]
    rows = target.measure(twice, exported["single"].inputs, Plan(min_runs=200, min_seconds=0.2, rounds=5))
    measured = [row for row in rows if isinstance(row, Measurement)]
    for a in (m for m in measured if m.artifact == first.id):
        (b,) = [m for m in measured if m.artifact == twice[1].id and m.runtime == a.runtime]
        found = comparison.ratio(a, b)
        assert found.rounds == 5
        assert 0.5 < found.value < 2  # the same file twice


def test_inputs_that_do_not_fit_are_the_reason_of_a_row(running: Target, runnable: list[Artifact]) -> None:
    rows = running.measure(runnable[:1], {"image": np.zeros((1, 3, 3, 1), np.float32)}, _PLAN)
    assert rows
    for row in rows:
        assert isinstance(row, NotMeasured)
        assert row.reason
