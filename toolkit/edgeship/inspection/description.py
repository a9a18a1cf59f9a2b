"""What a model file holds, in one form for every format. Plain values: `edgeship.codec.to_json` works on all of them.

Shapes are in the file's own layout (NHWC in TFLite, TF.js and Keras; NCHW in most ONNX files); None = dynamic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from edgeship.types import TensorSpec

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class TensorQuantization:
    """Affine quantization: real = scale * (stored - zero_point) (arXiv 1712.05877, eq. 1).

    Attributes:
        scales, zero_points: one for the whole tensor, or one for each index of `axis`.
        axis: of the scales, None for one scale.
        block: numbers of an axis that share a scale where there are several along it, else None.
    """

    scales: tuple[float, ...]
    zero_points: tuple[float, ...]
    axis: int | None = None
    block: int | None = None


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph.

    Attributes:
        name: its own within the file; where the file names two alike, `__2` and so on is added.
        shape: None where nothing says it.
        dtype: as stored: `float32`, `int8`, `int4`, ...
        stored_bytes: of the values in the file; 0 for what is computed.
        constant: whether its values are in the file.
    """

    name: str
    shape: Shape | None
    dtype: str
    stored_bytes: int = 0
    constant: bool = False
    quantization: TensorQuantization | None = None


@dataclass(frozen=True)
class Op:
    """One operation.

    Attributes:
        name: its own within the file.
        type: in the words of the format: CONV_2D, Conv, _FusedConv2D, Conv2D.
        kind: the same in the words of `kinds`, equal across formats; `other` where it has none.
        inputs, outputs: names of tensors; an empty name is an optional input left out.
        options: settings that differ from the format's defaults.
        version: of the operator (TFLite) or of its operator set (ONNX); None where the format has none.
        kernel: name of the constant that it multiplies with; empty without one.
        layout: of the kernel, a letter an axis: H, W, D places, I input channels, O output channels, C channels of
            their own, M outputs for each channel, 1 nothing.
        parameters: numbers in constants that no earlier operation uses.
        stored_bytes: of these constants.
        macs: multiply-accumulates of one inference, a dynamic batch counted as 1; None where they cannot be counted.
        graph: the subgraph it is in; empty for the main one.
    """

    name: str
    type: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    version: int | None = None
    kernel: str = ""
    layout: str = ""
    parameters: int = 0
    stored_bytes: int = 0
    macs: int | None = 0
    graph: str = ""


@dataclass(frozen=True)
class Signature:
    """A way in which a file can be called: names of its inputs and outputs."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class OpNote:
    """What a runtime or device would do with one op.

    Attributes:
        op: its name.
        state: `runs` (as the runtime's own), `elsewhere` (on another processor than the one it is for), `refused`,
            or `uncertain`.
        reason: why, for a person; empty where there is nothing to say.
    """

    op: str
    state: Literal["runs", "elsewhere", "refused", "uncertain"]
    reason: str = ""


@dataclass(frozen=True)
class Support:
    """What one runtime or device would do with a file.

    Attributes:
        name: of the runtime or device.
        state: `runs`, `partly` (some ops elsewhere), `refused`, `uncertain`, or `unavailable` (it could not be asked).
        how: `asked` (it has opened the file here) or `predicted` (from a table of what it can do).
        reason: why; with what to do where something is missing.
        ops: what it does with each op, where that is known.
    """

    name: str
    state: Literal["runs", "partly", "refused", "uncertain", "unavailable"]
    how: Literal["asked", "predicted"]
    reason: str = ""
    ops: tuple[OpNote, ...] = ()


@dataclass(frozen=True)
class Description:
    """What a model file holds.

    Attributes:
        file: as given.
        format: `tflite`, `onnx`, `tfjs`, `keras`, `h5` or `savedmodel`.
        facts: what there is to say about it as a whole, in words.
        inputs, outputs: of the main signature.
        parameters: numbers in its constants that are weights (no shapes, axes or indices).
        macs: multiply-accumulates of one inference, a dynamic batch counted as 1; None where an op could not be
            counted, which `uncounted` names by type.
        layers: (layer, bytes), the sum is `size_bytes`; empty where the format's bytes do not belong to layers.
        precision: the state of quantization, in words.
        requires: what must be at least there to run it: name -> version.
        metadata: key -> text, as the file has it.
        labels: class names in the file.
        support: what runtimes and devices would do with it.
        notes: what a person should know, such as parts that were not understood.
    """

    file: str
    format: str
    facts: Mapping[str, str]
    size_bytes: int
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    parameters: int
    macs: int | None
    uncounted: tuple[str, ...] = ()
    signatures: tuple[Signature, ...] = ()
    layers: tuple[tuple[str, int], ...] = ()
    precision: str = ""
    requires: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    support: tuple[Support, ...] = ()
    notes: tuple[str, ...] = ()

    def tensor(self, name: str) -> Tensor | None:
        """The tensor of a name."""
        return next((tensor for tensor in self.tensors if tensor.name == name), None)

    def to_json(self) -> str:
        """As JSON text."""
        from edgeship.codec import to_json

        return to_json(self)
