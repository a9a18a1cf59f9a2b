"""Residual branches that go: exactly as if they gave zeros."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import zoo
from keras import layers

import edgeship
from edgeship.compress.channels.blocks import branches, without
from edgeship.compress.graph.model import Step, build, read
from edgeship.errors import InputError


def silenced(graph, branch):
    """The graph with zeros on the branch."""
    (side,) = (ref for ref in branch.total.inputs if ref != branch.other)
    output = graph.refs().new(side.shape)
    zero = layers.Rescaling(0.0, name="silence")
    steps = []
    for step in graph.steps:
        if step is branch.total:
            steps.append(Step("silence", layers.Rescaling, zero.get_config(), (), (side,), (output,)))
            steps.append(step.reading({side: output}))
        else:
            steps.append(step)
    return graph.with_steps(steps)


def residual(blocks=3):
    """Identity shortcuts, a gate in the second branch, a projected shortcut beside the third."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.ReLU()(layers.Conv2D(8, 3, padding="same", name="stem")(image))
    for number in range(blocks):
        y = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", name=f"in{number}")(x)))
        if number == 1:
            gate = layers.Dense(8, "sigmoid", name="gate")(layers.GlobalAveragePooling2D(keepdims=True)(y))
            y = layers.Multiply()([y, gate])
        y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same", name=f"out{number}")(y))
        short = layers.Conv2D(8, 1, name="project")(x) if number == 2 else x
        x = layers.ReLU()(layers.Add(name=f"sum{number}")([y, short]))
    out = layers.Dense(4, "softmax", name="classes")(layers.GlobalAveragePooling2D()(x))
    return zoo._lively(keras.Model(image, out))


def test_what_goes_with_a_branch():
    found = {branch.name: [step.name for step in branch.steps] for branch in branches(read(residual()))}
    assert list(found) == ["sum0", "sum1", "sum2"]
    assert {"in1", "out1", "gate"} <= set(found["sum1"])
    assert {"in2", "out2"} <= set(found["sum2"])
    assert "project" not in found["sum2"]  # the cheaper side stays
    assert not any("stem" in names for names in found.values())


@pytest.mark.parametrize("number", range(3))
def test_it_is_as_if_the_branch_gave_zeros(number):
    graph = read(residual())
    branch = branches(graph)[number]
    given = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
    smaller = build(without(graph, branch))
    wanted = np.asarray(build(silenced(graph, branch))(given))
    np.testing.assert_allclose(np.asarray(smaller(given)), wanted, atol=1e-6)
    assert np.abs(wanted - np.asarray(build(graph)(given))).max() > 1e-4
    assert edgeship.macs(smaller) == edgeship.macs(build(graph)) - branch.macs


def _relus(graph):
    return [step.name for step in graph.steps if step.is_a(layers.ReLU, layers.Activation)]


def test_a_relu_that_would_follow_another_goes_too():
    graph = read(residual())
    first, _, projected = branches(graph)
    assert len(_relus(graph)) == 1 + 2 * 3
    assert len(_relus(without(graph, first))) == len(_relus(graph)) - 2  # within the branch, and after the sum
    assert len(_relus(without(graph, projected))) == len(_relus(graph)) - 1  # it follows the projection: it has work


@pytest.mark.parametrize(
    ("before", "after", "goes"),
    [
        (layers.Activation("relu"), layers.ReLU(), True),
        (layers.ReLU(6.0), layers.Activation("relu6"), True),
        (layers.Conv2D(8, 3, padding="same", activation="relu"), layers.ReLU(), True),
        (layers.ReLU(6.0), layers.ReLU(), False),
        (layers.ReLU(negative_slope=0.1), layers.ReLU(negative_slope=0.1), False),
        (layers.Activation("tanh"), layers.Activation("tanh"), False),
    ],
)
def test_only_a_relu_of_the_same_kind_is_idle(before, after, goes):
    image = keras.Input((8, 8, 8))
    x = before(image)
    x = after(layers.Add()([x, layers.Conv2D(8, 3, padding="same")(x)]))
    graph = read(zoo._lively(keras.Model(image, layers.GlobalAveragePooling2D()(x))))
    (branch,) = branches(graph)
    smaller = without(graph, branch)
    assert (after.name not in [step.name for step in smaller.steps]) is goes
    given = np.random.default_rng(0).normal(size=(3, 8, 8, 8)).astype("float32")
    wanted = np.asarray(build(silenced(graph, branch))(given))
    np.testing.assert_allclose(np.asarray(build(smaller)(given)), wanted, atol=1e-6)


def test_resnet8_is_exact_too(shared_data):
    graph = read(keras.saving.load_model(shared_data / "base" / "resnet8_cifar10_jpeg.keras"))
    given = [np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")]
    found = branches(graph)
    assert [round(branch.macs / 12_501_632, 2) for branch in found] == [0.38, 0.28, 0.28]
    for branch in found:
        wanted = np.asarray(build(silenced(graph, branch))(given))
        np.testing.assert_allclose(np.asarray(build(without(graph, branch))(given)), wanted, atol=1e-5)


def test_sums_that_are_no_residuals_stay():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="x")(image)
    inside = layers.Conv2D(4, 1, name="inside")(x)
    twice = layers.Add()([inside, inside])
    three = layers.Add()([twice, x, layers.Conv2D(4, 1)(x)])
    wide = layers.Add()([three, layers.GlobalAveragePooling2D(keepdims=True)(layers.Conv2D(4, 1)(x))])
    out = layers.Add(name="out")([wide, layers.Conv2D(4, 1)(wide)])  # makes the output
    assert branches(read(keras.Model(image, out))) == ()


def test_the_branch_that_is_missed_least_goes():
    model = residual()
    given = np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32")
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    norms[3].gamma.assign(np.full(8, 1e-4))  # the second branch gives next to nothing
    norms[3].beta.assign(np.zeros(8))
    wanted, before = np.asarray(model(given)), model.get_weights()

    def far(of):
        return float(np.square(np.asarray(of(given)) - wanted).mean())

    shorter = edgeship.prune_blocks(model, 1, far)
    names = {layer.name for layer in shorter.layers}
    assert not names & {"in1", "out1", "gate"}
    assert {"in0", "out0", "in2", "out2"} <= names
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    shortest = edgeship.prune_blocks(model, 3, far)
    assert not any(isinstance(layer, layers.Add) for layer in shortest.layers)
    assert shortest.output_names == model.output_names


def test_any_cost_may_decide():
    """The loss grows alike without each branch: the one goes that costs most, whatever a cost is."""
    model = residual()
    costs = {"in0": 1.0, "in1": 2.0, "in2": 4.0}

    def cost(of):
        return sum(costs.get(layer.name, 0.0) for layer in of.layers)

    def loss(of):
        return 1.0 if len(of.layers) < len(model.layers) else 0.0

    kept = {layer.name for layer in edgeship.prune_blocks(model, 1, loss, cost=cost).layers}
    assert {"in0", "in1"} <= kept
    assert "in2" not in kept
    costs.update(in2=-1.0)  # removing it would make the model slower
    assert "in1" not in {layer.name for layer in edgeship.prune_blocks(model, 1, loss, cost=cost).layers}
    with pytest.raises(InputError, match=r"cost of .* is nan"):
        edgeship.prune_blocks(model, 1, loss, cost=lambda _: float("nan"))


def test_wrong_use():
    model = residual(2)
    with pytest.raises(InputError, match="count is 0"):
        edgeship.prune_blocks(model, 0, lambda _: 0.0)
    with pytest.raises(InputError, match="no residual branch left after 2") as error:
        edgeship.prune_blocks(model, 3, lambda _: 0.0)
    assert "at most 2" in error.value.remedy
    with pytest.raises(InputError, match=r"loss of .* is nan"):
        edgeship.prune_blocks(model, 1, lambda _: float("nan"))
    plain = keras.Sequential([keras.Input((4,)), layers.Dense(8), layers.Dense(2)])
    with pytest.raises(InputError, match="no residual branch left after 0"):
        edgeship.prune_blocks(plain, 1, lambda _: 0.0)
