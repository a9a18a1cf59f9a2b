"""The report of a build as JSON, Markdown and HTML."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from edgeship.errors import MissingPackageError
from edgeship.report.store import NAME, check_files, read, to_document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeship.history.records import Record
    from edgeship.types import Report

__all__ = ["check_files", "missing", "read", "require", "to_document", "write", "write_pages"]


def missing() -> tuple[str, ...]:
    """Packages to install before a report can be written; empty means ready."""
    return tuple(name for name in ("jinja2", "jsonschema") if importlib.util.find_spec(name) is None)


def require() -> None:
    """Raise MissingPackageError if a report could not be written in the end: called before long work begins."""
    if missing():
        raise MissingPackageError(
            f"reports need {', '.join(missing())}", remedy="Get what is missing: pip install 'edgeship[report]'"
        )


def write(report: Report, folder: Path, past: Sequence[Record] = ()) -> None:
    """Write `report.json`, `report.md` and `report.html` of a build into its folder; each appears whole or not at all.

    The pages are made from what `report.json` says, and that file comes last, so that it vouches for the others. Only
    the drawings over time are from elsewhere: `past`, results of the history, the newest session first.
    Raises InputError for a report outside the schema, MissingPackageError, OutputError, StorageFullError.
    """
    from edgeship.files import write_text
    from edgeship.report import store

    text = store.dumps(to_document(report, folder))
    write_pages(store.loads(text, folder), folder, past)
    write_text(folder / NAME, text)


def write_pages(report: Report, folder: Path, past: Sequence[Record] = ()) -> None:
    """Write `report.md` and `report.html` of a report that was read from its folder; its JSON stays as it is."""
    from edgeship.files import write_text
    from edgeship.report import page

    html, markdown = page.pages(report, past)
    write_text(folder / "report.html", html)
    write_text(folder / "report.md", markdown)
