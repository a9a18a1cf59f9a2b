"""Lower bounds and fits: what is counted, what is refused, and how wrong they are said to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests import tiny_tflite

from edgeship.artifact import read_artifact
from edgeship.errors import InputError, TargetUnavailable
from edgeship.inspection.description import Description, Op, Tensor
from edgeship.types import Estimate, Measurement, NotMeasured, Plan
from edgeship_benchmarks.estimation import boards, fit, work
from edgeship_benchmarks.estimation.bound import bound
from edgeship_benchmarks.estimation.work import Work
from edgeship_benchmarks.targets.estimated import EstimatedTarget
from edgeship_benchmarks.targets.local import LocalTarget


def _work(**given: object) -> Work:
    plain = Work(
        macs={"float32": 1e6}, depthwise_macs={}, weight_bytes=4000, activation_bytes=100.0, operators=3, batch=1
    )
    return replace(plain, **given)  # type: ignore[arg-type] # the fields of Work, by name


def _conv(tensors: dict[str, Tensor], *before: Op) -> Description:
    """One convolution of `x` with `w`, 3,600 multiplications, for a batch of two."""
    op = Op("c", "CONV_2D", "conv", ("x", "w"), ("y",), kernel="w", layout="OHWI", macs=3600)
    given = {
        "x": Tensor("x", (2, 10, 10, 2), "float32"),
        "y": Tensor("y", (2, 10, 10, 1), "float32"),
        "w": Tensor("w", (1, 3, 3, 2), "float32", 72, constant=True),
        **tensors,
    }
    from edgeship.types import TensorSpec

    return Description(
        "f.tflite",
        "tflite",
        {},
        1000,
        "",
        (TensorSpec("x", (2, 10, 10, 2), "float32"),),
        (),
        (*before, op),
        tuple(given.values()),
        18,
        3600,
    )


def test_work_is_that_of_one_sample() -> None:
    found = work.count(_conv({}))
    assert found.macs == {"float32": 1800.0}
    assert (found.batch, found.operators, found.weight_bytes) == (2, 1, 72)
    assert found.activation_bytes == 400.0


@pytest.mark.parametrize(
    ("stored", "arithmetic"), [("int8", "int8"), ("uint8", "int8"), ("int4", "int8"), ("float16", "float16")]
)
def test_the_arithmetic_is_that_of_the_stored_weights(stored: str, arithmetic: str) -> None:
    assert work.count(_conv({"w": Tensor("w", (1, 3, 3, 2), stored, 36, constant=True)})).macs == {arithmetic: 1800.0}


def test_tfjs_computes_in_floats_whatever_is_stored() -> None:
    made = _conv({"w": Tensor("w", (1, 3, 3, 2), "uint8", 18, constant=True)})
    assert work.count(replace(made, format="tfjs")).macs == {"float32": 1800.0}


def test_weights_are_looked_at_before_they_are_dequantized() -> None:
    widened = Op("d", "DEQUANTIZE", "dequantize", ("q",), ("w",))
    tensors = {"q": Tensor("q", (1, 3, 3, 2), "float16", 36, constant=True), "w": Tensor("w", (1, 3, 3, 2), "float32")}
    found = work.count(_conv(tensors, widened))
    assert found.macs == {"float16": 1800.0}
    assert (found.operators, found.activation_bytes) == (1, 400.0)  # widened once, when the file is loaded


def test_what_may_not_run_does_not_count() -> None:
    sparse = {"w": Tensor("w", (1, 3, 3, 2), "float32", 20, constant=True)}
    assert work.count(_conv(sparse)).all_macs == {}
    assert work.count(_conv(sparse)).uncounted == ("CONV_2D",)
    branch = Op("b", "CONV_2D", "conv", ("x", "w"), ("z",), macs=9_000_000, graph="then")
    assert work.count(_conv({}, branch)).all_macs == {"float32": 1800.0}


def test_the_bound_of_a_processor_and_of_its_memory() -> None:
    pi = boards.board("cortex-a72")
    one = bound(_work(), pi)
    assert one.at_least_ms == pytest.approx(1e6 / (4 * 1.8e9) * 1e3)
    assert bound(_work(), pi, threads=4).at_least_ms == pytest.approx(one.at_least_ms / 4)
    assert bound(_work(), pi, threads=99).at_least_ms == pytest.approx(one.at_least_ms / 4)
    assert "4 a cycle on one core of cortex-a72 at 1,800 MHz (Raspberry Pi 4 B)" in one.basis
    heavy = bound(_work(weight_bytes=(1 << 20) + 128_000_000), pi)
    assert heavy.at_least_ms == pytest.approx(10.0)
    assert heavy.basis.startswith("128 MB of weights beyond the caches of cortex-a72 at 12.8 GB/s")
    assert bound(_work(weight_bytes=1 << 20), pi) == one


def test_arithmetic_of_a_processor() -> None:
    half = _work(macs={"float16": 1e6})
    wide = bound(_work(), boards.board("cortex-a72")).at_least_ms
    assert bound(half, boards.board("cortex-a72")).at_least_ms == wide  # it has none of its own
    assert bound(half, boards.board("cortex-a76")).at_least_ms == pytest.approx(1e6 / (16 * 2.4e9) * 1e3)
    with pytest.raises(TargetUnavailable, match="does not compute in float32") as caught:
        bound(_work(), boards.board("edgetpu"))
    assert "int8" in caught.value.remedy
    with pytest.raises(TargetUnavailable, match="no multiplication"):
        bound(_work(macs={}), boards.board("cortex-a72"))


def test_addresses_of_boards() -> None:
    assert boards.board("cortex-m4@64").mhz == 64
    assert boards.board("cortex-m4").mhz == 180
    for wrong in ("pentium", "cortex-m4@", "cortex-m4@-1", "cortex-m4@1e3", "cortex-m4@99999", "cortex-m4@²"):
        with pytest.raises(InputError):
            boards.board(wrong)
    with pytest.raises(InputError, match="which processor"):
        EstimatedTarget("")


@pytest.mark.parametrize("name", sorted(boards.BOARDS))
def test_every_figure_has_a_source(name: str) -> None:
    made = boards.board(name)
    assert made.mhz > 0
    assert made.macs_per_second("int8")
    assert made.sources
    facts = EstimatedTarget(name).probe()
    assert facts.provenance == "estimated"
    assert made.sources[0] in facts.facts["sources"]


def test_rows_of_the_target(models: Path) -> None:
    single, onnx = read_artifact(models / "affine.tflite"), read_artifact(models / "affine.onnx")
    rows = EstimatedTarget("cortex-a72").measure([single, onnx], {}, Plan())
    for row in rows:
        assert isinstance(row, Estimate)
        assert row.at_least_ms == pytest.approx(6 / (4 * 1.8e9) * 1e3)
        assert row.device.provenance == "estimated"
    micro = EstimatedTarget("cortex-m7").measure([single, onnx], {}, Plan())
    assert isinstance(micro[0], Estimate)
    assert isinstance(micro[1], NotMeasured)
    assert "not onnx" in micro[1].reason


def test_no_inference_here_is_faster_than_the_bound_of_a_fast_processor(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(tiny_tflite.chain_bytes((64, 1024, 2048, 32)))
    artifact = read_artifact(tmp_path / "model.tflite")
    plan = Plan(min_runs=200, min_seconds=0.05, rounds=2)
    (found,) = LocalTarget().measure([artifact], {"x": np.ones((1, 64), np.float32)}, plan)
    (least,) = EstimatedTarget("zen5").measure([artifact], {}, plan)
    assert isinstance(found, Measurement)
    assert isinstance(least, Estimate)
    assert 0 < (least.at_least_ms or 0) < min(found.latency_ms)


def _measured(seed: int, noise: float, count: int = 12) -> list[tuple[Work, float]]:
    """Files whose latency is 0.02 ms, 0.002 ms an operator and 20 billion float MACs a second."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        made = _work(
            macs={"float32": float(rng.uniform(1e5, 1e8))},
            operators=int(rng.integers(3, 60)),
            weight_bytes=int(rng.integers(1e4, 1e6)),
        )
        ms = 0.02 + 0.002 * made.operators + made.macs["float32"] / 20e9 * 1e3
        found.append((made, ms * float(np.exp(noise * rng.normal()))))
    return found


def test_a_fit_finds_the_costs_that_are_there() -> None:
    found = fit.fit(_measured(0, 0.0))
    assert found.costs["float MACs"] == pytest.approx(1e3 / 20e9, rel=1e-6)
    assert found.costs["operators"] == pytest.approx(0.002, rel=1e-6)
    assert found.costs["inferences"] == pytest.approx(0.02, rel=1e-6)
    assert found.costs["int8 MACs"] == 0.0
    assert found.worst_error < 1e-6
    new = _work(macs={"float32": 3e7}, operators=20, weight_bytes=100_000)
    assert found.predict(new) == pytest.approx(0.02 + 0.04 + 1.5)
    assert "20 billion float MACs/s" in found.sentence()


def test_the_error_that_is_said_is_that_of_new_files() -> None:
    """Over many sets of files: the median leave-one-out error is about the median error of files never seen."""
    said, true = [], []
    for seed in range(20):
        found = fit.fit(_measured(seed, 0.1))
        said.append(found.median_error)
        others = [(w, ms) for w, ms in _measured(1000 + seed, 0.0, 40) if _inside(found, w)]
        true += [abs(found.predict(w) / ms - 1) for w, ms in others]
    assert 0.3 < float(np.median(true)) / float(np.median(said)) < 1.5


def _inside(found: fit.Fit, made: Work) -> bool:
    return all(low <= value <= high for value, (low, high) in zip(fit.terms(made), found.ranges.values(), strict=True))


def test_costs_are_never_negative() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, y = rng.uniform(0, 1, (9, 6)), rng.uniform(0.5, 1.5, 9)
        found = fit.costs(x, y)
        assert found.min() >= 0
        gradient = (x / y[:, None]).T @ (x @ found / y - 1)  # of a minimum under the constraint (Karush, Kuhn, Tucker)
        assert np.abs(gradient[found > 0]).max(initial=0) < 1e-8
        assert gradient[found == 0].min(initial=0) > -1e-8


def test_what_a_fit_refuses() -> None:
    measured = _measured(0, 0.0)
    with pytest.raises(InputError, match="5 measured files are too few") as few:
        fit.fit(measured[:5])
    assert "6 different files" in few.value.remedy
    found = fit.fit(measured)
    for outside in ({"operators": 500}, {"macs": {"float32": 1e9}}, {"macs": {"int8": 1e6, "float32": 1e6}}):
        with pytest.raises(InputError, match="lies outside of the 12"):
            found.predict(_work(**{"operators": 20, "weight_bytes": 100_000, **outside}))
    with pytest.raises(InputError, match="CUSTOM x"):
        fit.fit([*measured, (_work(uncounted=("CUSTOM x",)), 1.0)])


def test_the_table_of_the_documentation_says_what_the_code_says() -> None:
    page = (Path(__file__).parents[3] / "docs" / "estimates.md").read_text(encoding="utf-8")
    rows = [
        [cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines() if "| `estimated:" in line
    ]
    said = {row[0].removeprefix("estimated:"): row[1:5] for row in rows}
    assert said == {
        name: [
            made.title.partition(" (")[0].partition(",")[0],
            f"{made.mhz:g}",
            f"{made.macs_per_cycle['int8']:g}",
            f"{made.macs_per_cycle['float32']:g}" if "float32" in made.macs_per_cycle else "none",
        ]
        for name, made in boards.BOARDS.items()
    }
