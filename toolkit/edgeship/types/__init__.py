"""The values that flow through edgeship.

Every stage is a function from some of these values to others; values are frozen and describe things on disk.
Importing this module imports no ML framework and no NumPy.

Conventions: units are in field names (`_bytes`, `_ms`, `_mib`). Shapes include the batch axis, which comes first;
images are NHWC; `None` marks a dynamic axis. Dtypes are NumPy names (`"float32"`, `"int8"`).
"""

from __future__ import annotations

from edgeship.types.arrays import Array, Tensors
from edgeship.types.artifacts import Artifact, Bundle, BundleFile, FileEntry, Stored, Verification
from edgeship.types.measurements import (
    CHANGING_FACTS,
    NO_GPU,
    WORTH,
    DeviceInfo,
    Emulation,
    Energy,
    Estimate,
    Instructions,
    Measurement,
    NotMeasured,
    PageStart,
    Parity,
    Plan,
    Provenance,
    Result,
    Throughput,
    on_the_wire,
)
from edgeship.types.models import (
    LAYER_PRECISIONS,
    OPEN_PAGE,
    VARIANTS,
    ConvertOptions,
    Dataset,
    Preprocessing,
    Progress,
    ProgressCallback,
    Quantization,
    Source,
    TensorSpec,
)
from edgeship.types.profiles import OperatorProfile, OperatorTime
from edgeship.types.reports import Attempt, Change, Failure, Gate, GateStatus, Prediction, Report, Stage, StageFile

__all__ = [
    "CHANGING_FACTS",
    "LAYER_PRECISIONS",
    "NO_GPU",
    "OPEN_PAGE",
    "VARIANTS",
    "WORTH",
    "Array",
    "Artifact",
    "Attempt",
    "Bundle",
    "BundleFile",
    "Change",
    "ConvertOptions",
    "Dataset",
    "DeviceInfo",
    "Emulation",
    "Energy",
    "Estimate",
    "Failure",
    "FileEntry",
    "Gate",
    "GateStatus",
    "Instructions",
    "Measurement",
    "NotMeasured",
    "OperatorProfile",
    "OperatorTime",
    "PageStart",
    "Parity",
    "Plan",
    "Prediction",
    "Preprocessing",
    "Progress",
    "ProgressCallback",
    "Provenance",
    "Quantization",
    "Report",
    "Result",
    "Source",
    "Stage",
    "StageFile",
    "Stored",
    "TensorSpec",
    "Tensors",
    "Throughput",
    "Verification",
    "on_the_wire",
]
