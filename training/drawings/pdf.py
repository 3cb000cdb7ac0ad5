"""A drawing as PDF, of the same size to the point; fonts are embedded."""

import io
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from training.drawings.letters import FONT, is_known
from training.drawings.shapes import Circle, Drawing, Line, Polygon, Rectangle, Shape, Squares, Text

if TYPE_CHECKING:
    from matplotlib.artist import Artist

MM_PER_INCH = 25.4
POINTS_PER_MM = 72 / MM_PER_INCH
# Drawn in place of a character that no installed font has.
_MISSING = "\N{WHITE SQUARE}"
# Its glyphs are pictures of whole blocks of characters.
_NO_FONT = "last resort"
_SETTINGS: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "text.parse_math": False,
    "path.simplify": False,
    "text.usetex": False,
}
# Codes of a path in matplotlib, and the cubic curve nearest to a quarter of a circle.
_MOVE, _STRAIGHT, _CURVED, _CLOSE = 1, 2, 4, 79
_ARC = 0.5523
_ALIGNMENTS: Mapping[str, Any] = {"start": "left", "middle": "center", "end": "right"}


def to_pdf(drawing: Drawing) -> bytes:
    """The drawing as a PDF document of one page."""
    import matplotlib
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.figure import Figure
    from matplotlib.transforms import Affine2D

    file = io.BytesIO()
    with matplotlib.rc_context(_SETTINGS):
        size = (drawing.width / MM_PER_INCH, drawing.height / MM_PER_INCH)
        figure = Figure(figsize=size, dpi=72, facecolor="white")
        page = Affine2D().translate(0, -drawing.height).scale(POINTS_PER_MM, -POINTS_PER_MM)
        shapes = [shape for layer in drawing.layers for shape in layer.shapes]
        for order, artist in enumerate(map(_drawn, shapes)):
            artist.set_zorder(order)
            artist.set_transform(page)
            figure.add_artist(artist)
        metadata = {"Title": drawing.title, "CreationDate": None}
        canvas: Any = FigureCanvasPdf(figure)
        canvas.print_pdf(file, metadata=metadata)
    return file.getvalue()


def characters_without_font(drawing: Drawing) -> str:
    """The characters of its text that no installed font has: the PDF shows a square for each."""
    characters = {character for text in drawing.texts for character in text.text}
    return "".join(sorted(c for c in characters if not is_known(c) and not _family(c)))


def _drawn(shape: Shape) -> "Artist":
    """The artist of a shape, in millimetres; widths of lines in points."""
    from matplotlib import patches
    from matplotlib.lines import Line2D
    from matplotlib.path import Path

    match shape:
        case Line():
            dash = 1 / shape.stroke_width
            return Line2D(
                [shape.x1, shape.x2],
                [shape.y1, shape.y2],
                color=shape.stroke,
                linewidth=shape.stroke_width * POINTS_PER_MM,
                linestyle=(0, (dash, dash)) if shape.dashed else "solid",
                solid_capstyle="butt",
            )
        case Circle():
            return patches.Circle((shape.x, shape.y), shape.diameter / 2, **_paint(shape))
        case Rectangle():
            return patches.PathPatch(Path(*_outline(shape)), **_paint(shape))
        case Polygon():
            width = shape.stroke_width * POINTS_PER_MM
            return patches.Polygon(
                shape.points, fill=False, edgecolor=shape.stroke, linewidth=width
            )
        case Squares():
            down = shape.module
            bars = [
                Path([(x, y), (x + width, y), (x + width, y + down), (x, y + down), (x, y)])
                for x, y, width in shape.runs
            ]
            path = Path.make_compound_path(*bars)
            return patches.PathPatch(path, facecolor="black", linewidth=0)
        case Text():
            return _written(shape)


def _paint(shape: Circle | Rectangle) -> dict[str, Any]:
    return {
        "edgecolor": shape.stroke,
        "facecolor": shape.fill,
        "linewidth": 0 if shape.stroke == "none" else shape.stroke_width * POINTS_PER_MM,
    }


def _outline(shape: Rectangle) -> tuple[list[tuple[float, float]], list[int]]:
    """Corners and codes of a path round a rectangle; its corners are arcs, as in SVG."""
    x, y, right, bottom = shape.x, shape.y, shape.x + shape.width, shape.y + shape.height
    r, c = shape.radius, shape.radius * (1 - _ARC)
    points = [
        *((x + r, y), (right - r, y), (right - c, y), (right, y + c), (right, y + r)),
        *((right, bottom - r), (right, bottom - c), (right - c, bottom), (right - r, bottom)),
        *((x + r, bottom), (x + c, bottom), (x, bottom - c), (x, bottom - r)),
        *((x, y + r), (x, y + c), (x + c, y), (x + r, y), (x + r, y)),
    ]
    return points, [_MOVE, *(4 * (_STRAIGHT, *3 * (_CURVED,))), _CLOSE]


def _written(shape: Text) -> "Artist":
    from matplotlib.text import Text as Words

    found = {c: FONT if is_known(c) else _family(c) for c in shape.text}
    families = dict.fromkeys([FONT, *(family for family in found.values() if family)])
    return Words(
        shape.x,
        shape.y,
        "".join(character if found[character] else _MISSING for character in shape.text),
        color=shape.fill,
        family=list(families),
        weight="bold" if shape.bold else "normal",
        size=shape.size * POINTS_PER_MM,
        horizontalalignment=_ALIGNMENTS[shape.anchor],
        verticalalignment="baseline",
    )


@cache
def _family(character: str) -> str | None:
    """An installed family that has a character in both weights, if there is one."""
    from matplotlib.font_manager import FontProperties, findfont, fontManager

    for entry in fontManager.ttflist:
        if _NO_FONT not in entry.name.lower() and _has(entry.fname, character):
            weights = (
                FontProperties(family=entry.name, weight=weight) for weight in ("normal", "bold")
            )
            if all(_has(findfont(weight), character) for weight in weights):
                return str(entry.name)
    return None


def _has(font: str, character: str) -> bool:
    """Whether a font file has a character; one that cannot be read has none."""
    from matplotlib.font_manager import get_font

    with suppress(OSError, RuntimeError):
        return bool(get_font(font).get_char_index(ord(character)))
    return False
