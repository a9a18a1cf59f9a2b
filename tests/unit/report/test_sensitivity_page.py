"""The page of the sensitivity analysis: complete, escaped, self-contained."""

from __future__ import annotations

import re

from edgeship import codec
from edgeship.report.sensitivity import drop_text, headline, page, reason, rows
from edgeship.sensitivity.findings import Activations, Fix, Layer, Sensitivity, Step, Weights
from edgeship.verify import Drop

EVIL = "</svg><script>alert(1)</script>"


def layer(name: str, share: float, only: Drop, *, weights: bool = True, spread: float = 1.2) -> Layer:
    return Layer(
        name=name,
        kind="Conv2D",
        weights=Weights(432, {"int8": 42.0, "int4": 18.0}, 1.5) if weights else None,
        activations=Activations(-1.0, 8.0, -0.5, 4.0, 2.0, spread, 16, 0),
        output_sqnr_db={"int8": 38.0, "int16x8": 45.0},
        scores_sqnr_db={"int8": 36.0, "int16x8": 150.0},
        share=share,
        only=only,
        all_but=Drop(0.1, -0.4, 0.6, 500),
        int4=Drop(2.0, 1.0, 3.0, 500) if weights else None,
        pruned=None,
    )


def found() -> Sensitivity:
    damage, none = Drop(12.5, 10.0, 15.0, 500), Drop(0.0, -0.5, 0.5, 500)
    layers = (layer(EVIL, 0.9, damage, spread=300), layer("input", 0.1, none, weights=False))
    steps = (Step(EVIL, "int16x8", Drop(0.2, -0.3, 0.7, 500), 31.0, 464),)
    advice = f"keep this layer int16: {EVIL}"
    fix = Fix("mixed", {EVIL: "int16x8"}, steps, steps[0].drop, 12_000, advice, f"{advice}; then all is well")
    decibels = {"int8": 5.0, "int16x8": 33.0}
    return Sensitivity(
        *("evil.keras", "accuracy", "points", 0.9, damage, damage, none, decibels),
        *(500, 200, 0.5, 0.5, 11_500, layers, fix),
    )


def test_the_page_holds_every_figure_and_escapes_every_name() -> None:
    html = page(found(), "edgeship build evil.keras")
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert not re.search(r"(?:src|href)=\"(?!#)", html)
    assert "edgeship build evil.keras" in html
    assert "+12.50 [+10.0, +15.0]" in html
    assert "one output channel has 300x the range of the others" in html
    assert html.count("<svg") == 8  # four pictures, each for a wide page and a phone


def test_words() -> None:
    value = found()
    assert [row.only_certain for row in rows(value)] == [True, False]
    assert [row.kept for row in rows(value)] == ["int16x8", ""]
    assert drop_text(None) == ""
    assert "int8 everywhere +12.50 [+10.0, +15.0] (the .tflite file: +12.50" in headline(value)[1]
    assert reason(value.layers[1]) == ""


def test_it_survives_json() -> None:
    assert codec.from_json(Sensitivity, codec.to_json(found())) == found()
