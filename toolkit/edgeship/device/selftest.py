"""What a release must show on the device itself before it runs: golden samples, latency, memory; in a child."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgeship.child import Child, Limits
from edgeship.codec import from_data
from edgeship.device import slots
from edgeship.device.config import Config, Place
from edgeship.errors import ArtifactError, ChildError, ChildOutOfMemory, ChildTimeout, DataError, UpdateRefused
from edgeship.types import Manifest, Tolerance
from edgeship.types.manifests import Budget

_RUNTIME = "litert"
_ROUNDS = 40
#: A machine that does something else for a moment is no fault of the release.
_ATTEMPTS = 3
#: Below this no difference between two latencies matters, whatever their ratio.
_SLACK_MS = 1.0


@dataclass(frozen=True)
class Comparison:
    """How an output compares with its golden one: see `edgeship.device.trial`."""

    max_abs: float | None
    agreement: float | None


@dataclass(frozen=True)
class Examined:
    """What the child found: see `edgeship.device.trial`."""

    outputs: Mapping[str, Comparison]
    memory_bytes: int | None
    latency_ms: tuple[float, ...]
    current_ms: tuple[float, ...] | None


class TooMuch(UpdateRefused):
    """It took too much time or memory, which a machine that is busy with something else may be to blame for."""


def check(place: Place, config: Config, slot: str, manifest: Manifest, current: str | None) -> Examined:
    """Try the release that lies in `slot`.

    Args:
        place: of the enrolment.
        config: its limits.
        slot: with the release.
        manifest: of the release.
        current: the slot with what runs; None: nothing does.

    Raises:
        TooMuch: it hangs, is too slow, or needs too much memory.
        UpdateRefused: it crashes, or gives other outputs than the golden ones.
        UnavailableError: this device cannot run any release (no LiteRT).
    """
    for attempt in range(1, _ATTEMPTS + 1):
        found = _examine(place, config, slot, manifest, current)
        check_outputs(found, manifest)
        try:
            check_speed(found, manifest.budget, config.limits.slowdown)
        except TooMuch:
            if attempt == _ATTEMPTS:
                raise
            continue
        break
    check_memory(found, manifest.budget)
    return found


def check_outputs(found: Examined, manifest: Manifest) -> None:
    """Raise UpdateRefused where outputs are further from the golden ones than the manifest allows."""
    tolerance = _tolerance(manifest)
    for name in manifest.golden.outputs:
        compared, most, least = found.outputs.get(name), tolerance.max_abs.get(name), tolerance.agreement.get(name, 0.0)
        if compared is None or compared.max_abs is None or compared.agreement is None or most is None:
            raise UpdateRefused(f"self-test: {name} is no number everywhere, or not of the golden output's shape")
        if not compared.max_abs <= most:
            raise UpdateRefused(
                f"self-test: {name} differs by {compared.max_abs:.4g} from its golden output, {most:.4g} is allowed"
            )
        if compared.agreement < least:
            raise UpdateRefused(
                f"self-test: {name} agrees with its golden output for {compared.agreement:.0%}, {least:.0%} is needed"
            )


def check_speed(found: Examined, budget: Budget, slowdown: float) -> None:
    """Raise TooMuch for a release that is slower than its manifest says, or than what runs by far."""
    p95 = percentile(found.latency_ms, 0.95)
    if budget.latency_ms is not None and p95 > budget.latency_ms:
        raise TooMuch(f"self-test: {p95:.3g} ms in 95 of 100 inferences, the budget is {budget.latency_ms:.3g} ms")
    if found.current_ms is None:
        return
    new, old = statistics.median(found.latency_ms), statistics.median(found.current_ms)
    if new > slowdown * old + _SLACK_MS:
        raise TooMuch(f"self-test: {new:.3g} ms where what runs takes {old:.3g} ms; {slowdown:g} times is allowed")


def check_memory(found: Examined, budget: Budget) -> None:
    """Raise TooMuch for a release that takes more memory than its manifest says."""
    if budget.memory_bytes is not None and found.memory_bytes is not None and found.memory_bytes > budget.memory_bytes:
        raise TooMuch(f"self-test: it takes {found.memory_bytes:,} bytes, the budget is {budget.memory_bytes:,}")


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that is not below `share` of the values (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _tolerance(manifest: Manifest) -> Tolerance:
    named = {found.runtime: found for found in manifest.golden.tolerances}
    found = named.get(_RUNTIME, named.get("*"))
    if found is None:
        raise UpdateRefused(f"the manifest has no tolerance for {_RUNTIME}")
    return found


def _examine(place: Place, config: Config, slot: str, manifest: Manifest, current: str | None) -> Examined:
    golden = manifest.golden
    request: dict[str, Any] = {
        "file": str(slots.file(place, slot, manifest.entry)),
        "current": _current_file(place, current),
        "inputs": {name: str(slots.file(place, slot, golden.inputs[name])) for name in _names(manifest.inputs)},
        "outputs": {name: str(slots.file(place, slot, golden.outputs[name])) for name in _names(manifest.outputs)},
        "rounds": _ROUNDS,
    }
    limits = Limits(config.limits.test_seconds, config.limits.test_memory_mib)
    # -P: nothing is imported from the working directory.
    command = [sys.executable, "-P", "-m", "edgeship.device.trial"]
    try:
        with Child(command, name="the self-test", limits=limits) as child:
            return from_data(Examined, child.request(request))
    except (ChildTimeout, ChildOutOfMemory) as error:
        raise TooMuch(f"self-test: {error.message}", remedy=error.remedy) from error
    except (ChildError, ArtifactError, DataError) as error:
        raise UpdateRefused(f"self-test: {error.message}", remedy=error.remedy) from error


def _names(specs: Sequence[Any]) -> list[str]:
    return [spec.name for spec in specs]


def _current_file(place: Place, current: str | None) -> str | None:
    """The file that runs now; None where there is none to compare with."""
    if current is None:
        return None
    try:
        return str(slots.file(place, current, slots.read_manifest(place, current).entry))
    except ArtifactError:
        return None
