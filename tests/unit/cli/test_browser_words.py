"""What the terminal shows of browsers: the address to open, its QR code, what a page pays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.latencies import measured

from edgeship.cli import results, ui
from edgeship.types import OPEN_PAGE, Measurement, PageStart, Progress

ADDRESS = "http://192.0.2.7:40123/token/"


def test_the_address_is_shown_even_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with ui.progress_bars() as progress:
        progress(Progress(OPEN_PAGE, 0, 1, ADDRESS))
        progress(Progress(OPEN_PAGE, 1, 1))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count(ADDRESS) == 1


def test_a_terminal_gets_a_code_to_scan(capsys: pytest.CaptureFixture[str]) -> None:
    import segno

    ui.ask_to_open(ADDRESS, qr=True)
    drawn = capsys.readouterr().err
    assert ADDRESS in drawn
    rows = [line for line in drawn.splitlines() if "█" in line or "▄" in line or "▀" in line]
    assert len(rows) >= segno.make(ADDRESS, micro=False).symbol_size()[1] // 2


def _row(runtime: str, **facts: str) -> Measurement:
    return replace(
        measured([np.full(20, 1.5)] * 2, **facts),
        target="browser:chromium",
        runtime=runtime,
        group=runtime,
        page=PageStart(2_359_531, 286_672, "br", 12.0, 555.0, 197.0, None),
    )


def test_what_a_page_pays_and_software_that_stands_for_a_gpu(capsys: pytest.CaptureFixture[str]) -> None:
    results._measured([_row("litert-web-wasm"), _row("litert-web-webgpu", software_gpu="yes")])
    shown = capsys.readouterr().out
    assert "software GPU" in shown
    assert "what a web page pays" in shown
    line = next(line for line in shown.splitlines() if "2,359,531" in line)
    assert line.split() == ["tflite/int8", "litert-web-wasm", "2,359,531", "286,672", "br", "555", "197"]
    assert "faster" not in shown  # rows of two runtimes were not interleaved
