"""`edgeship benchmark FILES --compare BASELINE`: what BASELINE is, and what is worse than it."""

from __future__ import annotations

from edgeship.baselines.find import Baseline, find
from edgeship.baselines.judged import Judged
from edgeship.baselines.recorded import is_of, recorded
from edgeship.baselines.side_by_side import side_by_side

__all__ = ["Baseline", "Judged", "find", "is_of", "recorded", "side_by_side"]
