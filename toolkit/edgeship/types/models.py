"""What comes in: models and data, and what a converter is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

#: The variant names, everywhere: `--quantize`, folder names, reports. A converter offers a part of them.
#: Precision of weights, and of arithmetic where the runtime has it; `-floatio` keeps float inputs and outputs.
VARIANTS: Mapping[str, str] = {
    "float32": "as trained",
    "float16": "weights in half precision",
    "dynamic": "int8 weights, activations quantized while running",
    "int8": "int8 weights and activations, int8 inputs and outputs",
    "int8-floatio": "int8 inside, float inputs and outputs",
    "int16x8": "int8 weights, int16 activations, inputs and outputs",
    "int16x8-floatio": "int16x8 inside, float inputs and outputs",
    "mixed": "int8, some layers in int16x8 or float32, float inputs and outputs",
    "int4": "weights stored in 4 bits, float arithmetic",
    "int4-mixed": "weights stored in 2, 4 or 8 bits by layer, float arithmetic",
    "uint8": "weights stored in 8 bits, float arithmetic",
    "uint16": "weights stored in 16 bits, float arithmetic",
}

#: Variant of a float32 file whose weights lie on a grid around those of another one (`edgeship.delta.snap`).
SNAPPED = "float32-snapped"

#: What a layer of a file of variant `mixed` may be.
LAYER_PRECISIONS = ("int8", "int16x8", "float32")


@dataclass(frozen=True)
class Quantization:
    """Affine quantization of one tensor: real = scale * (stored - zero_point) (arXiv 1712.05877, eq. 1)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    quantization: Quantization | None = None


@dataclass(frozen=True)
class Source:
    """A trained model on disk that edgeship has looked at (made by `edgeship.source.inspect`).

    Attributes:
        path: the file, or the folder of a SavedModel.
        kind: one of `edgeship.source.kinds.KINDS`.
        loader: what reads it: `keras`, `tf_keras`, `savedmodel`, `graphdef`, `onnxruntime` or `litert`.
        sha256: of the canonical content (architecture and weights), not of the archive's bytes.
        trainable: False for sources that allow post-training work only (SavedModel, .tflite, some models of Keras 2).
        fake_quantized: True after quantization-aware training: the graph carries its own ranges.
        custom_objects: `module:name` references needed to read it.
        code_sha256: of the user's own code that it runs, found when the pipeline opened it; empty without any, None
            where it cannot be known: then no result is remembered.
        signature: of a SavedModel, the one that is the model; of a frozen graph, its outputs where the user named them.
        baked: what exported graphs do to their inputs before the model; then all samples that come with it are raw.
    """

    path: Path
    kind: str
    loader: str
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    parameters: int
    trainable: bool
    fake_quantized: bool = False
    custom_objects: tuple[str, ...] = ()
    allow_unsafe: bool = False
    code_sha256: str | None = ""
    signature: str = ""
    baked: Preprocessing | None = None


@dataclass(frozen=True)
class Preprocessing:
    """What was done to raw samples (pixels 0..255 for images) before a model saw them; None where nobody said.

    prepared = (raw * scale - mean) / std (see `edgeship.preprocessing`).

    Attributes:
        scale: what raw values were multiplied by.
        resize: how images were brought to the model's size; Pillow's `bilinear`, which averages when it shrinks.
        channels: of images, in their order.
        mean, std: what was then subtracted, and divided by: one number, or one for each index of the last axis; empty
            for nothing.
        value_range: least and largest raw value that there can be.
    """

    scale: float | None = None
    resize: Literal["bilinear"] | None = None
    channels: Literal["grey", "RGB", "RGBA", "BGR"] | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    value_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Dataset:
    """Materialized samples on disk (made by `edgeship.data.open_dataset`).

    Layout: `<path>/<split>/x/<input>.npy`, `<path>/<split>/y.npy`, `<path>/<split>/slices/<name>.npy`, where split is
    `train`, `validation`, `test` or `calibration`. Calibration samples are part of train, never of test.

    Attributes:
        task: `classification` (integer labels), `binary` (0/1 labels, one score), `regression`, `segmentation`
            (integer label per pixel), `reconstruction` (target = input) or `unlabelled` (inputs for parity only).
        classes: label names by index; empty where labels are not classes.
        counts: split -> number of samples; a split that was not given has no entry.
        slices: names of per-sample attributes.
        preprocessing: how the samples came to be what they are.
        augment: random variations of training batches: `flip`, `crop`, `module:function`; no part of `sha256`.
    """

    path: Path
    name: str
    sha256: str
    task: str
    inputs: tuple[TensorSpec, ...]
    counts: Mapping[str, int]
    classes: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    augment: tuple[str, ...] = ()


@dataclass(frozen=True)
class Progress:
    """A sign of life from long work: `done` of `total` steps of `stage` (total None: unknown)."""

    stage: str
    done: float
    total: float | None = None
    message: str = ""


ProgressCallback = Callable[[Progress], None]

#: Stage of a Progress whose message is an address that a person must open, until it is told as done.
OPEN_PAGE = "open this page"


@dataclass(frozen=True)
class ConvertOptions:
    """What a converter needs beside the model.

    Attributes:
        calibration: the dataset whose `calibration` split sets activation ranges; None where none was given.
        precision: of variant `mixed`: layer -> `int16x8` or `float32`; layers that are not named are int8.
        correct_biases: of variant `mixed`; False leaves them as the simulation of sensitivity has them.
        labels: class names to deliver with the file.
        preprocessing: of the data, to deliver with the file.
        name: of the model, for what a format names after it; empty where it has none.
        opset: version of ONNX's operator set; None for what the converter writes unasked.
    """

    calibration: Dataset | None = None
    labels: tuple[str, ...] = ()
    preprocessing: Preprocessing = Preprocessing()
    precision: Mapping[str, str] = field(default_factory=dict)
    correct_biases: bool = True
    name: str = ""
    opset: int | None = None
