"""Sensitivity -> words, and one self-contained HTML page. What comes from outside is escaped by the template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgeship.report.page import render
from edgeship.report.plots import Line, axis, lined, shortened
from edgeship.report.svg import Chart, Scale, padded
from edgeship.sensitivity.findings import EXACT_DB, Layer, Sensitivity
from edgeship.verify import Drop, signed

#: Layers with lines of their own in the charts; all are in the table.
MAX_LAYERS = 30
#: From here on, a layer's own figure is said to be a reason: 2 bits of its 8 are lost.
_MUCH = 4.0
#: Weights whose error in 8 bits is larger than this do not fit 8 bits; well-behaved ones have 40 dB and more.
_COARSE_DB = 30.0


@dataclass(frozen=True)
class Row:
    """A layer as it is shown; a drop is `certain` where its 95 % interval does not hold zero."""

    layer: Layer
    reason: str
    kept: str

    @property
    def only_certain(self) -> bool:
        """Whether quantizing only this layer certainly costs something."""
        return self.layer.only.low > 0


def rows(found: Sensitivity) -> tuple[Row, ...]:
    """All layers, the most damaging first."""
    return tuple(Row(layer, reason(layer), found.fix.precision.get(layer.name, "")) for layer in found.layers)


def reason(layer: Layer) -> str:
    """What in the layer's numbers does not fit 8 bits; empty where nothing stands out."""
    found = []
    seen = layer.activations
    if seen.spread >= _MUCH:
        found.append(f"one output channel has {seen.spread:.0f}x the range of the others")
    elif seen.outliers >= _MUCH:
        found.append(f"rare outputs reach {seen.outliers:.0f}x the range of the rest")
    if layer.weights is not None and layer.weights.sqnr_db["int8"] < _COARSE_DB:
        found.append("few large weights beside small ones in a channel")
    if seen.dead:
        found.append(f"{seen.dead} of {seen.channels} channels always give the same")
    return "; ".join(found)


def drop_text(drop: Drop | None) -> str:
    """`+0.40 [+0.0, +0.8]`; empty for None."""
    if drop is None:
        return ""
    return f"{signed(drop.value)} [{drop.low:+.1f}, {drop.high:+.1f}]"


def decibels(value: float) -> str:
    """`34.2`, or `exact`."""
    return "exact" if value >= EXACT_DB else f"{value:.1f}"


def headline(found: Sensitivity) -> tuple[str, ...]:
    """The network as a whole, in sentences."""
    file = "" if found.int8_file is None else f" (the .tflite file: {drop_text(found.int8_file)})"
    base = f"{found.metric} {found.original:.4f} in float on {found.n:,} validation samples"
    int8, int16x8 = drop_text(found.int8), drop_text(found.int16x8)
    drops = f"int8 everywhere {int8}{file}, int16x8 everywhere {int16x8}; {found.max_drop:g} allowed"
    return (
        f"{base}; ranges of {found.n_calibration:,} calibration samples.",
        f"Drop in {found.unit} with its 95 % interval: {drops}.",
    )


def page(found: Sensitivity, command: str) -> str:
    """The HTML page; `command` is what to run next."""
    shown = found.layers[:MAX_LAYERS]
    charts = {
        "noise": [_noise(shown, kind) for kind in ("wide", "narrow")],
        "drops": [_drops(found, shown, kind) for kind in ("wide", "narrow")],
        "sqnr": [_sqnr(shown, kind) for kind in ("wide", "narrow")],
        "ranges": [_ranges(shown, kind) for kind in ("wide", "narrow")],
    }
    return render(
        "sensitivity.html.j2",
        {
            "found": found,
            "rows": rows(found),
            "sentences": headline(found),
            "command": command,
            "drop": drop_text,
            "db": decibels,
            "charts": charts,
            "cut": len(found.layers) - len(shown),
        },
    )


def _noise(layers: Sequence[Layer], kind: str) -> Chart:
    """Share of the noise at the end of the network, by layer."""
    lines = [Line(shortened(layer.name, 34), f"{100 * layer.share:.1f} %") for layer in layers]
    chart, left, right, middles = lined(lines, kind, "Share of the noise of int8 by layer", 0)
    x = Scale(0.0, max(layer.share for layer in layers) or 1.0, left, right)
    for layer, middle in zip(layers, middles, strict=True):
        style = "bar worse" if layer.only.low > 0 else "bar f0"
        title = f"{layer.name}: {100 * layer.share:.1f} % of the noise"
        chart.rect((left, middle - 8), (x(layer.share) - left, 16), style, title)
    return chart


def _drops(found: Sensitivity, layers: Sequence[Layer], kind: str) -> Chart:
    """Drops with only one layer in int8, and with all but that layer."""
    lines = [Line(shortened(la.name, 34), f"{signed(la.only.value)} / {signed(la.all_but.value)}") for la in layers]
    label = f"Drop of {found.metric} with only one layer in int8, and with all but that layer"
    chart, left, right, middles = lined(lines, kind, label, 36)
    drops = [drop for layer in layers for drop in (layer.only, layer.all_but)]
    ends = [end for drop in drops for end in (drop.low, drop.high, drop.value)]
    x = Scale(*padded([*ends, 0.0, found.max_drop], share=0.04), left + 8, right - 8)
    axis(chart, x, lambda v: f"{v:+.3g}" if v else "0", f"drop in {found.unit} (right is worse than the original)")
    chart.line((x(0), 4), (x(0), chart.height - 36), "zero")
    chart.line((x(found.max_drop), 4), (x(found.max_drop), chart.height - 36), "limit")
    for layer, middle in zip(layers, middles, strict=True):
        for drop, offset, style, what in ((layer.only, -5, "", "only this"), (layer.all_but, 5, " hollow", "all but")):
            at = middle + offset
            chart.line((x(drop.low), at), (x(drop.high), at), f"interval f{0 if offset < 0 else 1}")
            color = f"mark f{0 if offset < 0 else 1}{style}"
            chart.mark((x(drop.value), at), "circle", color, f"{layer.name}, {what}: {drop_text(drop)}")
    return chart


def _sqnr(layers: Sequence[Layer], kind: str) -> Chart:
    """SQNR of the output of each layer in int8 and int16x8, and of its weights in 4 bits."""
    lines = [Line(shortened(la.name, 34), f"{decibels(la.output_sqnr_db['int8'])} dB") for la in layers]
    chart, left, right, middles = lined(lines, kind, "Signal to quantization noise by layer", 36)
    values = [v for la in layers for v in la.output_sqnr_db.values() if v < EXACT_DB] or [0.0, 60.0]
    x = Scale(*padded([*values, 0.0]), left + 8, right - 8)
    axis(chart, x, lambda v: f"{v:g}", "dB: right is better, 6 dB are one bit")
    for layer, middle in zip(layers, middles, strict=True):
        low, high = (layer.output_sqnr_db[word] for word in ("int8", "int16x8"))
        chart.line((x(low), middle), (x(high), middle), "interval f0")
        chart.mark((x(high), middle), "circle", "mark f0 hollow", f"{layer.name} int16x8: {decibels(high)} dB")
        chart.mark((x(low), middle), "circle", "mark f0", f"{layer.name} int8: {decibels(low)} dB")
    return chart


def _ranges(layers: Sequence[Layer], kind: str) -> Chart:
    """Each layer's int8 range, as wide as the chart, and the part of it that 99.8 % of the values are in."""
    texts = [f"{la.activations.low:.3g} .. {la.activations.high:.3g}" for la in layers]
    lines = [Line(shortened(la.name, 34), text) for la, text in zip(layers, texts, strict=True)]
    chart, left, right, middles = lined(lines, kind, "Range of activations by layer, and where 99.8 % of them are", 0)
    for layer, text, middle in zip(layers, texts, middles, strict=True):
        seen = layer.activations
        low, high = min(seen.low, 0.0), max(seen.high, 0.0)
        x = Scale(low, high if high > low else low + 1.0, left, right - 8)
        chart.rect((left, middle - 7), (right - 8 - left, 14), "bar rest", f"{layer.name}: {text}")
        title = f"{layer.name}: 0.1 % {seen.p001:.3g}, 99.9 % {seen.p999:.3g}"
        chart.rect((x(seen.p001), middle - 7), (x(seen.p999) - x(seen.p001), 14), "bar f0", title)
        chart.line((x(0.0), middle - 10), (x(0.0), middle + 10), "zero")
    return chart
