"""Float .tflite files as sources of conversions."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as tfl
from ai_edge_litert.interpreter import Interpreter
from tests import tiny_tflite

from edgeship.errors import MissingPackageError, SourceError, UnsupportedModelError
from edgeship.source.tflite import inspect_tflite
from edgeship.types import Array, Artifact, ConvertOptions, Dataset, Source
from edgeship_converters.graph.frozen import freeze
from edgeship_converters.onnx import ONNXConverter
from edgeship_converters.tfjs import TFJSConverter
from edgeship_converters.tflite import TFLiteConverter

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
TOLERANCE = {"float32": 1e-6, "float16": 1e-3, "dynamic": 0.03, "int8": 0.03, "int16x8": 0.01}
TOLERANCE["mixed"] = TOLERANCE["int8"]
TOLERANCE |= {f"{name}-floatio": TOLERANCE[name] for name in ("int8", "int16x8")}


def source_of(content: bytes, folder: Path) -> Source:
    path = folder / "given.tflite"
    path.write_bytes(content)
    return inspect_tflite(path)


def changed(change: Callable[[Any], None]) -> bytes:
    model = tfl.ModelT.InitFromPackedBuf(tiny_tflite.model_bytes(), 0)
    change(model)
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def options(source: Source, folder: Path) -> ConvertOptions:
    place = folder / "calibration" / "x"
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "x.npy", X)
    dataset = Dataset(folder, "tiny", "0" * 64, "unlabelled", source.inputs, {"calibration": len(X)})
    return ConvertOptions(calibration=dataset, labels=("a", "b", "c"))


def to_tflite(source: Source, variant: str, folder: Path) -> Artifact:
    out = folder / "out" / variant
    out.mkdir(parents=True, exist_ok=True)
    return TFLiteConverter().convert(source, variant, options(source, folder), out)


def run(artifact: Artifact, x: Array) -> Array:
    """Through the signature, in real numbers."""
    runner = Interpreter(model_path=str(artifact.entry)).get_signature_runner("serving_default")
    (given,), (result,) = artifact.inputs, artifact.outputs
    rows = []
    for row in x:
        value = row[None]
        if given.quantization is not None:
            limits = np.iinfo(given.dtype)
            stored = np.round(value / given.quantization.scale) + given.quantization.zero_point
            value = np.clip(stored, limits.min, limits.max).astype(given.dtype)
        found = runner(**{given.name: value})[result.name]
        if result.quantization is not None:
            found = (found.astype(np.float32) - result.quantization.zero_point) * result.quantization.scale
        rows.append(found)
    return np.concatenate(rows)


@pytest.mark.parametrize("variant", TOLERANCE)
def test_every_precision_computes_the_same(tmp_path: Path, variant: str) -> None:
    source = source_of(tiny_tflite.model_bytes(), tmp_path)
    artifact = to_tflite(source, variant, tmp_path)
    np.testing.assert_allclose(run(artifact, X), tiny_tflite.expected(X), rtol=0, atol=TOLERANCE[variant])
    assert ([i.name for i in artifact.inputs], [o.name for o in artifact.outputs]) == (["x"], ["probabilities"])
    integer = {"int8": "int8", "int16x8": "int16"}.get(variant, "float32")
    assert [s.dtype for s in (*artifact.inputs, *artifact.outputs)] == [integer, integer]
    assert (artifact.labels, artifact.source_sha256) == (("a", "b", "c"), source.sha256)
    assert to_tflite(source, variant, tmp_path / "again").files == artifact.files


@pytest.mark.parametrize("variant", ["float32", "float16", "dynamic", "int8", "mixed"])
def test_weights_in_half_precision_are_weights(tmp_path: Path, variant: str) -> None:
    halves = to_tflite(source_of(tiny_tflite.model_bytes(), tmp_path), "float16", tmp_path).entry.read_bytes()
    artifact = to_tflite(source_of(halves, tmp_path), variant, tmp_path / "again")
    np.testing.assert_allclose(run(artifact, X), tiny_tflite.expected(X), rtol=0, atol=TOLERANCE[variant] + 1e-3)
    details = Interpreter(model_path=str(artifact.entry)).get_tensor_details()
    found = {d["dtype"] for d in details if list(d["shape"]) == [3, 4]}
    wanted = {"float32": np.float32, "float16": np.float16}.get(variant, np.int8)
    assert wanted in found
    assert np.float16 not in found or variant != "float32"


def test_every_variant_is_made_or_refused() -> None:
    """12 weights are too few for variants that store them in less than 8 bits."""
    assert set(TFLiteConverter.variants) - set(TOLERANCE) == {"int4", "int4-mixed"}


@pytest.mark.parametrize("variant", ["int4", "int4-mixed"])
def test_too_few_weights_for_four_bits(tmp_path: Path, variant: str) -> None:
    with pytest.raises(UnsupportedModelError, match="no weights that can be made smaller"):
        to_tflite(source_of(tiny_tflite.model_bytes(), tmp_path), variant, tmp_path)


def test_a_file_with_the_right_signature_is_delivered_as_it_is(tmp_path: Path) -> None:
    signed = to_tflite(source_of(tiny_tflite.model_bytes(), tmp_path), "float32", tmp_path).entry.read_bytes()
    assert signed != tiny_tflite.model_bytes()
    again = to_tflite(source_of(signed, tmp_path), "float32", tmp_path / "again")
    assert again.entry.read_bytes() == signed
    assert set(again.made_by) == {"edgeship", "ai-edge-litert", "flatbuffers"}


def test_a_signature_of_another_name_is_replaced(tmp_path: Path) -> None:
    signed = to_tflite(source_of(tiny_tflite.model_bytes(), tmp_path), "float32", tmp_path).entry.read_bytes()
    model = tfl.ModelT.InitFromPackedBuf(signed, 0)
    model.signatureDefs[0].signatureKey = b"infer"
    model.signatureDefs[0].inputs[0].name = b"the image"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    artifact = to_tflite(source_of(bytes(builder.Output()), tmp_path), "float32", tmp_path / "again")
    assert artifact.inputs[0].name == "the_image"
    np.testing.assert_allclose(run(artifact, X), tiny_tflite.expected(X), atol=1e-6)


@pytest.mark.parametrize("variant", ["float16", "dynamic", "int8"])
def test_operators_of_old_files_are_quantized_too(tmp_path: Path, variant: str) -> None:
    def age(model: Any) -> None:
        for code in model.operatorCodes:
            code.builtinCode = 0

    artifact = to_tflite(source_of(changed(age), tmp_path), variant, tmp_path)
    details = Interpreter(model_path=str(artifact.entry)).get_tensor_details()
    weights = next(d for d in details if list(d["shape"]) == [3, 4])
    assert weights["dtype"] == (np.float16 if variant == "float16" else np.int8)
    np.testing.assert_allclose(run(artifact, X), tiny_tflite.expected(X), rtol=0, atol=TOLERANCE[variant])


@pytest.mark.parametrize("variant", ["int8", "dynamic"])
def test_tensors_of_one_name_are_told_apart(tmp_path: Path, variant: str) -> None:
    content = tiny_tflite.model_bytes(names=("x", "same", "same", "same", "probabilities"))
    artifact = to_tflite(source_of(content, tmp_path), variant, tmp_path)
    np.testing.assert_allclose(run(artifact, X), tiny_tflite.expected(X), rtol=0, atol=TOLERANCE[variant])


@pytest.mark.parametrize(("variant", "tolerance"), [("int16x8", 1e-3), ("int8", 0.01)])
def test_biases_are_not_cut_off_at_32_bits(tmp_path: Path, variant: str, tolerance: float) -> None:
    """Their unit is that of the weights, here 1e-7 times as large: 0.3 is more than 2**31 of them."""
    source = source_of(tiny_tflite.model_bytes(weights=tiny_tflite.WEIGHTS * np.float32(1e-7)), tmp_path)
    scores = np.exp(tiny_tflite.BIAS)
    wanted = np.tile(scores / scores.sum(), (4, 1))
    found = run(to_tflite(source, variant, tmp_path), X[:4])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
    assert np.ptp(wanted) > 0.1


def test_an_operator_that_stays_float_is_named(tmp_path: Path) -> None:
    def exponential(model: Any) -> None:
        model.operatorCodes[1].builtinCode = model.operatorCodes[1].deprecatedBuiltinCode = tfl.BuiltinOperator.EXP
        operator = model.subgraphs[0].operators[1]
        operator.builtinOptionsType, operator.builtinOptions = tfl.BuiltinOptions.ExpOptions, tfl.ExpOptionsT()

    source = source_of(changed(exponential), tmp_path)
    with pytest.raises(UnsupportedModelError, match="EXP"):
        to_tflite(source, "int8", tmp_path)
    assert not list((tmp_path / "out" / "int8").iterdir())
    assert to_tflite(source, "dynamic", tmp_path).size_bytes > 0


@pytest.mark.parametrize("variant", ["float16", "dynamic"])
def test_a_file_in_which_nothing_gets_smaller_is_an_error(tmp_path: Path, variant: str) -> None:
    def only_softmax(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.operators = graph.operators[1:]
        graph.operators[0].inputs = [0]
        graph.tensors[4].shape = [1, 4]

    source = source_of(changed(only_softmax), tmp_path)
    with pytest.raises(UnsupportedModelError, match="no weights that can be made smaller"):
        to_tflite(source, variant, tmp_path)


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    source = source_of(tiny_tflite.model_bytes(), tmp_path)
    source.path.write_bytes(tiny_tflite.model_bytes(weights=-tiny_tflite.WEIGHTS))
    with pytest.raises(SourceError, match="has changed since it was looked at"):
        to_tflite(source, "float32", tmp_path)


def test_the_quantizer_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(tiny_tflite.model_bytes(), tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert to_tflite(source, "float32", tmp_path).size_bytes > 0
    with pytest.raises(MissingPackageError, match="ai-edge-quantizer") as caught:
        to_tflite(source, "dynamic", tmp_path)
    assert "pip install" in caught.value.remedy


def test_a_graph_is_made_by_way_of_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(tiny_tflite.model_bytes(), tmp_path)
    frozen = freeze(source, static_batch=None, fake_quant=False)
    assert (frozen.inputs, frozen.outputs) == (source.inputs, source.outputs)
    call = frozen.function()
    found = np.concatenate([call(tf.constant(row[None]))[0] for row in X])
    np.testing.assert_allclose(found, tiny_tflite.expected(X), rtol=0, atol=1e-6)
    made = TFJSConverter().convert(source, "float32", ConvertOptions(), tmp_path)
    assert [spec.name for spec in (*made.inputs, *made.outputs)] == ["x", "probabilities"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingPackageError, match="needs tf2onnx"):
        freeze(replace(source, code_sha256=None), static_batch=None, fake_quant=False)  # its graph is not remembered


@pytest.mark.parametrize(("variant", "tolerance"), [("float32", 1e-6), ("float16", 2e-3), ("int8", 0.03)])
def test_onnx_computes_the_same(tmp_path: Path, variant: str, tolerance: float) -> None:
    names = ("x", "a;b;same", "c;same", "same", "probabilities")
    source = source_of(tiny_tflite.model_bytes(names=names), tmp_path)
    made = []
    for place in (tmp_path / "a", tmp_path / "b"):
        place.mkdir()
        made.append(ONNXConverter().convert(source, variant, options(source, tmp_path), place))
    assert made[0].files == made[1].files
    session = onnxruntime.InferenceSession(str(made[0].entry))
    found = np.concatenate([session.run(["probabilities"], {"x": row[None]})[0] for row in X])
    np.testing.assert_allclose(found, tiny_tflite.expected(X), rtol=0, atol=tolerance)
    graph = onnx.load(made[0].entry).graph
    assert [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == [1, 4]
    assert not any(";" in node.name for node in graph.node)


def test_an_operator_that_tf2onnx_does_not_know_is_named(tmp_path: Path) -> None:
    def unknown(model: Any) -> None:
        code = model.operatorCodes[1]
        code.builtinCode = code.deprecatedBuiltinCode = tfl.BuiltinOperator.HASHTABLE_LOOKUP

    source = source_of(tiny_tflite.model_bytes(), tmp_path)
    source.path.write_bytes(changed(unknown))  # LiteRT would not open it
    source = replace(source, sha256=_sha256(source.path))
    with pytest.raises(UnsupportedModelError, match="HASHTABLE_LOOKUP"):
        ONNXConverter().convert(source, "float32", ConvertOptions(), tmp_path)


def _sha256(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()
