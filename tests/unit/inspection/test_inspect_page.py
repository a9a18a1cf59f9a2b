"""The page of a file and of a difference: self-contained, escaped, with the graph drawn."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

from tests import tiny_tflite

from edgeship.inspection.description import Description
from edgeship.inspection.diff import compare
from edgeship.inspection.page import difference_page, page
from edgeship.inspection.picture import MAX_OPS, picture
from edgeship.inspection.tflite import open_tflite

EVIL = "</title><script>alert(1)</script>\x1b[2J"


def described(folder: Path, name: str = "net/hidden/Add") -> Description:
    names = ("x", "w", "b", name, "probabilities")
    (folder / "model.tflite").write_bytes(tiny_tflite.model_bytes(names))
    return open_tflite(folder / "model.tflite").description


def test_boxes_and_lines_of_the_graph(tmp_path: Path) -> None:
    chart = picture(described(tmp_path))
    assert chart is not None
    names = [shape.text for shape in chart.shapes if shape.attributes["class"] == "g-name"]
    assert names == ["x", "FULLY_CONNECTED", "SOFTMAX", "probabilities"]
    assert sum(shape.attributes["class"] == "g-line" for shape in chart.shapes) == 3
    assert [shape.attributes["class"] for shape in chart.shapes if shape.tag == "rect"] == [
        "g-box g-io",
        "g-box g-dense",
        "g-box g-act",
        "g-box g-io",
    ]


def test_the_page_is_self_contained_and_escaped(tmp_path: Path) -> None:
    found = described(tmp_path, EVIL)
    found = replace(found, metadata={EVIL: EVIL}, labels=(EVIL,), notes=(EVIL,), file=f"/somewhere/{EVIL}")
    html = page(found)
    assert "<script" not in html
    assert "\x1b" not in html
    assert not re.search(r"(src|href)=\"(?!#)", html)
    assert "default-src 'none'" in html
    (drawing,) = re.findall(r"<svg class=\"wide\".*?</svg>", html, re.DOTALL)
    assert len(ET.fromstring(drawing).findall(".//rect")) == 4


def test_a_graph_too_large_to_read_is_said_and_not_drawn(tmp_path: Path) -> None:
    found = described(tmp_path)
    found = replace(found, ops=found.ops * MAX_OPS)
    assert picture(found) is None
    assert "The graph is not drawn" in page(found)


def test_the_page_of_a_difference(tmp_path: Path) -> None:
    names = ("x", "w", "b", EVIL, "probabilities")
    (tmp_path / "a.tflite").write_bytes(tiny_tflite.model_bytes(names))
    (tmp_path / "b.tflite").write_bytes(tiny_tflite.model_bytes(names, weights=tiny_tflite.WEIGHTS * 1.01))
    html = difference_page(compare(*(open_tflite(tmp_path / name) for name in ("a.tflite", "b.tflite"))))
    assert "<script" not in html
    assert "40.0" in html  # 1 % of every number


def test_real_graphs_are_connected(shared_data: Path) -> None:
    path = shared_data / "mlperf_tiny" / "image_classification" / "pretrainedResnet.tflite"
    chart = picture(open_tflite(path).description)
    assert chart is not None
    # 16 ops in a row with input and output, and the second way into each of 3 additions.
    assert sum(shape.attributes["class"] == "g-line" for shape in chart.shapes) == 17 + 3
    assert chart.width < 500
