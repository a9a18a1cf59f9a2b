"""Golden samples: a few inputs and the outputs that an exported file gave for them; with them a device checks itself.

A build folder holds them for every verified file (`golden/inputs/<name>.npy`, `golden/outputs/<artifact>/<name>.npy`,
`golden/ranges.json`), all in the original model's units. Reading trusts nothing in there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import ArtifactError, InputError
from edgeship.names import artifact_slug
from edgeship.report import schema
from edgeship.types import SNAPPED, Artifact, TensorSpec, Tolerance

if TYPE_CHECKING:
    from edgeship.types import Array

#: One array of golden samples may not be larger.
_LIMIT_BYTES = 64 << 20
_RANGES_LIMIT_BYTES = 1 << 20
#: Of the range of scores.
_SAFE_MARGIN = 0.5

Range = tuple[float, float]


@dataclass(frozen=True)
class Golden:
    """Golden samples of one artifact.

    Attributes:
        inputs, outputs: by name, N samples on the first axis.
        input_ranges, output_ranges: smallest and largest value over the whole test split, where known.
    """

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]
    input_ranges: Mapping[str, Range]
    output_ranges: Mapping[str, Range]

    @property
    def n(self) -> int:
        """Number of samples."""
        return len(next(iter(self.inputs.values())))


def load(build: Path, artifact: Artifact) -> Golden:
    """The golden samples of an artifact in a build folder. Raises InputError where they are absent or do not fit."""
    folder = build / "golden"
    outputs = folder / "outputs" / artifact_slug(artifact.id)
    ranges = _read_ranges(folder / "ranges.json")
    golden = Golden(
        {spec.name: _read_array(folder / "inputs", spec) for spec in artifact.inputs},
        {spec.name: _read_array(outputs, spec) for spec in artifact.outputs},
        ranges["inputs"],
        ranges["outputs"],
    )
    counts = {len(array) for array in (*golden.inputs.values(), *golden.outputs.values())}
    if len(counts) != 1 or counts == {0}:
        raise InputError(f"{folder}: inputs and outputs differ in their number of samples", remedy=_REMEDY)
    return golden


def telling_rows(scores: Sequence[Array], count: int) -> Array:
    """Which samples of a classification tell a broken file from a sound one that rounds differently.

    Samples that every file is sure of say little: scores near 1 stay there when weights are damaged (of 51 damages to
    an int8 network of digits, the surest samples miss 35, evenly spread ones 27, these 7). Samples near a tie change
    their class with the kernels of another processor. So the least sure ones of those that are safe are taken, from
    one class after another; safe are those that all agree on with a margin of half the range of scores, twice what
    `tolerances` allows in another runtime.

    Args:
        scores: of the original and of each exported file, (N, classes), for the same samples.
        count: of samples to choose; fewer where there are fewer.

    Returns:
        Indices in ascending order.
    """
    import numpy as np

    classes = scores[0].argmax(axis=1)
    margin = np.min([_margins(array, classes) for array in scores], axis=0)
    safe = margin >= _SAFE_MARGIN
    value = np.where(safe, margin, -margin)
    seen: Counter[tuple[bool, int]] = Counter()
    turn = np.zeros(len(classes), np.int64)
    for row in np.lexsort((value, ~safe)):
        group = bool(safe[row]), int(classes[row])
        turn[row] = seen[group]
        seen[group] += 1
    return np.sort(np.lexsort((value, turn, ~safe))[:count])


def _margins(scores: Array, classes: Array) -> Array:
    """How far the score of the class is above all others, as a share of the range of scores; below 0: it is not."""
    import numpy as np

    values = scores.astype(np.float64)
    own = values[np.arange(len(values)), classes]
    others = values.copy()
    others[np.arange(len(values)), classes] = -np.inf
    return np.asarray((own - others.max(axis=1)) / max(float(np.ptp(values)), 1e-30))


_REMEDY = "Build again with data: edgeship build MODEL --data D --out BUILD"


def _read_array(folder: Path, spec: TensorSpec) -> Array:
    import numpy as np

    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,127}", spec.name):
        raise InputError(f"{spec.name!r} cannot be the name of a file of golden samples")
    path = folder / f"{spec.name}.npy"
    try:
        if path.is_symlink() or path.stat().st_size > _LIMIT_BYTES:
            raise InputError(f"{path} is a link or larger than {_LIMIT_BYTES:,} bytes")
        array = np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"the build has no golden samples: cannot read {path}", remedy=_REMEDY) from error
    except ValueError as error:
        raise InputError(f"{path} is no .npy file of numbers: {error}", remedy=_REMEDY) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise InputError(f"{path} does not hold finite numbers only", remedy=_REMEDY)
    expected = spec.shape[1:]
    fits = array.ndim == len(spec.shape) and all(
        want in (None, have) for want, have in zip(expected, array.shape[1:], strict=True)
    )
    if not fits:
        raise InputError(f"{path} has shape {array.shape}, {spec.name} takes {spec.shape}", remedy=_REMEDY)
    return array


def _read_ranges(path: Path) -> dict[str, dict[str, Range]]:
    data = schema.parse(schema.read_text(path, _RANGES_LIMIT_BYTES), str(path))
    if not isinstance(data, dict) or set(data) != {"inputs", "outputs"}:
        raise InputError(f"{path} does not hold ranges of inputs and outputs", remedy=_REMEDY)
    return {side: {str(name): _range(pair, path) for name, pair in data[side].items()} for side in data}


def _range(pair: Any, path: Path) -> Range:
    numbers = isinstance(pair, list) and len(pair) == 2 and all(type(v) in (int, float) for v in pair)
    if not numbers or not pair[0] <= pair[1]:
        raise InputError(f"{path}: {pair!r} is not a smallest and a largest value", remedy=_REMEDY)
    return float(pair[0]), float(pair[1])


def tolerances(artifact: Artifact, golden: Golden, runtime: str) -> tuple[Tolerance, Tolerance]:
    """What to allow in the runtime that made the outputs, and in any other.

    Shares of the range of an output. Measured on x86 with 40 inputs: float files differ by 2e-6 between XNNPACK and
    the built-in kernels, int8 files by up to 54/255 with 97.5 % the same class; another processor may round
    differently in the same runtime, which was not measured, hence the margin there.
    """
    exact = artifact.variant in ("float32", "float16", SNAPPED)
    own, other = (1e-5, 1e-3) if exact else (8 / 255, 64 / 255)
    agreement = {
        name: 1 - 1 / golden.n
        for name, array in golden.outputs.items()
        if array.dtype.kind in "iub" or (artifact.labels and array.ndim == 2 and array.shape[1] > 1)
    }
    spans = {name: _span(name, array, golden) for name, array in golden.outputs.items()}
    return (
        Tolerance(runtime, {name: own * span for name, span in spans.items()}, agreement),
        Tolerance("*", {name: other * span for name, span in spans.items()}, agreement),
    )


def _span(name: str, array: Array, golden: Golden) -> float:
    low, high = golden.output_ranges.get(name, (float(array.min()), float(array.max())))
    return max(high, float(array.max())) - min(low, float(array.min()))


def check(artifact: Artifact, golden: Golden, found: Mapping[str, Array], tolerance: Tolerance) -> None:
    """Raise ArtifactError where outputs are further from the golden ones than the tolerance allows (NaN is)."""
    import numpy as np

    for name, expected in golden.outputs.items():
        if name not in found or found[name].shape != expected.shape:
            raise ArtifactError(f"{artifact.id} gives no output {name!r} of shape {expected.shape}")
        actual = found[name].astype(np.float64)
        difference = float(np.abs(actual - expected.astype(np.float64)).max())
        if not difference <= tolerance.max_abs[name]:
            raise ArtifactError(
                f"{artifact.id}: {name} differs by {difference:.4g} from its golden output; {tolerance.runtime} may "
                f"differ by {tolerance.max_abs[name]:.4g}",
                remedy=_REMEDY,
            )
        if name in tolerance.agreement:
            index = expected.dtype.kind in "iub"
            same = (actual == expected) if index else actual.argmax(axis=1) == expected.argmax(axis=1)
            if float(same.mean()) < tolerance.agreement[name]:
                raise ArtifactError(
                    f"{artifact.id}: {name} agrees with its golden output for {same.mean():.0%} of the values only",
                    remedy=_REMEDY,
                )
