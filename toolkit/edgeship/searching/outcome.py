"""Whether the build of the choice keeps the limits that its gates know nothing of: bytes, latency and memory."""

from __future__ import annotations

from collections.abc import Iterator

from edgeship import plugins
from edgeship.searching.limits import Limits
from edgeship.types import Artifact, Measurement, Report, on_the_wire


def broken(limits: Limits, report: Report) -> tuple[str, ...]:
    """What a build does not keep, in sentences. A limit of what was not measured is not kept."""
    return tuple(sentence for artifact in report.artifacts for sentence in _of(artifact, limits, report))


def _of(artifact: Artifact, limits: Limits, report: Report) -> Iterator[str]:
    from edgeship_benchmarks.sizes import sizes
    from edgeship_benchmarks.stats import summary

    if limits.max_bytes is not None:
        size = sizes(artifact)
        wire = on_the_wire(size.raw_bytes, size.brotli_bytes, size.zstd_bytes)
        if wire > limits.max_bytes:
            yield f"{artifact.id} has {wire:,} bytes to send, the limit is {limits.max_bytes:,}"
    for target in limits.targets:
        row = _fastest(artifact, target, report)
        ms = None if row is None else summary(row).median_ms
        mib = None if row is None else row.peak_memory_mib
        for value, limit, unit in ((ms, limits.max_ms.get(target), "ms"), (mib, limits.max_mib.get(target), "MiB")):
            if limit is not None and value is None:
                yield f"{artifact.id} was not measured on {target}, where the limit is {limit:g} {unit}"
            elif limit is not None and value is not None and value > limit:
                yield f"{artifact.id} takes {value:.3g} {unit} on {target}, the limit is {limit:g}"


def _fastest(artifact: Artifact, target: str, report: Report) -> Measurement | None:
    """As a trial is judged: in the runtime in which the file is fastest."""
    from edgeship_benchmarks.stats import summary

    name = plugins.target(target).name
    rows = [row for row in report.measurements if (row.artifact, row.target) == (artifact.id, name)]
    return min(rows, key=lambda row: summary(row).median_ms, default=None)
