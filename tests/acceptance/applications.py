"""The families of `keras.applications`, the smallest member of each; runs in a worker, because it needs Keras."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from tests.e2e import kinds_of_models

#: Samples in the range that networks with a normalization of their own expect have this standard deviation.
_PIXELS = 60.0
#: By family its smallest member, and the least images that it takes.
FAMILIES: dict[str, tuple[int, dict[str, Any]]] = {
    "ConvNeXtTiny": (32, {}),
    "DenseNet121": (32, {}),
    "EfficientNetB0": (32, {}),
    "EfficientNetV2B0": (32, {}),
    "InceptionResNetV2": (75, {}),
    "InceptionV3": (75, {}),
    "MobileNet": (32, {"alpha": 0.25}),
    "MobileNetV2": (32, {"alpha": 0.35}),
    "MobileNetV3Small": (32, {"minimalistic": True}),
    "NASNetMobile": (32, {}),
    "ResNet50": (32, {}),
    "ResNet50V2": (32, {}),
    "VGG16": (32, {}),
    "Xception": (71, {}),
}


def make(family: str, folder: Path) -> None:
    """Write `model.keras` with random weights and the statistics of the samples beside it."""
    import keras

    keras.utils.set_random_seed(0)
    size, options = FAMILIES[family]
    create = getattr(keras.applications, family)
    image = keras.Input((size, size, 3), name="image")
    model = create(weights=None, classes=10, input_tensor=image, **options)
    _temper(model)
    own = "include_preprocessing" in inspect.signature(create).parameters or family.startswith("EfficientNetB")
    kinds_of_models.write(model, folder, _PIXELS if own else 1.0)
    keras.backend.clear_session()


def _temper(model: Any) -> None:
    """Weights in the proportions of a trained network, without which rounding would grow from layer to layer.

    What a branch adds in ResNet50 is small beside what it is added to (arXiv 1706.02677, section 5.1, begins with 0).
    Where nothing normalizes, kernels make up for what ReLUs take away (arXiv 1502.01852, section 2.2).
    """
    normalizing = [layer for layer in model.layers if "Normalization" in type(layer).__name__]
    for layer in normalizing:
        if layer.name.endswith("_3_bn"):
            layer.gamma.assign(0.3 * layer.gamma)
    for layer in model.layers if not normalizing else ():
        if hasattr(layer, "kernel"):
            layer.kernel.assign(2**0.5 * layer.kernel)
