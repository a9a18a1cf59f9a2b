"""The kinds of models that people ship, each in every format, each file verified in its own runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import kinds_of_models
from tests.e2e.kinds_of_models import CALIBRATION, KINDS, TEST
from tests.formats import Formats, formats

EXPORTS = ("tflite/float32", "tflite/int8", "onnx/float32", "tfjs/float32")
#: What cannot be, and the words that say so.
REFUSED: dict[str, str] = {}


@pytest.fixture(scope="module")
def through() -> Iterator[Formats]:
    with formats() as found:
        yield found


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_holds_it(through: Formats, kind: str, tmp_path: Path) -> None:
    through.worker.call(kinds_of_models.make, kind=kind, folder=tmp_path)
    found = through.wrong(tmp_path / "model.keras", tmp_path, EXPORTS, {"calibration": CALIBRATION, "test": TEST})
    for export_id, words in found.items():
        expected = REFUSED.get(f"{kind} {export_id}")
        if expected is None:
            assert not words, f"{kind} {export_id}"
        else:
            assert expected in words
