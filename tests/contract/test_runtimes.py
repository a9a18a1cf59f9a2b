"""One suite over every installed runtime: a new one is tested by being declared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from contract_models import Exported

from edgeship import plugins
from edgeship.contracts import Runtime
from edgeship.errors import ArtifactError, DataError, EdgeshipError, MissingPackageError
from edgeship.types import Artifact, FileEntry, Progress
from edgeship_benchmarks.runtimes.base import AgentRuntime


@pytest.fixture(params=plugins.names("runtimes"))
def runtime(request: pytest.FixtureRequest) -> Runtime:
    found = plugins.runtime(request.param)
    missing = found.missing()
    if missing:
        pytest.skip(f"{found.name} needs {', '.join(missing)}: {found.remedy}")
    return found


def damaged(artifact: Artifact, folder: Path, content: bytes) -> Artifact:
    """The artifact with other content in its entry file, honestly described."""
    for file in artifact.files:
        (folder / file.name).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes((artifact.path / file.name).read_bytes())
    (folder / artifact.files[0].name).write_bytes(content)
    entry = FileEntry(artifact.files[0].name, hashlib.sha256(content).hexdigest(), len(content))
    return replace(artifact, path=folder, files=(entry, *artifact.files[1:]))


def test_says_what_it_is(runtime: Runtime) -> None:
    assert runtime.name in plugins.names("runtimes")
    assert runtime.formats
    assert runtime.remedy
    assert runtime.sample_limit is None or runtime.sample_limit > 0


@pytest.mark.parametrize("model", ["single", "multi"])
def test_outputs_are_those_of_the_original(runtime: Runtime, exported: Mapping[str, Exported], model: str) -> None:
    case = exported[model]
    found = runtime.run(case.artifacts[runtime.formats[0]], case.inputs)
    assert list(found) == list(case.outputs)
    for name, expected in case.outputs.items():
        assert found[name].dtype == expected.dtype
        np.testing.assert_allclose(found[name], expected, atol=1e-5)


def test_a_sample_does_not_depend_on_its_neighbours(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    case = exported["single"]
    artifact = case.artifacts[runtime.formats[0]]
    turned = {name: array[::-1] for name, array in case.inputs.items()}
    forward, backward = runtime.run(artifact, case.inputs), runtime.run(artifact, turned)
    one = runtime.run(artifact, {name: array[:1] for name, array in case.inputs.items()})
    for name in case.outputs:
        np.testing.assert_allclose(backward[name][::-1], forward[name], atol=1e-6)
        np.testing.assert_allclose(one[name], forward[name][:1], atol=1e-6)


def test_inputs_are_matched_by_name(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    case = exported["multi"]
    swapped = dict(reversed(case.inputs.items()))
    found = runtime.run(case.artifacts[runtime.formats[0]], swapped)
    np.testing.assert_allclose(found["apple"], case.outputs["apple"], atol=1e-6)


def test_inputs_are_not_changed(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    case = exported["single"]
    before = {name: array.copy() for name, array in case.inputs.items()}
    runtime.run(case.artifacts[runtime.formats[0]], case.inputs)
    for name, array in case.inputs.items():
        np.testing.assert_array_equal(array, before[name])


def test_specs_are_those_of_the_file(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    artifact = exported["multi"].artifacts[runtime.formats[0]]
    inputs, outputs = runtime.specs(replace(artifact, inputs=(), outputs=()))
    assert {s.name: (s.shape[1:], s.dtype) for s in inputs} == {s.name: (s.shape[1:], s.dtype) for s in artifact.inputs}
    assert {s.name for s in outputs} == {s.name for s in artifact.outputs}


def test_a_file_without_sidecar_runs(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    case = exported["single"]
    foreign = replace(case.artifacts[runtime.formats[0]], inputs=(), outputs=())
    (found,) = runtime.run(foreign, case.inputs).values()
    np.testing.assert_allclose(found, *case.outputs.values(), atol=1e-5)


def test_a_sidecar_that_names_other_outputs_is_refused(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    case = exported["multi"]
    artifact = case.artifacts[runtime.formats[0]]
    renamed = tuple(replace(s, name=f"other_{s.name}") for s in artifact.outputs)
    with pytest.raises(ArtifactError, match="its sidecar says"):
        runtime.run(replace(artifact, outputs=renamed), case.inputs)


@pytest.mark.parametrize("content", [b"", b"hello\n" * 50, b"{}"])
def test_a_broken_file_is_a_typed_error(
    runtime: Runtime, exported: Mapping[str, Exported], tmp_path: Path, content: bytes
) -> None:
    case = exported["single"]
    with pytest.raises(ArtifactError):
        runtime.run(damaged(case.artifacts[runtime.formats[0]], tmp_path, content), case.inputs)


def test_a_truncated_file_is_a_typed_error(runtime: Runtime, exported: Mapping[str, Exported], tmp_path: Path) -> None:
    case = exported["single"]
    artifact = case.artifacts[runtime.formats[0]]
    content = artifact.entry.read_bytes()
    with pytest.raises(EdgeshipError):
        runtime.run(damaged(artifact, tmp_path, content[: len(content) // 2]), case.inputs)


def test_inputs_of_the_wrong_shape_or_count(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    single = exported["single"].artifacts[runtime.formats[0]]
    with pytest.raises(DataError, match="image"):
        runtime.run(single, {"image": np.zeros((2, 9, 8, 1), np.float32)})
    multi = exported["multi"].artifacts[runtime.formats[0]]
    with pytest.raises(DataError):
        runtime.run(multi, {"left": np.zeros((2, 4), np.float32)})
    with pytest.raises(DataError):
        runtime.run(multi, {"left": np.zeros((2, 4), np.float32), "right": np.zeros((3, 4), np.float32)})


def test_progress(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    case = exported["single"]
    many = {name: np.repeat(array, 30, axis=0) for name, array in case.inputs.items()}
    events: list[Progress] = []
    runtime.run(case.artifacts[runtime.formats[0]], many, events.append)
    assert all(e.stage == "run" and 0 < e.done <= 210 and e.total == 210 for e in events)


def test_a_runtime_whose_packages_are_missing_says_how_to_get_them(
    runtime: Runtime, exported: Mapping[str, Exported], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(runtime, AgentRuntime):
        pytest.skip("not one of ours")
    monkeypatch.setattr(runtime, "missing", lambda: ["something"])
    case = exported["single"]
    with pytest.raises(MissingPackageError, match=f"{runtime.name} needs something") as caught:
        runtime.run(case.artifacts[runtime.formats[0]], case.inputs)
    assert runtime.remedy in caught.value.remedy


def test_sessions_load_tensorflow_only_to_run_a_file_of_its(runtime: Runtime, exported: Mapping[str, Exported]) -> None:
    assert isinstance(runtime, AgentRuntime)
    case = exported["single"]
    with runtime.open_session(case.artifacts[runtime.formats[0]]) as session:
        session.run(case.inputs)
        loaded = "yes" if "tensorflow" in runtime.versions() else "no"
        assert session.describe().get("tensorflow_loaded", "no") == loaded
