"""How samples are divided and prepared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from edgeship.data.augment import check_names
from edgeship.data.fitting import TASKS
from edgeship.errors import DataError
from edgeship.preprocessing import check
from edgeship.types import Preprocessing


@dataclass(frozen=True)
class DataOptions:
    """How samples are divided and prepared.

    Attributes:
        seed: of the validation, calibration (and, without a test split, test) choice.
        validation_share: of the training split, held out for choosing during compression where no validation samples
            are given apart; 0 to 0.5.
        calibration_samples: how many training samples set activation ranges; fewer if there are fewer.
        task: `Dataset.task`; None infers it from labels and outputs.
        scale: factor for float inputs, for instance 1/255 for a model trained on images in 0..1.
        mean, std: what is subtracted from scaled float inputs, and what they are divided by: one number, or one for
            each channel.
        channels: `BGR` turns the channels of RGB images around.
        augment: random variations of training batches, applied in this order: `flip` (images left to right), `crop`
            (images moved by up to 1/8), `module:function` (see `edgeship.data.augment.Augment`).
    """

    seed: int = 0
    validation_share: float = 0.1
    calibration_samples: int = 200
    task: str | None = None
    scale: float = 1.0
    augment: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: Literal["BGR"] | None = None

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to raw values."""
        return Preprocessing(self.scale, channels=self.channels, mean=self.mean, std=self.std)

    def __post_init__(self) -> None:
        if self.task is not None and self.task not in TASKS:
            raise DataError(f"there is no task {self.task!r}", remedy=f"Allowed: {', '.join(TASKS)}.")
        if not 0 <= self.validation_share <= 0.5:
            raise DataError(f"validation_share is {self.validation_share}", remedy="Allowed: 0 to 0.5.")
        if self.calibration_samples < 1:
            raise DataError(f"calibration_samples is {self.calibration_samples}", remedy="Allowed: 1 and more.")
        if not math.isfinite(self.scale) or self.scale <= 0:
            raise DataError(f"scale is {self.scale}", remedy="Allowed: numbers above 0, such as 0.00392157 for 1/255.")
        check(self.preprocessing, "the options of the data")
        check_names(self.augment)
