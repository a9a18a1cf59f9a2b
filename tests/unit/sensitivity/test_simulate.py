"""The simulation computes what the float model does, and what the files do."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from tests.unit.compress import zoo

from edgeship import source as sources
from edgeship.compress.layers import snap
from edgeship.compress.quantize.aware import quantize_aware
from edgeship.errors import UnsupportedModelError
from edgeship.sensitivity.rounding import Precision, Rounding, activation_grid, rounded_kernel
from edgeship.sensitivity.simulate import Simulation
from edgeship.types import ConvertOptions, Dataset
from edgeship_converters.tflite import TFLiteConverter, selective

INT8, INT16X8, FLOAT32 = Precision(8, 8), Precision(8, 16), Precision(32, 16)
NETWORKS = ("two_inputs", "mobile", "unet", "signal", "autoencoder")


def inputs_of(model, count=32):
    random = np.random.default_rng(0)
    return [random.random((count, *tensor.shape[1:]), np.float32) for tensor in model.inputs]


def simulated(model, arrays):
    simulation = Simulation(model)
    simulation.calibrate([arrays])
    return simulation


def decibels(signal, error):
    return 10 * np.log10(np.square(signal).sum() / max(np.square(error).sum(), 1e-30))


def test_grid_of_activations_is_that_of_tensorflow() -> None:
    values = np.linspace(-4, 7, 301, dtype=np.float32)
    for low, high in ((-3.0, 5.0), (0.0, 6.0), (0.5, 2.0)):
        layer = Rounding()
        layer(values)
        assert np.array_equal(layer(values), values)
        layer.switch(activation_grid(low, high, 8))
        want = tf.quantization.fake_quant_with_min_max_vars(values, min(low, 0.0), high)
        step = (high - min(low, 0.0)) / 255
        # Halves may fall on either side.
        assert np.abs(layer(values) - want).max() <= 1.001 * step
        assert np.mean(np.abs(layer(values) - want) > 1e-5) < 0.02
    layer.switch(activation_grid(-3.0, 5.0, 16))
    inside = np.clip(values, -5.0, 5.0)
    assert np.abs(layer(inside) - inside).max() <= 5 / 32767 / 2 * 1.001
    layer.switch(None)
    assert np.array_equal(layer(values), values)


def test_kernels_of_eight_bits_are_those_of_quantization_aware_training() -> None:
    kernel = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype(np.float32)
    assert np.array_equal(rounded_kernel(kernel, (3,), 8), snap(kernel, (3,)))
    assert rounded_kernel(kernel, (3,), 32) is kernel
    four = rounded_kernel(kernel, (3,), 4)
    assert max(len(np.unique(four[..., channel])) for channel in range(5)) <= 15
    assert np.allclose(np.abs(four).max(axis=(0, 1, 2)), np.abs(kernel).max(axis=(0, 1, 2)))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_weight_and_every_rounding_has_one_owner(name: str) -> None:
    keras.utils.set_random_seed(0)  # with other weights a layer may be without effect on these few samples
    model = getattr(zoo, name)()
    arrays = inputs_of(model, 4)
    simulation = simulated(model, arrays)
    simulation.check(arrays)
    owned = [ref for unit in simulation.units for ref in (*unit.kernels, *unit.roundings)]
    assert len(owned) == len(set(owned))
    names = {unit.name for unit in simulation.units}
    layers = [la for la in model._flatten_layers(include_self=False) if la.weights and not hasattr(la, "layers")]
    # Batch normalization goes into the layer before it, where there is one.
    assert {la.name for la in layers if not isinstance(la, keras.layers.BatchNormalization)} <= names
    before = simulation.ends(arrays)[0][0]
    for unit in simulation.units:
        simulation.set({unit.name: INT8})
        # Input ranges of noise and the like may be as exact in 8 bits, a kernel is not.
        if unit.kernels:
            assert not np.array_equal(simulation.ends(arrays)[0][0], before), unit.name
        simulation.set({})
        assert np.array_equal(simulation.ends(arrays)[0][0], before), unit.name


def converted(model, arrays, precision, folder: Path) -> bytes:
    """The mixed file, calibrated on the arrays."""
    source = sources.inspect(sources.save_live(model, folder), (), False)
    calibration = folder / "data" / "calibration" / "x"
    calibration.mkdir(parents=True, exist_ok=True)
    for spec, array in zip(source.inputs, arrays, strict=True):
        np.save(calibration / f"{spec.name}.npy", array)
    np.save(calibration.parent / "y.npy", np.zeros(len(arrays[0]), np.int64))
    counts = {"calibration": len(arrays[0])}
    dataset = Dataset(folder / "data", "noise", "0" * 64, "classification", source.inputs, counts)
    options = ConvertOptions(calibration=dataset, precision=precision, correct_biases=False)
    with mock.patch.dict(selective._LIMITS, {8: (1e9, -1e9)}):  # else layers that are too coarse become floats
        artifact = TFLiteConverter().convert(source, "mixed", options, folder)
    return artifact.entry.read_bytes()


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("two_inputs", {}),
        ("two_inputs", {"concatenate": "int16x8", "scores": "float32", "subtract": "int16x8"}),
        ("mobile", {}),
        ("mobile", {"classes": "int16x8", "separable_conv2d": "float32", "image": "int16x8"}),
        ("unet", {"mask": "int16x8", "concatenate": "int16x8"}),
        ("autoencoder", {"frames": "int16x8", "dense": "int16x8", "dense_3": "float32"}),
    ],
)
def test_computes_what_the_file_computes(name: str, precision: dict[str, str], tmp_path: Path, litert) -> None:
    keras.backend.clear_session()  # the names of the layers begin anew
    model = getattr(zoo, name)()
    arrays = inputs_of(model)
    simulation = simulated(model, arrays)
    exact = simulation.ends(arrays)[0][0]
    words = {"int16x8": INT16X8, "float32": FLOAT32}
    simulation.set({u.name: INT8 for u in simulation.units} | {k: words[w] for k, w in precision.items()})
    expected = simulation.ends(arrays)[0][0]
    content = converted(model, arrays, precision, tmp_path)
    names = [tensor.name for tensor in model.inputs]
    found = next(iter(litert(content, dict(zip(names, arrays, strict=True))).values()))
    noise = decibels(exact, expected - exact)
    assert noise > 25
    assert decibels(exact, found - exact) == pytest.approx(noise, abs=3.0)
    assert decibels(exact, found - expected) > noise - 3


def test_sixteen_bits_everywhere_is_nearly_exact_in_both(tmp_path: Path, litert) -> None:
    keras.backend.clear_session()
    model = zoo.unet()
    arrays = inputs_of(model)
    simulation = simulated(model, arrays)
    precision = {unit.name: "int16x8" for unit in simulation.units}
    simulation.set(dict.fromkeys(precision, INT16X8))
    expected = simulation.ends(arrays)[0][0]
    found = next(iter(litert(converted(model, arrays, precision, tmp_path), {"image": arrays[0]}).values()))
    assert decibels(expected, found - expected) > 70


def test_pruning_looks_at_the_kernel_before_folding(healthy) -> None:
    simulation = Simulation(healthy)
    (kernel,) = simulation.kernels["middle"]
    pruned = kernel.at(Precision(sparsity=0.5))
    assert np.mean(pruned == 0) == 0.5
    assert np.abs(kernel.values[pruned == 0]).max() <= np.abs(kernel.values[pruned != 0]).min()
    networks = Simulation(zoo.mobile())
    depthwise = next(unit for unit in networks.units if unit.kind == "DepthwiseConv2D")
    assert all(kernel.unfolded is None for kernel in networks.kernels[depthwise.name])
    separable = next(unit for unit in networks.units if unit.kind == "SeparableConv2D")
    assert [kernel.unfolded is None for kernel in networks.kernels[separable.name]] == [True, False]


def test_refuses_what_it_does_not_understand(healthy) -> None:
    with pytest.raises(UnsupportedModelError, match="quantize-aware"):
        Simulation(quantize_aware(healthy))
    image = keras.Input((4,), name="in")
    model = keras.Model(image, keras.layers.LayerNormalization(name="norm")(image))
    with pytest.raises(UnsupportedModelError, match="norm"):
        Simulation(model)
