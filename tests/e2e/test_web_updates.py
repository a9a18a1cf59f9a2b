"""The npm project of the web bundle: its linter, its types, its tests; and the update client in real browsers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edgeship.errors import TargetUnavailable
from edgeship_benchmarks.targets.browser import processes
from tests.web_client.pages import run_in
from tests.web_project import ROOT, bundled, copied


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copied(tmp_path_factory.mktemp("web"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", ["lint", "types", "test"])
def test_the_project_is_in_order(web: Path, script: str) -> None:
    command = ["npm", "run", "--silent", script]
    done = subprocess.run(command, cwd=web, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(600)
@pytest.mark.parametrize("browser", ["chromium", "firefox"])
def test_all_vectors_in_a_browser(web: Path, browser: str, tmp_path: Path) -> None:
    """WebCrypto, IndexedDB and Cache Storage are the browser's own, under a strict Content-Security-Policy."""
    try:
        processes.executable(browser)
    except TargetUnavailable as error:
        pytest.skip(f"needs {browser.capitalize()}: {error.remedy}")
    script = bundled(web, "tests/updates/browser.ts", tmp_path / "script.js").read_bytes()
    names = ("patches", "cohorts", "repositories")
    vectors = {f"/vectors/{name}.json": (ROOT / f"tests/vectors/{name}.json").read_bytes() for name in names}
    found = run_in(browser, {"/script.js": script, **vectors})
    assert found["failures"] == []
    assert found["passed"] == 30 + 5 + 62 + 6
