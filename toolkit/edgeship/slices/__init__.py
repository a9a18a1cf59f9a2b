"""What compression did to each slice of the data: classes, groups, conditions, quality of the inputs.

`compare` takes results of any two models on the same samples; a build does the same for each of its files.
"""

from __future__ import annotations

from edgeship.slices.comparison import compare

__all__ = ["compare"]
