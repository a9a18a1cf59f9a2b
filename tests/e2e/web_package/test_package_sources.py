"""The TypeScript of packages: types, lint, unit tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import web_project


def test_sources_are_typed_linted_and_tested(tmp_path: Path) -> None:
    web = web_project.copied(tmp_path)
    for program, *options in (
        ("tsc", "-p", "."),
        ("eslint", "src/runtime", "src/package", "tests/runtime", "tests/package"),
        ("vitest", "run", "tests/runtime", "tests/package"),
    ):
        command = [str(web / "node_modules/.bin" / program), *options]
        done = subprocess.run(command, cwd=web, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
