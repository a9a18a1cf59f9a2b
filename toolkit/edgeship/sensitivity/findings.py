"""What the sensitivity analysis finds, as plain values. Imports no ML framework.

SQNR is 10 log10 of the power of a signal over the power of its error, in dB (6.02 dB are worth one bit); signals that
are exact have `EXACT_DB`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgeship.errors import InputError
from edgeship.verify import Drop

#: Stands for any better SQNR: float32 itself has about 150 dB.
EXACT_DB = 150.0


@dataclass(frozen=True)
class Options:
    """How much is looked at.

    Attributes:
        samples: of the validation split, at most, for each value of the metric; the search for a fix takes more where
            so many cannot tell.
        sparsity: share of the weights of a layer that is set to zero when only it is pruned, 0 < sparsity < 1.
        max_drop: what the metric may lose, in its drop unit (points).
        max_growth: how much larger than the int8 file a file with other precisions may be, as a share of it.
        metric: name of the metric; None = by task.
        seed: of the choice of samples.
    """

    samples: int = 1000
    sparsity: float = 0.5
    max_drop: float = 0.5
    max_growth: float = 1.0
    metric: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        limits = {"samples": (1, 1_000_000), "sparsity": (0.01, 0.99), "max_drop": (0, 100), "max_growth": (0, 4)}
        for name, (low, high) in limits.items():
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} is {getattr(self, name)}", remedy=f"Allowed: {low:g} to {high:g}.")


@dataclass(frozen=True)
class Weights:
    """The kernel of a layer, batch normalization folded in.

    Attributes:
        count: number of weights (kernel and bias).
        sqnr_db: bits -> SQNR of the kernel on its grid of that many bits, one scale for each output channel.
        spread: largest over median of the largest magnitudes of the output channels.
    """

    count: int
    sqnr_db: Mapping[str, float]
    spread: float


@dataclass(frozen=True)
class Activations:
    """The output of a layer in the float network, over the calibration samples.

    Attributes:
        low, high: smallest and largest value: what the int8 range covers.
        p001, p999: 0.1 and 99.9 percentile.
        outliers: (high - low) / (p999 - p001); the bits that outliers cost are its binary logarithm.
        spread: largest over median range of the channels; the bits that the other channels lose, again as a logarithm.
        channels, dead: number of channels (last axis), and of those that never change.
    """

    low: float
    high: float
    p001: float
    p999: float
    outliers: float
    spread: float
    channels: int
    dead: int


@dataclass(frozen=True)
class Layer:
    """One layer: what it holds, and what its precision does to the network.

    A layer's precision is that of its weights and of its own output. Layers without weights (sums, the input) have
    an output only; where an activation is fused into a kernel layer or a sum, it counts with it.

    Attributes:
        name, kind: of the Keras layer.
        output_sqnr_db: activation bits (`int8`, `int16x8`) -> SQNR of the layer's own output when only it is quantized.
        scores_sqnr_db: the same at the end of the network, before its softmax or sigmoid.
        share: of the noise at the end of the network, among all layers quantized one at a time to int8, 0..1.
        only: drop when only this layer is quantized to int8.
        all_but: drop when all but this layer are int8.
        int4: drop when only the weights of this layer are quantized, to 4 bits; None without weights.
        pruned: drop when only this layer loses weights; None where pruning leaves the layer alone.
    """

    name: str
    kind: str
    weights: Weights | None
    activations: Activations
    output_sqnr_db: Mapping[str, float]
    scores_sqnr_db: Mapping[str, float]
    share: float
    only: Drop
    all_but: Drop
    int4: Drop | None
    pruned: Drop | None


@dataclass(frozen=True)
class Step:
    """One step of the fix: what is kept more precise, and the network with it and all steps before.

    Attributes:
        layer: the Keras layer.
        precision: `int16x8` or `float32`.
        drop: of the metric, after the step.
        scores_sqnr_db: at the end of the network, after the step.
        extra_bytes: estimated, of this step alone.
    """

    layer: str
    precision: str
    drop: Drop
    scores_sqnr_db: float
    extra_bytes: int


@dataclass(frozen=True)
class Fix:
    """What to do about what int8 costs.

    Attributes:
        verdict: `int8` (int8 everywhere is within the limit), `mixed` (it is with `precision`), `unclear` (with
            `precision` the drop is beyond the limit, and all samples there are cannot tell it from none), or `none` (no
            choice of precisions within the budget was enough; `precision` is the best that was found).
        precision: layer -> `int16x8` or `float32`; the rest int8. What the recipe key `precision` takes.
        steps: in the order in which they were chosen.
        drop: with `precision`.
        estimated_bytes: of the file with `precision`.
        advice: what to do, in a few words.
        sentence: the same with what it brings and costs.
    """

    verdict: str
    precision: Mapping[str, str]
    steps: tuple[Step, ...]
    drop: Drop
    estimated_bytes: int
    advice: str
    sentence: str


@dataclass(frozen=True)
class Sensitivity:
    """Everything that was found about a model on a dataset.

    Attributes:
        model: name of the file.
        metric, unit: what `Drop` values are of, and in (`points` or `%`).
        original: the metric of the float network on the same samples.
        int8: drop of int8 everywhere.
        int8_file: that of the int8 .tflite file on the same samples; None where it could not be made or run here.
        int16x8: drop with 16-bit activations and 8-bit weights everywhere.
        scores_sqnr_db: `int8` and `int16x8` everywhere, at the end of the network.
        n: samples of the validation split that drops are measured on.
        n_calibration: samples that ranges and SQNR are measured on.
        int8_bytes: size of the int8 file; estimated where there is none.
        layers: the most damaging first.
    """

    model: str
    metric: str
    unit: str
    original: float
    int8: Drop
    int8_file: Drop | None
    int16x8: Drop
    scores_sqnr_db: Mapping[str, float]
    n: int
    n_calibration: int
    sparsity: float
    max_drop: float
    int8_bytes: int
    layers: tuple[Layer, ...]
    fix: Fix
