"""What a report shows of browsers: what a page pays, and that software stood for a GPU."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests import report_builder

from edgeship import report
from edgeship.types import DeviceInfo, PageStart, Parity

START = PageStart(2_359_531, 286_672, "br", 12.1, 555.6, 197.5, None)


@pytest.fixture
def texts(tmp_path: Path) -> tuple[str, str]:
    made = report_builder.build(tmp_path)
    first, *others = made.measurements
    facts = {**first.device.facts, "software_gpu": "yes", "gpu": "<b>SwiftShader</b>"}
    row = replace(
        first,
        target="browser:chromium",
        runtime="tfjs-webgl",
        device=DeviceInfo("browser:chromium", "measured", facts),
        group="tfjs-webgl",
        parity=Parity("tfjs-wasm on this machine", 5, False, 7e-7),
        page=START,
    )
    report.write(replace(made, measurements=(row, *others)), tmp_path)
    found = next(m for m in report.read(tmp_path).measurements if m.page)
    assert found == row
    assert json.loads((tmp_path / "report.json").read_text())["measurements"][0]["page"]["offline_ms"] is None
    return (tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()


def test_what_a_page_pays_is_shown(texts: tuple[str, str]) -> None:
    html, markdown = texts
    section = html[html.index("What a web page pays") :]
    section = section[: section.index("</details>")]
    for text in ("2,359,531", "286,672", "browser:chromium", "software", "tfjs-wasm on this machine"):
        assert text in section
    assert "<b>SwiftShader" not in html
    line = next(line for line in markdown.splitlines() if "2,359,531" in line)
    assert "| br | 556 |" in line.replace("555.6", "556")
    assert "software" in line


def test_without_browsers_there_is_nothing_of_it(tmp_path: Path) -> None:
    report.write(report_builder.build(tmp_path), tmp_path)
    for name in ("report.html", "report.md"):
        assert "What a web page pays" not in (tmp_path / name).read_text()
