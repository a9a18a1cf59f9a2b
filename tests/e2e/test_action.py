"""The GitHub Action and the workflow of docs/ci.md: their scripts are taken out of the YAML and run by bash."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import EDGESHIP, Demo, Script

_ROOT = Path(__file__).parents[2]
_EXPRESSION = re.compile(r"\$\{\{\s*(inputs\.([\w-]+)|github\.action_path)\s*\}\}")


def action() -> dict[str, Any]:
    return yaml.safe_load((_ROOT / "action.yml").read_text())


def workflow_text() -> str:
    page = (_ROOT / "docs" / "ci.md").read_text()
    found = re.search(r"```yaml\n# file: model\.yml\n(.*?)```", page, re.DOTALL)
    assert found
    return found[1]


def workflow() -> list[dict[str, Any]]:
    return yaml.safe_load(workflow_text())["jobs"]["model"]["steps"]


@dataclass(frozen=True)
class Ran:
    code: int
    said: str
    outputs: dict[str, str]
    summary: str


class Runner:
    """A folder in which steps run one after the other as GitHub runs them, without its expressions."""

    def __init__(self, folder: Path, edgeship: Script) -> None:
        self.folder = folder
        path = f"{EDGESHIP.parent}{os.pathsep}{os.environ['PATH']}"
        self.env = {**edgeship.env, "PATH": path, "COLUMNS": "200"}
        self._files = {name: folder.parent / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}

    def bash(self, script: str, env: dict[str, str]) -> Ran:
        """As `shell: bash` of a composite action and of a workflow."""
        for file in self._files.values():
            file.write_text("")
        given = {**self.env, **env, **{name: str(file) for name, file in self._files.items()}}
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        done = subprocess.run(
            command, cwd=self.folder, env=given, capture_output=True, text=True, timeout=500, check=False
        )
        lines = (line.partition("=") for line in self._files["GITHUB_OUTPUT"].read_text().splitlines())
        outputs = {name: value for name, _, value in lines}
        return Ran(done.returncode, done.stdout + done.stderr, outputs, self._files["GITHUB_STEP_SUMMARY"].read_text())

    def use(self, given: dict[str, str]) -> Ran:
        """The action with these inputs: its last step, or the first one that fails."""
        inputs = {name: str(item.get("default", "")) for name, item in action()["inputs"].items()}
        assert set(given) <= set(inputs)
        ran = Ran(0, "", {}, "")
        for step in action()["runs"]["steps"]:
            env = {name: self._value(text, {**inputs, **given}) for name, text in step["env"].items()}
            ran = self.bash(step["run"], env)
            if ran.code:
                break
        return ran

    def _value(self, text: str, inputs: dict[str, str]) -> str:
        found = _EXPRESSION.fullmatch(text)
        assert found, f"{text!r} is no plain input"
        return inputs[found[2]] if found[2] else str(_ROOT)


@pytest.fixture
def runner(tmp_path: Path, edgeship: Script) -> Runner:
    work = tmp_path / "work"
    work.mkdir()
    return Runner(work, edgeship)


def scripts() -> list[str]:
    return [step["run"] for step in (*action()["runs"]["steps"], *workflow()) if "run" in step]


def test_no_expression_stands_in_a_script() -> None:
    assert len(scripts()) == 3
    assert not [script for script in scripts() if "${{" in script]
    assert all(step.get("shell") == "bash" for step in action()["runs"]["steps"])


def test_what_a_workflow_gives_are_inputs_of_the_action() -> None:
    used = [step for step in workflow() if step.get("uses", "").startswith("your-organization/edgeship@")]
    assert len(used) == 2
    for step in used:
        assert set(step["with"]) <= set(action()["inputs"])
        assert {name for name, item in action()["inputs"].items() if item.get("required")} <= set(step["with"])
    others = {step["uses"] for step in workflow() if "uses" in step} - {step["uses"] for step in used}
    assert others == {"actions/checkout@v4", "actions/setup-python@v5", "actions/upload-artifact@v4"}


def test_the_workflow_passes_on_the_digits_and_fails_where_the_model_became_worse(
    runner: Runner, demo: Demo, edgeship: Script
) -> None:
    """Both uses of the action, then the script, each with what the page gives them; installed is edgeship already."""
    (runner.folder / "base").mkdir()
    for name in ("model.keras", "base/model.keras"):
        shutil.copy(demo.model, runner.folder / name)
    base, proposed = (step["with"] for step in workflow() if str(step.get("uses", "")).startswith("your-"))
    here = {"data": "digits", "to": "tflite", "install": "none", "max-drop": "2", "arguments": "--min-seconds=0.1\n"}
    first = runner.use({**base, **here})
    assert first.code == 0, first.said
    assert first.outputs == {"out": "builds/base", "summary": "builds/base/summary.md", "exit-code": "0"}
    second = runner.use({**proposed, **here, "max-slice-drop": "30", "arguments": "--min-seconds=0.1\n--min-slice=40"})
    assert second.code == 0, second.said
    assert "against builds/base" in second.said
    assert "nothing is worse" in second.said
    assert second.summary.startswith("## ✅ model: all gates passed, no regression")
    assert second.summary.rstrip() == (runner.folder / "builds/proposed/summary.md").read_text().rstrip()
    (script,) = [step["run"] for step in workflow() if "run" in step]
    quick = script.replace("--allow 10", "--allow 10 --repeats 2 --min-seconds 0.05")
    assert quick != script
    third = runner.bash(quick, {})
    assert third.code == 0, third.said

    # A model that answers without looking: its kernels are noise.
    noise = "import keras, numpy as np; m = keras.models.load_model('model.keras'); r = np.random.default_rng(0); "
    noise += (
        "m.layers[-1].set_weights([r.normal(size=w.shape) for w in m.layers[-1].get_weights()]); m.save('model.keras')"
    )
    spoiled = runner.bash(f'python -c "{noise}"', {})
    assert spoiled.code == 0, spoiled.said
    last = runner.use({**proposed, **here, "out": "builds/bad"})
    assert last.code == 1, last.said
    assert last.outputs["exit-code"] == "1"
    assert "❌" in last.summary.splitlines()[0]
    assert "Slices that fell" in last.summary


def test_every_input_is_one_word_of_the_command_whatever_is_in_it(runner: Runner) -> None:
    """What stands in for edgeship here writes down its words: the scripts are what is tried."""
    seen = runner.folder.parent / "words"
    stand_in = runner.folder.parent / "bin" / "edgeship"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/usr/bin/env bash\nprintf "%s\\0" "$@" > "{seen}"\n')
    stand_in.chmod(0o755)
    runner.env["PATH"] = f"{stand_in.parent}{os.pathsep}{runner.env['PATH']}"
    evil = "$(touch pwned) `touch pwned`; touch pwned | touch pwned && touch pwned\n--force"
    options = {"data": "data", "recipe": "recipe", "compare": "compare", "max-drop": "max-drop", "slices": "slices",
               "max-slice-drop": "max-slice-drop", "allow-drop": "allow-drop", "allow": "allow"}  # fmt: skip
    plain = {"model": "m.keras", "data": "digits", "install": "none", "compare": "base"}
    for name, option in options.items():
        assert runner.use({**plain, name: evil}).code == 0
        assert f"--{option}={evil}" in seen.read_text().split("\0")
    assert runner.use({**plain, "model": evil}).code == 0
    assert seen.read_text().split("\0")[-3:] == ["--", evil, ""]
    ran = runner.use({**plain, "out": evil})
    assert f"--out={evil}" in seen.read_text().split("\0")
    assert set(ran.outputs) == {"out", "summary", "exit-code"}
    assert runner.use({**plain, "arguments": "--seed=$(touch pwned)\n\n`touch pwned`\n"}).code == 0
    assert {"--seed=$(touch pwned)", "`touch pwned`"} <= set(seen.read_text().split("\0"))
    assert runner.use({**plain, "to": "tflite * $(touch pwned)"}).code == 0
    assert [w for w in seen.read_text().split("\0") if w.startswith("--to")] == [
        "--to=tflite", "--to=*", "--to=$(touch", "--to=pwned)"]  # fmt: skip
    assert runner.use({**plain, "to": "tflite\n  onnx tfjs\n"}).code == 0
    assert {"--to=tflite", "--to=onnx", "--to=tfjs"} <= set(seen.read_text().split("\0"))
    assert runner.use({**plain, "install": evil}).code == 2
    assert not list(runner.folder.rglob("pwned"))


def test_shellcheck_has_nothing_to_say(tmp_path: Path) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("needs shellcheck")
    for number, script in enumerate(scripts()):
        file = tmp_path / f"{number}.sh"
        file.write_text(f"#!/usr/bin/env bash\n{script}")
        done = subprocess.run(["shellcheck", file], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def test_actionlint_has_nothing_to_say(tmp_path: Path) -> None:
    if shutil.which("actionlint") is None:
        pytest.skip("needs actionlint")
    place = tmp_path / ".github" / "workflows" / "model.yml"
    place.parent.mkdir(parents=True)
    place.write_text(workflow_text().replace("your-organization/edgeship@v0", "./"))
    shutil.copy(_ROOT / "action.yml", tmp_path)
    subprocess.run(["git", "init", "-q", "."], cwd=tmp_path, check=True)
    done = subprocess.run(["actionlint"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
