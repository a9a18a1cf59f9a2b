"""Charts as files of their own, for pages that are no HTML report."""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from edgeship.report.svg import Chart


def render(chart: Chart, style: str) -> str:
    """The SVG file of a chart, with the style sheet that its classes mean."""
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {chart.width:g} {chart.height:g}" role="img">',
        f"<title>{escape(chart.label)}</title><style>{style}</style>",
    ]
    for shape in chart.shapes:
        attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in shape.attributes.items())
        inside = (f"<title>{escape(shape.title)}</title>" if shape.title else "") + escape(shape.text)
        rows.append(f"<{shape.tag} {attributes}>{inside}</{shape.tag}>")
    return "\n".join([*rows, "</svg>", ""])
