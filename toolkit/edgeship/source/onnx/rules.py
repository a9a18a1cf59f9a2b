"""Every operator of ONNX that is computed in TensorFlow, by name."""

from __future__ import annotations

from collections.abc import Mapping

from edgeship.source.onnx import elementwise, indexing, layers, normalization, recurrent, reductions, resizing, shapes
from edgeship.source.onnx.graph import Rule

RULES: Mapping[str, Rule] = {
    **elementwise.RULES,
    **indexing.RULES,
    **layers.RULES,
    **normalization.RULES,
    **recurrent.RULES,
    **reductions.RULES,
    **resizing.RULES,
    **shapes.RULES,
}
