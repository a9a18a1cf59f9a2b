"""The client is light: what it imports, and when."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import edgeship.device

FOLDER = Path(edgeship.device.__file__).parent
#: What of edgeship a device needs; nothing of it imports TensorFlow, or anything beyond the base install.
ALLOWED = {
    "edgeship.child", "edgeship.closing", "edgeship.codec", "edgeship.delta", "edgeship.encodings", "edgeship.errors",
    "edgeship.files",
    "edgeship.manifest", "edgeship.releases", "edgeship.types", "edgeship_benchmarks.agent",
}  # fmt: skip


def modules(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "edgeship":
            found |= {f"edgeship.{name.name}" for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


def test_of_edgeship_only_the_light_part_is_imported() -> None:
    for file in FOLDER.glob("*.py"):
        for name in modules(ast.parse(file.read_text(encoding="utf-8"))):
            if name.startswith("edgeship") and not name.startswith("edgeship.device"):
                assert any(name == allowed or name.startswith(f"{allowed}.") for allowed in ALLOWED), (file.name, name)


def test_public_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse((FOLDER / "__init__.py").read_text(encoding="utf-8"))
    seen = {
        name.asname: (node.module or "").removeprefix("edgeship.device.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgeship.device.")
        for name in node.names
    }
    assert seen == edgeship.device._HOMES
    assert all(hasattr(edgeship.device, name) for name in edgeship.device.__all__)


def loaded(code: str) -> set[str]:
    """Packages that are loaded after some code ran."""
    script = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


def test_an_application_loads_no_tuf_and_an_update_no_numpy() -> None:
    heavy = {"tensorflow", "keras", "jsonschema", "jinja2", "onnx"}
    application = loaded("from edgeship.device import Model")
    assert not application & {*heavy, "tuf", "securesystemslib", "cryptography", "urllib3", "click", "rich"}
    update = loaded("from edgeship.device import update")
    assert "tuf" in update
    assert not update & {*heavy, "numpy", "ai_edge_litert", "click", "rich"}
    assert not loaded("import edgeship.cli.devices") & {*heavy, "numpy", "tuf", "urllib3"}
