"""A drawing as SVG: one user unit is one millimetre, each layer is a group."""

from training.drawings.shapes import Drawing
from training.reporting.html import render


def to_svg(drawing: Drawing) -> str:
    """The drawing as an SVG document; its text stays text, and is escaped."""
    return render("drawing.svg", title=drawing.title, drawing=drawing)
