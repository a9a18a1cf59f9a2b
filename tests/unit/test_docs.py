"""The documentation says what the code says: generated pages, tables, links, docstrings."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import docs

import edgeship
from edgeship import errors, plugins, recipe, verify
from edgeship.cli import cli
from edgeship.types import SNAPPED, VARIANTS

ROOT = docs.ROOT
PAGES = [ROOT / n for n in ("README.md", "CHANGELOG.md", "SECURITY.md")] + sorted(docs.DOCS.rglob("*.md"))
PACKAGES = [
    ROOT / "toolkit" / "edgeship",
    ROOT / "converters" / "edgeship_converters",
    ROOT / "benchmarks" / "edgeship_benchmarks",
]
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def rows(text: str) -> dict[str, list[str]]:
    """First cell, without backquotes, to the other cells of every table row."""
    found = [[cell.strip() for cell in match[1].split(" | ")] for match in _ROW.finditer(text)]
    return {cells[0].strip("`"): cells[1:] for cells in found}


@pytest.mark.parametrize("page", docs.PAGES, ids=lambda p: p.name)
def test_generated_pages_are_up_to_date(page: Path) -> None:
    assert page.read_text(encoding="utf-8") == docs.PAGES[page](), "run: make docs"


def test_every_command_and_public_name_has_its_entry() -> None:
    assert re.findall(r"^## (.+)$", (docs.DOCS / "cli.md").read_text(), re.MULTILINE) == list(cli.commands)
    assert re.findall(r"^## (.+)$", (docs.DOCS / "api.md").read_text(), re.MULTILINE) == edgeship.__all__


def anchors(page: Path) -> set[str]:
    """What a link may point at: headings as the hosts of repositories spell them."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), f"{link} leaves the repository"
        if anchor:
            assert anchor in anchors(target), f"{link}: {target.name} has {sorted(anchors(target))}"


def test_every_page_can_be_found_from_the_index() -> None:
    index = docs.DOCS / "index.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in _LINK.findall(prose(index))}
    assert set(docs.DOCS.rglob("*.md")) - {index} <= linked


def test_every_error_is_in_troubleshooting_with_its_exit_code() -> None:
    found = rows((docs.DOCS / "troubleshooting.md").read_text())
    tree = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.EdgeshipError)]
    assert {c.__name__: str(c.exit_code) for c in tree} == {c.__name__: found[c.__name__][0] for c in tree}


def test_every_variant_has_limits() -> None:
    assert set(verify.TOLERANCES) == {*VARIANTS, SNAPPED}


def test_recipes_page_has_every_recipe_key_and_setting() -> None:
    text = (docs.DOCS / "recipes.md").read_text()
    found = rows(text)
    for name in recipe.shipped():
        loaded = recipe.load(name)
        stages = ", ".join(stage.word for stage in loaded.stages) or "none"
        tried = ", ".join(attempt.name for attempt in loaded.attempts)
        variants = f"`{' '.join(loaded.variants)}`" if loaded.variants else "none"
        expected = [f"tries {tried}" if tried else stages, variants, f"{loaded.max_drop:g}"]
        assert found[name][:3] == expected, name
    assert {f.name for f in dataclasses.fields(recipe.Recipe)} <= set(found)
    for word, settings in recipe.STAGES.items():
        part = text.split(f"**{word}**")[1].split("\n**")[0]
        table = {
            name: cells[0].strip("`") for name, cells in rows(part).items() if name != "Setting" and "-" not in name
        }
        made = settings()
        assert table == {f.name: str(getattr(made, f.name)) for f in dataclasses.fields(settings)}, word


def test_table_of_formats_and_variants_in_the_readme() -> None:
    found = rows((ROOT / "README.md").read_text())
    for variant, meaning in VARIANTS.items():
        cells = found[variant]
        assert cells[0] == meaning
        for name, cell in zip(("tflite", "onnx", "tfjs", "micro", "savedmodel"), cells[1:], strict=True):
            converter = plugins.converter(name)
            if variant in converter.variants:
                assert cell.startswith("yes"), (variant, name)
            elif variant in converter.equivalents:
                assert cell == f"as `{converter.equivalents[variant]}`", (variant, name)
            else:
                assert cell == "no", (variant, name)


def test_readme_has_the_place_for_the_acceptance_table() -> None:
    text = (ROOT / "README.md").read_text()
    assert text.count("<!-- acceptance:begin -->") == text.count("<!-- acceptance:end -->") == 1


def definitions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Public functions and classes of a module and public methods of its classes, and the module itself."""
    module = ast.parse(path.read_text(encoding="utf-8"))
    yield path.name, module
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


@pytest.mark.parametrize("package", PACKAGES, ids=lambda p: p.name)
def test_everything_public_has_a_docstring(package: Path) -> None:
    files = [p for p in package.rglob("*.py") if "node_modules" not in p.parts]
    assert files
    bare = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name, node in definitions(path)
        if not ast.get_docstring(node)
    ]  # type: ignore[arg-type] # only nodes that may have one
    assert not bare


def tracked() -> list[Path]:
    """The files that git knows."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


#: Written in parts, because this file is looked at too.
_HOSTS = ("pypi" + ".org", "npmjs" + ".org", "npmjs" + ".com", "pythonhosted" + ".org", "conda" + ".io")
#: Homes and checkouts; `/home/ann` and the like, which tests invent, are no places of ours.
_PLACES = tuple(f"/{name}/" for name in ("work", "root"))


def test_no_file_names_a_registry_or_a_place_on_a_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        home = (f"{Path.home()}/",) if len(Path.home().parts) > 1 else ()
        found += [f"{path.relative_to(ROOT)}: {word}" for word in (*_HOSTS, *_PLACES, *home) if word in text]
    assert not found
