"""Apps of other people: type checking, three bundlers, no bundler, Node."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgeship.errors import TargetUnavailable
from edgeship_benchmarks.targets.browser import processes
from tests import npm
from tests.e2e.web_package.driven import visited

CONSUMERS = Path(__file__).with_name("consumers")


@pytest.fixture
def app(tmp_path: Path, packages: Path) -> Path:
    """The app's folder, with its bundlers, and the package as npm installs a folder: a copy of what `files` names."""
    folder = tmp_path / "app"
    shutil.copytree(CONSUMERS, folder)
    npm.linked(npm.modules(CONSUMERS), folder)
    pack = ["npm", "pack", "--json", "--pack-destination", str(tmp_path), str(packages / "digits")]
    done = subprocess.run(pack, capture_output=True, text=True, timeout=120, check=True, cwd=tmp_path)
    (packed,) = json.loads(done.stdout)
    shutil.unpack_archive(tmp_path / packed["filename"], tmp_path / "unpacked", "gztar", filter="data")
    (tmp_path / "unpacked/package").rename(folder / "node_modules/digits")
    return folder


def node(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node") or "node"
    return subprocess.run([node, *command], cwd=folder, capture_output=True, text=True, timeout=300, check=False)


def test_types_are_strict(app: Path) -> None:
    done = node(app, "node_modules/typescript/bin/tsc", "-p", ".")
    assert done.returncode == 0, done.stdout


def test_the_lines_to_paste_are_strict_typescript(app: Path) -> None:
    readme = (app / "node_modules/digits/README.md").read_text()
    (lines,) = re.findall(r"```js\n(.*?)```", readme, re.DOTALL)
    assert len(lines.splitlines()) == 5
    (app / "pasted.ts").write_text(lines)
    options = ("--strict", "--noEmit", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler")
    done = node(app, "node_modules/typescript/bin/tsc", *options, "--ignoreConfig", "pasted.ts")
    assert done.returncode == 0, done.stdout


def test_what_types_promise_is_there_in_node_and_browsers(app: Path) -> None:
    """A page that a server renders imports in Node what it calls in browsers only."""
    types = (app / "node_modules/digits/model.d.ts").read_text()
    promised = set(re.findall(r"^export (?:declare )?(?:class|const|function) (\w+)", types, re.MULTILINE))
    assert promised == {"ModelError", "description", "keepOffline", "load"}
    script = (
        "const offline = await node.keepOffline('/sw.js').catch(({ code, remedy }) => [code, remedy !== '']);"
        "console.log(JSON.stringify({ names: [Object.keys(node), Object.keys(browser)], offline }));"
    )
    imports = "import * as node from 'digits'; import * as browser from './node_modules/digits/index.js';"
    done = node(app, "--input-type=module", "-e", imports + script)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [set(names) for names in found["names"]] == [promised, promised]
    assert found["offline"] == ["worker-blocked", True]


@pytest.mark.parametrize("bundler", ["vite", "webpack", "esbuild"])
def test_a_bundled_app_predicts(app: Path, bundler: str) -> None:
    """Under the strict policy, in a worker, with what Node gives; nothing but the app's own folder is asked for."""
    done = node(app, "build.mjs", bundler)
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        processes.executable("chromium")
    except TargetUnavailable:
        pytest.skip("needs Chromium")
    found, asked = visited("chromium", {"app": app / "dist"}, "/app/index.html")
    assert "error" not in found, found
    assert (found["thread"], found["runtime"], found["name"]) == ("worker", "tfjs-wasm", "digits")
    assert sum(path.endswith(".wasm") for path in asked) == 1
    scripts = "".join(path.read_text() for path in (app / "dist").rglob("*.js"))
    assert "timestamp.json" not in scripts  # the update client comes with who imports it
    script = (
        'import { load } from "digits"; const model = await load();'
        "const { outputs } = await model.predict(new Float32Array(1024).fill(0.5));"
        "console.log(JSON.stringify([...outputs.probabilities.values])); model.dispose();"
    )
    done = node(app, "--input-type=module", "-e", script)
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(found["values"], json.loads(done.stdout), atol=1e-6)
