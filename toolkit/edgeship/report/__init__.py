"""The report of a build as JSON, Markdown and HTML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeship.report.store import NAME, read, to_document

if TYPE_CHECKING:
    from edgeship.types import Report

__all__ = ["read", "to_document", "write"]


def write(report: Report, folder: Path) -> None:
    """Write `report.json`, `report.md` and `report.html` of a build into its folder; each appears whole or not at all.

    The pages are made from what `report.json` says, and that file comes last, so that it vouches for the others.
    Raises InputError for a report outside the schema, MissingPackageError, OutputError, StorageFullError.
    """
    from edgeship.cache import write_text
    from edgeship.report import page, store

    text = store.dumps(to_document(report, folder))
    shown = store.loads(text, folder)
    html, markdown = page.pages(shown)
    write_text(folder / "report.html", html)
    write_text(folder / "report.md", markdown)
    write_text(folder / NAME, text)
