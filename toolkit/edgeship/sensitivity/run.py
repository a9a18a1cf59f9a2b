"""The analysis as a worker runs it. Imports no ML framework until then."""

from __future__ import annotations

from edgeship.sensitivity.findings import Fix, Options, Sensitivity
from edgeship.types import Artifact, Dataset, ProgressCallback, Source


def analyse(
    source: Source, dataset: Dataset, options: Options, file: Artifact | None, progress: ProgressCallback
) -> Sensitivity:
    """See `edgeship.sensitivity.analysis.analyse` [child]."""
    from edgeship.sensitivity import analysis

    return analysis.analyse(source, dataset, options, file, progress)


def propose(
    source: Source, dataset: Dataset, options: Options, file: Artifact | None, progress: ProgressCallback
) -> Fix:
    """See `edgeship.sensitivity.analysis.propose` [child]."""
    from edgeship.sensitivity import analysis

    return analysis.propose(source, dataset, options, file, progress)
