"""The table of ops that the TF.js writer may write: each op, with awkward attributes, in every backend that there is.

In Node as our runtimes run files; in a real Chromium output by output, so that a failure names its op. Results are held
against TensorFlow's.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from tests import browser
from tfjs_cases import GRAPHS, Case, op_of
from tfjs_graphs import frozen

from edgeship.artifact import hash_files
from edgeship.errors import UnsupportedModelError
from edgeship.types import Array, Artifact
from edgeship_benchmarks import node
from edgeship_converters.lowering.rules import TFJS, Rule, lowered
from edgeship_converters.tfjs.advice import notes
from edgeship_converters.tfjs.ir import Graph
from edgeship_converters.tfjs.ops import BACKENDS, OPS
from edgeship_converters.tfjs.optimize import optimize
from edgeship_converters.tfjs.read import read
from edgeship_converters.tfjs.write import write

#: Largest difference, as a share of the value where that is above 1. GPUs compute sines and the like to fewer digits.
LIMITS = {"wasm": 2e-5, "cpu": 2e-5, "webgl": 2e-4, "webgpu": 2e-4}
WEB = Path(browser.__file__).with_name("web")
#: Backends on a GPU compute what is small on the CPU; here only what is smaller than our data, such as shapes.
PAGE = "/web/tfjs_ops.html?tfjsflags=WEBGPU_CPU_HANDOFF_SIZE_THRESHOLD:12,CPU_HANDOFF_SIZE_THRESHOLD:12"


class Exported(NamedTuple):
    """A graph of `GRAPHS` as a file, what TensorFlow computes, and the ops on the way to each output."""

    artifact: Artifact
    expected: Mapping[str, Array]
    ops: Mapping[str, frozenset[str]]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    return {name: _export(case, tmp_path_factory.mktemp("models") / name) for name, case in GRAPHS.items()}


def _export(case: Case, folder: Path, rules: Mapping[str, Rule] = TFJS) -> Exported:
    folder.mkdir()
    given = frozen(case.function, **case.specs())
    graph = optimize(read(lowered(given, rules)))
    files = write(graph, "float32", folder, {"tensorflow": tf.__version__, "edgeship": "0"})
    artifact = Artifact(folder, "tfjs", "float32", hash_files(folder, files), given.inputs, given.outputs, "0" * 64)
    results = given.function()(*(tf.constant(case.feeds[spec.name]) for spec in given.inputs))
    expected = {spec.name: np.asarray(value) for spec, value in zip(given.outputs, results, strict=True)}
    return Exported(artifact, expected, {output: _needed(graph, output) for output in graph.outputs})


def _needed(graph: Graph, output: str) -> frozenset[str]:
    waiting, seen = [graph.outputs[output]], set()
    while waiting:
        name = waiting.pop().partition(":")[0]
        if name in graph.nodes and name not in seen:
            seen.add(name)
            waiting += graph.nodes[name].inputs
    return frozenset(graph.nodes[name].op for name in seen)


def _wrong(found: Array, wanted: Array, limit: float) -> str:
    """What is wrong with an output; empty if nothing is. TF.js has no numbers but float32, int32 and bool."""
    kind = {"f": "float32", "b": "bool"}.get(wanted.dtype.kind, "int32")
    if found.dtype.name != kind or found.shape != wanted.shape:
        return f"{found.dtype} {found.shape} instead of {kind} {wanted.shape}"
    a, b = found.astype(np.float64), wanted.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0, np.abs(a - b) / np.maximum(1, np.abs(b)))
    return "" if (apart <= limit).all() else f"off by {np.nanmax(apart):.2g}: {found.flat[:4]} {wanted.flat[:4]}"


class Answers(NamedTuple):
    """What a backend gives, by graph and output, and the names of all its kernels."""

    backend: str
    found: Mapping[str, Mapping[str, Any]]
    kernels: frozenset[str]


@pytest.fixture(scope="module")
def packages() -> Path:
    if node.missing():
        pytest.skip(f"needs {', '.join(node.missing())}: {node.REMEDY}")
    return node.packages_folder()


@pytest.fixture(scope="module")
def page(exported: Mapping[str, Exported], packages: Path) -> Iterator[Any]:
    if browser.missing():
        pytest.skip(f"needs {browser.missing()}")
    folders = {name: found.artifact.path for name, found in exported.items()}
    with browser.page({**folders, "packages": packages / "node_modules", "web": WEB}, PAGE) as found:
        yield found


@pytest.fixture(scope="module", params=BACKENDS)
def answers(request: pytest.FixtureRequest, packages: Path, exported: Mapping[str, Exported]) -> Answers:
    runs = {
        name: ({feed: _sent(values) for feed, values in GRAPHS[name].feeds.items()}, [*graph.expected])
        for name, graph in exported.items()
    }
    if request.param in ("wasm", "cpu"):
        folders = {name: (str(exported[name].artifact.path), *asked) for name, asked in runs.items()}
        return _in_node(request.param, packages, folders)
    return _in_browser(request.param, request.getfixturevalue("page"), runs)


def _in_node(backend: str, packages: Path, runs: Mapping[str, Any]) -> Answers:
    command = [str(node.executable()), str(WEB / "tfjs_ops_node.mjs"), str(packages), backend]
    asked = json.dumps({"runs": runs})
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=300, check=True)
    answer = json.loads(done.stdout)
    assert answer["started"]
    return Answers(backend, answer["found"], frozenset(answer["kernels"]))


def _in_browser(backend: str, page: Any, runs: Mapping[str, Any]) -> Answers:
    if not page.evaluate("backend => start(backend)", backend):
        pytest.skip(f"needs a Chromium that starts {backend}")
    run = "asked => runModel(...asked)"
    found = {name: page.evaluate(run, [f"/{name}/model.json", *asked]) for name, asked in runs.items()}
    return Answers(backend, found, frozenset(page.evaluate("backend => kernelsOf(backend)", backend)))


def _sent(array: Array) -> dict[str, Any]:
    return {"shape": array.shape, "dtype": array.dtype.name, "data": base64.b64encode(array.tobytes()).decode()}


def _received(answer: Mapping[str, Any]) -> Array:
    values: Array = np.frombuffer(base64.b64decode(answer["data"]), answer["dtype"])
    return values.reshape(answer["shape"]) if values.size == np.prod(answer["shape"]) else values


def test_every_op_computes_what_tensorflow_computes(answers: Answers, exported: Mapping[str, Exported]) -> None:
    wrong = {}
    for name, graph in exported.items():
        for output, wanted in graph.expected.items():
            answer = answers.found[name][output]
            why = answer.get("error") or _wrong(_received(answer), wanted, LIMITS[answers.backend])
            expected = name == "faults" and answers.backend in OPS[op_of(output)].faults
            if bool(why) != expected:
                wrong[name, output] = why or "right, although the table has a fault"
    assert wrong == {}


def test_tfjs_still_pads_less_than_nothing(packages: Path, tmp_path: Path) -> None:
    """When it does not, `lowering.convolution.within_volumes` and `lowering.rules.short_pool_in_planes` can go."""

    def function(volume: Any) -> dict[str, Any]:
        kernel = np.ones((2, 1, 2, 2, 4), np.float32)
        return {
            "Conv3D": tf.nn.conv3d(volume, kernel, [1, 1, 3, 2, 1], "SAME"),
            "AvgPool3D": tf.nn.avg_pool3d(volume, [1, 1, 2], [1, 3, 2], "SAME"),
        }

    feeds = {"volume": np.random.default_rng(0).random((2, 4, 5, 3, 2), np.float32)}
    given = _export(Case(function, feeds, {"volume": (None, 4, 5, 3, 2)}), tmp_path / "short", rules={})
    asked = ({name: _sent(values) for name, values in feeds.items()}, [*given.expected])
    answers = _in_node("cpu", packages, {"short": (str(given.artifact.path), *asked)}).found["short"]
    for name, wanted in given.expected.items():
        assert _wrong(_received(answers[name]), wanted, LIMITS["cpu"])


def test_the_kernels_of_the_table(answers: Answers, exported: Mapping[str, Exported]) -> None:
    """Each op calls the kernels that the table says, no others, and every backend has them."""
    lacking = {op: set(known.kernels) - answers.kernels for op, known in OPS.items()}
    assert {op: kernels for op, kernels in lacking.items() if kernels} == {}
    ran: dict[str, set[str]] = {op: set() for op in OPS}
    unknown = {}
    for name, graph in exported.items():
        for output, ops in graph.ops.items():
            kernels = {k for k in answers.found[name][output].get("kernels", ()) if not k.endswith("__op")}
            ran[op_of(output)] |= kernels
            others = kernels - {kernel for op in ops for kernel in OPS[op].kernels}
            if others:
                unknown[name, output] = others
    assert unknown == {}
    unused = {op: set(OPS[op].kernels) - kernels for op, kernels in ran.items()}
    assert {op: kernels for op, kernels in unused.items() if kernels} == {}


def test_no_op_is_listed_without_having_been_run(exported: Mapping[str, Exported]) -> None:
    """For floats, and where the table says so for integers and booleans."""
    outputs = [(output, ops) for graph in exported.values() for output, ops in graph.ops.items()]
    assert [(output, sorted(ops)) for output, ops in outputs if op_of(output) not in ops] == []
    assert {op_of(output) for output, _ in outputs} == set(OPS)
    for ending, listed in (
        ("int", {op for op, known in OPS.items() if known.integers}),
        ("bool", {op for op, known in OPS.items() if known.booleans}),
    ):
        assert listed <= {op_of(output) for output, _ in outputs if output.endswith(ending)}, ending


def test_a_file_says_where_it_is_not_right() -> None:
    def function(ids: Any) -> dict[str, Any]:
        turned, last = tf.transpose(ids, [0, 2, 1]), tf.reduce_sum(ids, 2)
        return {"turned": turned, "last": last, "first": tf.reduce_max(ids, 1, name="highest")}

    graph = optimize(read(frozen(function, ids=tf.TensorSpec((None, 3, 4), tf.int32))))
    (note,) = notes(graph)
    assert note.startswith("runs right on wasm, webgl, cpu; not on webgpu: Transpose of integers (turned): ")
    assert "Max of integers (first)" in note
    assert "Sum" not in note
    assert notes(optimize(read(frozen(tf.nn.relu, x=tf.TensorSpec((None, 3), tf.float32))))) == ()


def test_a_small_window_on_images_of_any_size_is_refused() -> None:
    def function(x: Any) -> Any:
        return tf.nn.conv2d(x, np.ones((1, 2, 3, 4), np.float32), (2, 1), "SAME")

    with pytest.raises(UnsupportedModelError, match="images or volumes of unknown size"):
        optimize(read(frozen(function, x=tf.TensorSpec((None, None, 8, 3), tf.float32))))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: tf.nn.conv3d(x, np.ones((1, 2, 1, 3, 4), np.float32), (1, 2, 1, 1, 1), "SAME"),
        lambda x: tf.nn.avg_pool3d(x, (1, 1, 2), (1, 2, 2), "SAME"),
    ],
)
def test_a_small_window_on_volumes_of_any_size_is_refused(function: Any) -> None:
    with pytest.raises(UnsupportedModelError, match="images or volumes of unknown size"):
        optimize(read(lowered(frozen(function, x=tf.TensorSpec((None, None, 8, 8, 3), tf.float32)), TFJS)))


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: tf.pad(tf.reshape(x, (-1, 2, 2, 2, 2)), [[0, 0]] * 4 + [[0, 1]]), "more than four axes"),
        (
            lambda x: tf.cast(tf.nn.depth_to_space(tf.cast(tf.reshape(x, (-1, 2, 2, 4)), tf.int32), 2), tf.float32),
            "int",
        ),
        (lambda x: tf.transpose(tf.reshape(x, (-1, 2, 2, 2, 2, 1, 1)), [6, 5, 4, 3, 2, 1, 0]), "more than 6 axes"),
        (lambda x: tf.gather(tf.reshape(x, (-1, 2, 8)), tf.cast(x[:, :2], tf.int32), batch_dims=1), "each sample"),
    ],
)
def test_what_a_backend_gets_wrong_and_nothing_helps_is_refused(function: Any, why: str) -> None:
    with pytest.raises(UnsupportedModelError, match=why):
        optimize(read(frozen(function, x=tf.TensorSpec((None, 16), tf.float32))))
