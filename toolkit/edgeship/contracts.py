"""The contracts that plug-ins fulfil; each docstring is the manual, and one contract test runs over every plug-in.

Importing this module imports no ML framework and no NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from edgeship.types import (
    Array,
    Artifact,
    ConvertOptions,
    DeviceInfo,
    NotMeasured,
    Plan,
    ProgressCallback,
    Result,
    Source,
    Tensors,
    TensorSpec,
)


@runtime_checkable
class Converter(Protocol):
    """Writes one format. Runs inside a worker child: it may crash, print and import what it likes.

    Attributes:
        format: the folder name and the word after `--to`.
        variants: the part of `VARIANTS` it can write.
        equivalents: variant that users ask for -> the nearest one this format has; the substitution is always shown.
        on_request: may be left out. True: made only where users name the format, not with all that are installed.
        files: may be left out. Kinds of sources beside those that TensorFlow makes a graph of (`edgeship.source.kinds`)
            that it converts: `tflite`.
        opsets: may be left out. Versions of an operator set (`ConvertOptions.opset`) that it writes.
        why_not_more: may be left out. Why there are no other variants, for those who ask for one.
    """

    format: str
    variants: tuple[str, ...]
    equivalents: Mapping[str, str]

    def missing(self) -> Sequence[str]:
        """Packages to install before `convert` can run; empty means ready. Imports nothing heavy."""

    def convert(self, source: Source, variant: str, options: ConvertOptions, out_dir: Path) -> Artifact:
        """Write the files of `variant` into `out_dir` (exists, empty) and describe them.

        Equal inputs give equal bytes. Raises UnsupportedModelError (naming layer and reason) for a model that the
        format cannot hold, DataError where calibration is needed and absent.
        """


@runtime_checkable
class Runtime(Protocol):
    """Runs exported files, in a child process without TensorFlow, unless that is what runs them.

    Inference exists once per runtime: verification, prediction, targets and self-tests all come here.

    Attributes:
        name: for instance `litert`, `onnxruntime`, `tfjs-wasm`.
        formats: the formats it opens.
        sample_limit: how many samples are affordable when verifying; None = all.
        remedy: the command that gets what is missing.
    """

    name: str
    formats: tuple[str, ...]
    sample_limit: int | None
    remedy: str

    def missing(self) -> Sequence[str]:
        """What to install before `run` can work; empty means ready."""

    def versions(self) -> Mapping[str, str]:
        """Package -> version of what runs the files; a result is remembered for these only."""

    def specs(self, artifact: Artifact) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """Inputs and outputs as the file itself has them, for files without a sidecar. Raises as `run` does."""

    def run(self, artifact: Artifact, inputs: Tensors, progress: ProgressCallback | None = None) -> Tensors:
        """Outputs for `inputs` (N samples each) in the artifact's output order.

        Inputs are given and outputs returned in the original model's units: a quantized input is quantized, a
        quantized output is dequantized here. Raises ArtifactError, ChildError, UnavailableError.
        """


@runtime_checkable
class Target(Protocol):
    """A place where artifacts run and are measured.

    Users name it by its address, `SCHEME` or `SCHEME:REST` (`local`, `ssh://pi@board`). The entry point is called like
    the scheme; the class is constructed with the rest (`pi@board`), which is empty where there is none. Constructing
    only reads the address, and raises InputError for one that means nothing; `probe` is what looks.

    Several artifacts are measured in one call because only the target can keep them loaded side by side, which
    interleaved rounds (A B A B) need.

    Attributes:
        name: the address, as results carry it.
        examples: addresses to show and to test; the first is the one that stands for the scheme.
        machine: may be left out, for this one. Which other machine does the work: several work at once.
    """

    name: str
    examples: tuple[str, ...]

    def probe(self) -> DeviceInfo:
        """What the target is. Raises TargetUnavailable whose remedy is the command that gets it."""

    def check(self, artifact: Artifact, inputs: Tensors) -> Tensors:
        """Run the artifact on the target; the caller compares with what it expects.

        Raises ArtifactError, DataError, ChildError, UnavailableError.
        """

    def measure(
        self, artifacts: Sequence[Artifact], inputs: Tensors, plan: Plan, progress: ProgressCallback | None = None
    ) -> Sequence[Result | NotMeasured]:
        """What the target finds out about each artifact; what runs is run interleaved.

        Rows are in the order of the artifacts; an artifact has one for each runtime that it was run in (`runtime` tells
        them apart), at least one. What cannot be had of an artifact is a NotMeasured row and costs no other row. Raises
        TargetUnavailable if the target itself is not there, InputError for a plan that measures nothing.

        Args:
            artifacts: told apart by their ids.
            inputs: some samples; each inference uses one of them.
            plan: how to measure.
            progress: told meanwhile.
        """


@runtime_checkable
class Preparable(Protocol):
    """A target that can be made ready: something is installed on it, or made for it."""

    def prepare(self, progress: ProgressCallback | None = None) -> Sequence[str]:
        """Get the target ready; what was done, or was there already, in sentences. Raises TargetUnavailable."""


@runtime_checkable
class Metric(Protocol):
    """A task metric.

    Attributes:
        name: as typed by the user.
        direction: whether more is better.
        unit: of a drop: `points` (100 x the difference) or `%` (relative difference).
    """

    name: str
    direction: Literal["maximize", "minimize"]
    unit: Literal["points", "%"]

    def per_sample(self, outputs: Array, labels: Array) -> Array:
        """One number or one row per sample, all that `value` needs; shape (N,) or (N, K)."""

    def value(self, per_sample: Array) -> float:
        """The metric over (a resample of) rows of `per_sample`."""
