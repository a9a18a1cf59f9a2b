"""What snapping costs: the same 5,000 images through the fine-tune and through its snapped file."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from edgeship.delta import encode, snap
from edgeship.types import Array
from tests.acceptance.compression.data import cifar10
from tests.acceptance.deltas import pairs

_STATES = ("full-1e-3", "full-1e-4")


def accuracy() -> list[dict[str, Any]]:
    """Of ResNet-8 in TFLite float32, for each fine-tune, with a 95 % interval of the paired difference in points."""
    data = cifar10()
    images, labels = data["x_test"].astype(np.float32), np.asarray(data["y_test"]).reshape(-1)
    rows = []
    for state in _STATES:
        for name, old, new in pairs.files("resnet8", state):
            if name.startswith("tflite-float32"):
                changed = snap(old, new)
                plain, moved = (_right(content, images, labels) for content in (new, changed))
                apart = 100 * (moved.astype(float) - plain)
                half = 1.96 * apart.std(ddof=1) / np.sqrt(len(apart))
                rows.append({
                    "state": state, "n": len(labels), "accuracy": float(100 * plain.mean()),
                    "difference": float(apart.mean()), "half_width": float(half),
                    "changed_answers": int((apart != 0).sum()), "bytes": len(encode(old, changed)),
                })  # fmt: skip
    return rows


def _right(content: bytes, images: Array, labels: Array) -> Array:
    interpreter = Interpreter(model_content=content, num_threads=1)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, (100, *images.shape[1:]))
    interpreter.allocate_tensors()
    output = interpreter.get_output_details()[0]["index"]
    found = []
    for at in range(0, len(images), 100):
        interpreter.set_tensor(index, images[at : at + 100])
        interpreter.invoke()
        found.append(interpreter.get_tensor(output).argmax(1))
    right: Array = np.concatenate(found) == labels
    return right
