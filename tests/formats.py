"""One model through formats, each file held against it by the pipeline's own verification."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgeship import plugins
from edgeship.child import Limits, Worker
from edgeship.errors import EdgeshipError
from edgeship.pipeline import checks, steps
from edgeship.pipeline.checks import Baseline
from edgeship.pipeline.exports import Export
from edgeship.types import ConvertOptions, Dataset, Progress, Source
from edgeship.verify import GatePolicy
from tests.acceptance.fuzz.agents import warm_agents
from tests.acceptance.fuzz.runner import environment


@dataclass(frozen=True)
class Formats:
    """Converts and verifies with one warm worker and one warm agent of each runtime."""

    worker: Worker

    def wrong(self, model: Path, samples: Path, exports: Sequence[str], counts: Mapping[str, int]) -> dict[str, str]:
        """By `format/variant` why a file cannot be made or is not right; empty where it is.

        Args:
            model: the trained model.
            samples: folder with `<split>/x/<input>.npy`, and room for results.
            exports: what to make of it.
            counts: samples by split: `test`, and `calibration` for 8-bit files.
        """
        source = steps.open_source(self.worker, model, (), allow_unsafe=False)
        data = Dataset(samples, "samples", steps.file_sha256(samples / "test"), "unlabelled", source.inputs, counts)
        return self._wrong(source, data, exports, samples / "out")

    def wrong_on_probe(self, model: Path, exports: Sequence[str], out: Path) -> dict[str, str]:
        """As `wrong`, on seeded inputs to which the model is sensitive; others of the kind calibrate."""
        source = steps.open_source(self.worker, model, (), allow_unsafe=False)
        samples = out / "samples"
        counts = {}
        for seed, split in enumerate(("test", "calibration")):
            probe = steps.open_probe(self.worker, source, seed)
            shutil.copytree(probe.path / "test", samples / split)
            counts[split] = probe.counts["test"]
        data = Dataset(samples, "samples", steps.file_sha256(samples), "unlabelled", source.inputs, counts)
        return self._wrong(source, data, exports, out)

    def _wrong(self, source: Source, data: Dataset, exports: Sequence[str], out: Path) -> dict[str, str]:
        original = steps.reference(self.worker, source, data, _quiet)
        base = Baseline(data, original, {}, None, GatePolicy(0.5, "fail"))
        found = {}
        for export_id in exports:
            format_name, _, variant = export_id.partition("/")
            export = Export(format_name, variant, by_name=True)
            try:
                artifact = steps.convert(self.worker, source, export, ConvertOptions(calibration=data))
            except EdgeshipError as error:
                found[export_id] = str(error)
                continue
            found[export_id] = _verdict(checks.judge(artifact, export, base, out, _quiet))
        return found


def _verdict(checked: checks.Checked) -> str:
    if checked.artifact.verification == "passed":
        return ""
    gates = [f"{g.name} {g.value:.3g} ({g.limit:g}) {g.detail}" for g in checked.gates if not g.accepted]
    return "; ".join(gates + [failure.message for failure in checked.failures]) or checked.artifact.verification


def _quiet(_: Progress) -> None:
    """Nobody watches."""


@contextmanager
def formats(seconds: float = 300) -> Iterator[Formats]:
    """Skips the test where a runtime is missing; a conversion may take that many seconds."""
    if any(runtime.missing() for name in ("tflite", "onnx", "tfjs") for runtime in plugins.runtimes_for(name)):
        pytest.skip("needs Node")
    with environment(), warm_agents(), Worker(Limits(seconds=seconds)) as worker:
        yield Formats(worker)
