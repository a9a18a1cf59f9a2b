"""Hash of source code by what it does: comments, docstrings, imports and places do not count."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]


def digest(files: Iterable[Path]) -> str:
    """SHA-256 over the files and everything below the folders; what is not Python counts byte by byte.

    Where code stands does not count: moving it changes nothing, and what it imports is code that counts by itself.
    """
    found = hashlib.sha256()
    for content in sorted(_essence(p) for given in files for p in _below(given)):
        found.update(hashlib.sha256(content).digest())
    return found.hexdigest()


def behind(modules: Iterable[str], within: Sequence[str]) -> set[Path]:
    """The files of `modules` and of all that they import, as far as that lies `within` these modules or packages."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and (path := _file(name)) is not None:
            found[name] = path
            waiting += [other for other in _imported(path) if other.startswith(tuple(within))]
    return set(found.values())


def _file(module: str) -> Path | None:
    """None for what is no module: a name that a module defines."""
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _below(path: Path) -> Iterable[Path]:
    if path.is_file():
        return [path]
    return (p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


class _Essence(ast.NodeTransformer):
    """Leaves imports and docstrings out."""

    def visit(self, node: ast.AST) -> ast.AST | None:
        """Of any node; None is left out."""
        if isinstance(node, ast.Import | ast.ImportFrom):
            return None
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
        return self.generic_visit(node)


def _essence(path: Path) -> bytes:
    if path.suffix != ".py":
        return path.read_bytes()
    return ast.dump(_Essence().visit(ast.parse(path.read_text(encoding="utf-8")))).encode()
