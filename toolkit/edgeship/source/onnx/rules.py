"""Every operator of ONNX that is computed in TensorFlow, by name."""

from __future__ import annotations

from collections.abc import Mapping

from edgeship.source.onnx import elementwise, layers, recurrent, reductions, resizing, shapes
from edgeship.source.onnx.graph import Rule

RULES: Mapping[str, Rule] = {
    **elementwise.RULES,
    **layers.RULES,
    **recurrent.RULES,
    **reductions.RULES,
    **resizing.RULES,
    **shapes.RULES,
}
