"""Hash of source code by what it does: comments, docstrings and layout do not count."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[3]


def digest(files: Iterable[Path]) -> str:
    """SHA-256 over the files and everything below the folders; what is not Python counts byte by byte."""
    found = hashlib.sha256()
    for path in sorted(p for given in files for p in _below(given)):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + _essence(path) + b"\0")
    return found.hexdigest()


def _below(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    return (p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _essence(path: Path) -> bytes:
    if path.suffix != ".py":
        return path.read_bytes()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return ast.dump(tree).encode()
