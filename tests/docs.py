"""Writes the generated pages: `python -m tests.docs` (`make docs`). tests/unit/test_docs.py checks them.

docs/cli.md comes from `--help` of every command, docs/api.md from the source of every name in `edgeship.__all__` (which
is read, not imported: half of the API needs TensorFlow), docs/updates/api.md from `edgeship.device.__all__`. In
docs/verification.md the table of limits is filled in, in docs/tfjs.md that of ops. docs/benchmarks.md comes from the
records of `make bench`.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
from pathlib import Path
from types import ModuleType

import click
from click.testing import CliRunner

import edgeship
from edgeship import device, verify
from edgeship.cli import cli
from tests.acceptance.bench.page import page as benchmarks_page

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
_WIDTH = 100
_SECTIONS = ("Args", "Attributes", "Raises", "Returns")

_CLI_INTRO = """# Commands

Made from `edgeship COMMAND --help` by `make docs`; do not edit.

What holds for every command: results go to standard output, progress and notes to standard error. `--json` puts one
JSON document on standard output. Exit codes are in [troubleshooting](troubleshooting.md#exit-codes).
"""

_API_INTRO = """# Python API

Made from the docstrings of every name in `edgeship.__all__` by `make docs`; do not edit.

`import edgeship` loads no ML framework; each name is imported when it is first used. How to use these:
[training script](tutorials/training-script.md). The contracts for plug-ins are in `edgeship.contracts`:
[converter](adding-a-converter.md), [runtime](adding-a-runtime.md), [target](adding-a-target.md).
"""

_DEVICE_INTRO = """# Models on devices in Python

Made from the docstrings of every name in `edgeship.device.__all__` by `make docs`; do not edit.

What `edgeship device` does, from a program; what it means is told in [models on devices](device.md). An application
needs `Model` alone. Each name is imported when it is first used; none of them needs TensorFlow.
"""


def help_of(*arguments: str) -> str:
    """What `edgeship ARGUMENTS --help` prints, at a fixed width."""
    ran = CliRunner().invoke(cli, [*arguments, "--help"], prog_name="edgeship", terminal_width=_WIDTH)
    assert ran.exit_code == 0, ran.output
    return "\n".join(line.rstrip() for line in ran.output.strip().splitlines())


def cli_page() -> str:
    """The text of docs/cli.md."""
    parts = [_CLI_INTRO, "```text\n" + help_of() + "\n```\n"]
    for name, command in cli.commands.items():
        parts.append(f"## {name}\n\n```text\n{help_of(name)}\n```\n")
        below = command.commands if isinstance(command, click.Group) else {}
        parts += [f"### {name} {inner}\n\n```text\n{help_of(name, inner)}\n```\n" for inner in below]
    return "\n".join(parts)


def find(name: str, package: ModuleType = edgeship) -> tuple[str, ast.FunctionDef | ast.ClassDef]:
    """The module where a public name of a package is defined, and its definition there."""
    module = package._HOMES[name]
    if not module.startswith("edgeship"):
        module = f"{package.__name__}.{module}"
    module = getattr(importlib.import_module(module), "_HOMES", {}).get(name, module)
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return module, node
    raise AssertionError(f"{name} is not defined in {module}")


def signature(node: ast.FunctionDef) -> str:
    """`name(parameters) -> result`, on several lines if it is long; without `self`."""
    given = node.args
    positional = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(positional) - len(given.defaults)) + given.defaults
    parts = [_parameter(a, d) for a, d in zip(positional, defaults, strict=True) if a.arg != "self"]
    if given.vararg:
        parts.append("*" + _parameter(given.vararg, None))
    elif given.kwonlyargs:
        parts.append("*")
    parts += [_parameter(a, d) for a, d in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg:
        parts.append("**" + _parameter(given.kwarg, None))
    result = f" -> {_code(node.returns)}" if node.returns else ""
    short = f"{node.name}({', '.join(parts)}){result}"
    if len(short) <= _WIDTH:
        return short
    return f"{node.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){result}"


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {_code(argument.annotation)}" if argument.annotation else ""
    space = " " if annotation else ""
    return argument.arg + annotation + (f"{space}={space}{_code(default)}" if default is not None else "")


def _code(node: ast.AST) -> str:
    """Source text, with the quotes that the formatter wants."""
    return ast.unparse(node).replace("'", '"')


def _docstring(node: ast.FunctionDef | ast.ClassDef) -> str:
    """A Google-style docstring as Markdown: sections become lists."""
    text = ast.get_docstring(node)
    assert text, f"{node.name} has no docstring"
    lines: list[str] = []
    in_section = False
    for line in text.splitlines():
        title = line.strip().removesuffix(":")
        if line.endswith(":") and title in _SECTIONS:
            in_section = True
            lines += [f"{title}:", ""]
        elif in_section and line.startswith("    "):
            lines.append(_item(line))
        else:
            in_section = in_section and not line
            lines.append(line)
    return "\n".join(lines).strip()


def _item(line: str) -> str:
    """A line of a section: the start of an item, or its continuation."""
    if line.startswith("     "):
        return "  " + line.strip()
    found = re.fullmatch(r"    ([\w, ]+): (.*)", line)
    return f"- `{found[1]}`: {found[2]}" if found else f"- {line.strip()}"


def _class(node: ast.ClassDef) -> str:
    """Fields, properties and methods of a value; the exceptions have none of their own."""
    fields = [_code(item) for item in node.body if isinstance(item, ast.AnnAssign)]
    parts = ["```python\n" + "\n".join(fields) + "\n```\n"] if fields else []
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and not item.name.startswith("_"):
            is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in item.decorator_list)
            title = item.name if is_property else signature(item)
            parts.append(f"`{node.name}.{title}`: {_docstring(item)}\n")
    return "\n".join(parts)


def module_entry(name: str) -> str:
    """A module's part of docs/api.md: what it is for, and the functions in its `__all__`."""
    home = importlib.import_module(f"edgeship.{name}")
    parts = [f"## {name}\n\nThe module `edgeship.{name}`. {home.__doc__.strip()}\n"]
    for inner in home.__all__:
        tree = ast.parse(inspect.getsource(getattr(home, inner))).body[0]
        assert isinstance(tree, ast.FunctionDef)
        parts.append(f"```python\nedgeship.{name}.{signature(tree)}\n```\n\n{_docstring(tree)}\n")
    return "\n".join(parts)


def entry(name: str, package: ModuleType = edgeship) -> str:
    """One name's part of docs/api.md, or of the page of another package."""
    if package._HOMES[name] == "edgeship":
        return module_entry(name)
    module, node = find(name, package)
    if isinstance(node, ast.FunctionDef):
        head = f"```python\n{package.__name__}.{signature(node)}\n```\n"
        return f"## {name}\n\n{head}\n{_docstring(node)}\n"
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    kind = f"`{package.__name__}.{name}`" + (f", a kind of `{bases}`" if bases else "") + f", from `{module}`.\n"
    return f"## {name}\n\n{kind}\n{_constructor(node)}{_docstring(node)}\n\n{_class(node)}".rstrip() + "\n"


def _constructor(node: ast.ClassDef) -> str:
    """How an object is made, of a class that says what it takes."""
    made = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
    if made is None or "\nArgs:" not in (ast.get_docstring(node) or ""):
        return ""
    called = signature(made).removeprefix("__init__").removesuffix(" -> None")
    return f"```python\n{node.name}{called}\n```\n\n"


def api_page() -> str:
    """The text of docs/api.md."""
    return "\n".join([_API_INTRO, *(entry(name) for name in edgeship.__all__)])


def device_page() -> str:
    """The text of docs/updates/api.md."""
    return "\n".join([_DEVICE_INTRO, *(entry(name, device) for name in device.__all__)])


def verification_page() -> str:
    """The text of docs/verification.md with the table of limits between its marks filled in."""
    before, rest = (DOCS / "verification.md").read_text(encoding="utf-8").split("<!-- limits:begin -->")
    _, after = rest.split("<!-- limits:end -->")
    lines = ["| Variant | max-abs at most | error at most | cosine at least | top1 at least | floor |"]
    lines += ["|---|---|---|---|---|---|"]
    for variant, t in verify.TOLERANCES.items():
        cells = ("not limited" if v is None else f"{v:g}" for v in (t.max_abs, t.error, t.cosine, t.top1, t.floor))
        lines.append(f"| `{variant}` | {' | '.join(cells)} |")
    table = "\n".join(lines)
    return f"{before}<!-- limits:begin -->\n{table}\n<!-- limits:end -->{after}"


def tfjs_page() -> str:
    """The text of docs/tfjs.md with the table of ops between its marks filled in."""
    from edgeship_converters.tfjs.ops import OPS

    before, rest = (DOCS / "tfjs.md").read_text(encoding="utf-8").split("<!-- tfjs-ops:begin -->")
    _, after = rest.split("<!-- tfjs-ops:end -->")
    lines = ["| op | kernels | integers | booleans | not right with integers |", "|---|---|---|---|---|"]
    for op, known in OPS.items():
        faults = "; ".join(f"{backend}: {why}" for backend, why in known.faults.items())
        held = ("yes" if tested else "" for tested in (known.integers, known.booleans))
        lines.append(f"| `{op}` | {', '.join(known.kernels)} | {' | '.join(held)} | {faults} |")
    table = "\n".join(lines)
    return f"{before}<!-- tfjs-ops:begin -->\n{table}\n<!-- tfjs-ops:end -->{after}"


#: Page -> its text.
PAGES = {
    DOCS / "cli.md": cli_page,
    DOCS / "api.md": api_page,
    DOCS / "updates" / "api.md": device_page,
    DOCS / "benchmarks.md": benchmarks_page,
    DOCS / "tfjs.md": tfjs_page,
    DOCS / "verification.md": verification_page,
}


def main() -> None:
    """Write all generated pages."""
    for path, make in PAGES.items():
        path.write_text(make(), encoding="utf-8")


if __name__ == "__main__":
    main()
