"""Static int8 quantization of ONNX models, with the ranges of activations that serve the model best.

Min-max ranges are ruined by a single outlier, clipped ones by values that mattered; which is the case depends on the
model. So several are tried, and the file is kept whose scores are nearest to those of the float model on the
calibration samples: the least noise as a share of the signal, sum((f - q)**2) / sum(f**2) (the inverse of the
signal-to-quantization-noise ratio; on ranges see arXiv 2106.08295, section 3.1). It is taken for each sample, at most
1, and averaged: one odd sample counts as one. Scores are taken before a final softmax or sigmoid, where saturation
hides most of the noise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeship.errors import UnsupportedModelError
from edgeship.types import Dataset, TensorSpec
from edgeship_converters.calibration import Samples, batches

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edgeship.types import Array

#: Shares of all values that a range covers: 1.0 is min-max; of what is left out, half lies on each side.
_COVERED = (1.0, 0.99999, 0.9999)
_BINS = 4096
_BATCH = 16
#: Operators that only squash the scores: at the end of a model they stay float, as its outputs are float anyway.
_SQUASHING = frozenset({"LogSoftmax", "Sigmoid", "Softmax"})

Range = tuple[float, float]


def quantize(model: Any, inputs: tuple[TensorSpec, ...], calibration: Dataset) -> Any:
    """QDQ, U8S8 (uint8 activations, int8 weights per channel); inputs and outputs stay float.

    Args:
        model: float ONNX model without loops.
        inputs: of the model.
        calibration: its `calibration` split sets the ranges of activations.

    Raises:
        UnsupportedModelError: no range serves: the activations or the quantized scores are not finite; or ONNX Runtime
            cannot read the model.
    """
    import onnx
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    samples = batches(calibration, inputs, _BATCH)
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared"))
        onnx.save(model, plain)
        _prepare(plain, prepared)
        histograms = _histograms(load_model_with_shape_infer(prepared), samples)
        best, least = None, float("inf")
        for covered in _COVERED:
            ranges = {name: histogram.range(covered) for name, histogram in histograms.items()}
            # Loaded anew, because the quantizer works in place.
            candidate = _quantize(load_model_with_shape_infer(prepared), ranges)
            noise = _noise(onnx.load(prepared), candidate, samples)
            if noise < least:
                best, least = candidate, noise
    if best is None:
        raise UnsupportedModelError(
            "onnx/int8: the scores of the quantized model are not finite numbers", remedy="Use float16."
        )
    return best


def _prepare(plain: Path, prepared: Path) -> None:
    """Write a model with the shapes of its tensors and optimized, as the quantizer wants it.

    ONNX Runtime finds shapes symbolically, which knows dynamic ones best but raises whatever an operator that it does
    not know leads to (ONNX Runtime 1.31: a TypeError after a reduction other than sum and mean). ONNX's own inference
    is enough then: what it finds no type for would stay float.
    """
    from onnxruntime.quantization.shape_inference import quant_pre_process

    failed: Exception | None = None
    for skip in (False, True):
        try:
            with chdir(prepared.parent):  # ONNX Runtime leaves sym_shape_infer_temp.onnx where it is when it gives up
                quant_pre_process(plain, prepared, skip_symbolic_shape=skip)
        except Exception as error:  # noqa: BLE001 - without a common base, see above
            failed = failed or error
        else:
            return
    assert failed is not None
    raise UnsupportedModelError(
        f"onnx/int8: ONNX Runtime cannot prepare the model: {type(failed).__name__}: {str(failed)[:300]}",
        remedy="Use float16 or float32, or choose another format.",
    ) from failed


def _quantize(model: Any, ranges: Mapping[str, Range]) -> Any:
    import numpy as np
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    data = {name: tuple(np.array(end, np.float32) for end in ends) for name, ends in ranges.items()}
    quantizer = QDQQuantizer(
        model,
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=TensorsData(CalibrationMethod.MinMax, data),
        nodes_to_quantize=[],
        nodes_to_exclude=[node.name for node in _last_nodes(model) if node.op_type in _SQUASHING],
        op_types_to_quantize=sorted({*QDQRegistry, *QLinearOpsRegistry}),
        extra_options={},
    )
    quantizer.quantize_model()
    return quantizer.model.model


class _Histogram:
    """How the values of one tensor are spread, collected in two passes over the same batches."""

    def __init__(self) -> None:
        self._low, self._high = float("inf"), float("-inf")
        self._counts: npt.NDArray[np.int64] | None = None

    def see(self, values: Array) -> None:
        """First pass: the range of all values."""
        finite = _finite(values)
        if finite.size:
            self._low, self._high = min(self._low, float(finite.min())), max(self._high, float(finite.max()))

    def add(self, values: Array) -> None:
        """Second pass: count values by bin."""
        import numpy as np

        width = (self._high - self._low) / _BINS
        if width > 0:
            bins = ((_finite(values).ravel() - self._low) / width).astype(np.int64)
            counts = np.bincount(np.minimum(bins, _BINS - 1), minlength=_BINS)
            self._counts = counts if self._counts is None else self._counts + counts

    def range(self, covered: float) -> Range:
        """The range that covers a share of all values; zero is added by the quantizer."""
        import numpy as np

        if self._low > self._high:  # no finite value was seen
            return 0.0, 0.0
        if covered >= 1 or self._counts is None:
            return self._low, self._high
        below = np.cumsum(self._counts)
        outside = (1 - covered) / 2 * below[-1]
        first, last = np.searchsorted(below, [outside, below[-1] - outside], side="left")
        width = (self._high - self._low) / _BINS
        return self._low + float(first) * width, min(self._low + float(last + 1) * width, self._high)


def _finite(values: Array) -> Array:
    """Masks of attention are -inf in some models; a range cannot hold them, and saturates instead."""
    import numpy as np

    return values if np.isfinite(values).all() else values[np.isfinite(values)]


def _histograms(model: Any, samples: Samples) -> dict[str, _Histogram]:
    """Of every float tensor that is computed from the inputs, and of the inputs."""
    found = {name: _Histogram() for name in _float_tensors(model)}
    inputs = {value.name for value in model.graph.input}
    session = _session(_with_outputs(model, [name for name in found if name not in inputs]), optimize=False)
    for collect in (_Histogram.see, _Histogram.add):
        for batch in samples():
            for name, values in {**batch, **_run(session, batch)}.items():
                if name in found:
                    collect(found[name], values)
    return found


def _float_tensors(model: Any) -> list[str]:
    from onnx import TensorProto

    graph = model.graph
    typed = {
        value.name
        for value in (*graph.input, *graph.output, *graph.value_info)
        if value.type.tensor_type.elem_type == TensorProto.FLOAT
    }
    computed = [value.name for value in graph.input] + [name for node in graph.node for name in node.output]
    return [name for name in dict.fromkeys(computed) if name in typed]


def _noise(model: Any, quantized: Any, samples: Samples) -> float:
    """Noise of the scores as a share of the signal (see above), summed over the outputs; infinite if not finite."""
    import numpy as np

    pairs = list(zip(_scores(model), _scores(quantized), strict=True))
    reference = _session(_with_outputs(model, [ours for ours, _ in pairs]))
    trial = _session(_with_outputs(quantized, [theirs for _, theirs in pairs]))
    total, count = 0.0, 0
    for batch in samples():
        wanted, found = _run(reference, batch), _run(trial, batch)
        count += len(next(iter(batch.values())))
        for ours, theirs in pairs:
            exact, noisy = (_by_sample(values) for values in (wanted[ours], found[theirs]))
            if not np.isfinite(noisy).all():
                return float("inf")
            noise, signal = np.square(exact - noisy).sum(axis=1), np.square(exact).sum(axis=1)
            total += float(np.minimum(noise / np.maximum(signal, np.finfo(np.float32).tiny), 1.0).sum())
    return total / count


def _by_sample(values: Array) -> Array:
    import numpy as np

    return values.reshape(len(values), -1).astype(np.float64)


def _last_nodes(model: Any) -> Iterator[Any]:
    """The nodes that give the outputs of a model, in the order of the outputs."""
    makers = {name: node for node in model.graph.node for name in node.output}
    return (makers[value.name] for value in model.graph.output if value.name in makers)


def _scores(model: Any) -> list[str]:
    """The tensors in which a model is judged: its outputs, before they are squashed."""
    makers = {name: node for node in model.graph.node for name in node.output}
    last = [(value.name, makers.get(value.name)) for value in model.graph.output]
    return [node.input[0] if node is not None and node.op_type in _SQUASHING else name for name, node in last]


def _with_outputs(model: Any, names: list[str]) -> Any:
    """A copy of a model that also gives inner tensors (float32)."""
    import onnx

    result = onnx.ModelProto()
    result.CopyFrom(model)
    there = {value.name for value in result.graph.output}
    for name in dict.fromkeys(names):
        if name not in there:
            result.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    return result


def _session(model: Any, *, optimize: bool = True) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of every output without a shape
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _run(session: Any, batch: Mapping[str, Array]) -> dict[str, Array]:
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(batch)), strict=True))
