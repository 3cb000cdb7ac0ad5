"""What a drawing consists of: lines, circles, outlines and text, in millimetres.

x is to the right and y downwards, from the top left corner of the page. The same list of shapes is
written as SVG (`training.drawings.svg`) and as PDF (`training.drawings.pdf`).
"""

from dataclasses import dataclass, replace
from typing import ClassVar, TypeVar

from training.drawings.letters import ASCENT, DESCENT, has_foreign, width_em

INK, MUTED, RULE, PAPER, WHITE = "#26211c", "#6b6258", "#ddd5c9", "#fbf8f3", "#ffffff"
ACCENT, CUT = "#c54d22", "#d0021b"


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line between two points.

    Attributes
    ----------
    dashed : bool
        Dashes and gaps of 1 mm.
    """

    kind: ClassVar[str] = "line"
    x1: float
    y1: float
    x2: float
    y2: float
    stroke: str = INK
    stroke_width: float = 0.1
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Circle:
    """A circle; `stroke` and `fill` are colours or ``none``."""

    kind: ClassVar[str] = "circle"
    x: float
    y: float
    diameter: float
    stroke: str = "none"
    fill: str = "none"
    stroke_width: float = 0.2


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle, its corners rounded by `radius`."""

    kind: ClassVar[str] = "rectangle"
    x: float
    y: float
    width: float
    height: float
    radius: float = 0.0
    stroke: str = "none"
    fill: str = "none"
    stroke_width: float = 0.2


@dataclass(frozen=True, slots=True)
class Polygon:
    """A closed outline through points, each (x, y); it is not filled."""

    kind: ClassVar[str] = "polygon"
    points: tuple[tuple[float, float], ...]
    stroke: str = INK
    stroke_width: float = 0.2


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text.

    Attributes
    ----------
    y : float
        Of the baseline.
    size : float
        Of the letters' em square.
    anchor : str
        What of the line is at `x`: ``start``, ``middle`` or ``end``.
    """

    kind: ClassVar[str] = "text"
    x: float
    y: float
    size: float
    text: str
    anchor: str = "middle"
    bold: bool = False
    fill: str = INK

    @property
    def width(self) -> float:
        """Of the line, as measured in the font that it is written in first."""
        return self.size * width_em(self.text, bold=self.bold)

    @property
    def forced_width(self) -> float | None:
        """The width to force where the text's font is any that the viewer happens to have."""
        return self.width if has_foreign(self.text) else None

    @property
    def box(self) -> tuple[float, float, float, float]:
        """What it covers: left, top, right, bottom."""
        left = self.x - self.width * {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        top, bottom = self.y - ASCENT * self.size, self.y + DESCENT * self.size
        return left, top, left + self.width, bottom


@dataclass(frozen=True, slots=True)
class Squares:
    """The dark modules of a QR code.

    Attributes
    ----------
    x, y : float
        Of the first module of the first row.
    module : float
        Edge of a module.
    rows : tuple of tuple of bool
        True is dark.
    """

    kind: ClassVar[str] = "squares"
    x: float
    y: float
    module: float
    rows: tuple[tuple[bool, ...], ...]

    @property
    def runs(self) -> list[tuple[float, float, float]]:
        """Dark runs of the rows: left, top, width."""
        found: list[tuple[float, float, float]] = []
        for number, row in enumerate(self.rows):
            starts = [i for i, dark in enumerate(row) if dark and (i == 0 or not row[i - 1])]
            for start in starts:
                n_dark = (*row, False).index(False, start) - start
                left, top = self.x + start * self.module, self.y + number * self.module
                found.append((left, top, n_dark * self.module))
        return found


Shape = Line | Circle | Rectangle | Polygon | Text | Squares
ShapeT = TypeVar("ShapeT", bound=Shape)


@dataclass(frozen=True, slots=True)
class Layer:
    """Shapes of one purpose, such as all that is cut; an SVG has a group of this name."""

    name: str
    shapes: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A page and what is on it, the lowest layer first."""

    title: str
    width: float
    height: float
    layers: tuple[Layer, ...]

    @property
    def texts(self) -> list[Text]:
        """Its lines of text."""
        return [s for layer in self.layers for s in layer.shapes if isinstance(s, Text)]


def moved(shape: ShapeT, right: float, down: float) -> ShapeT:
    """The shape at another place."""
    if isinstance(shape, Line):
        x1, x2, y1, y2 = shape.x1 + right, shape.x2 + right, shape.y1 + down, shape.y2 + down
        return replace(shape, x1=x1, x2=x2, y1=y1, y2=y2)
    if isinstance(shape, Polygon):
        return replace(shape, points=tuple((x + right, y + down) for x, y in shape.points))
    return replace(shape, x=shape.x + right, y=shape.y + down)


def scale_bar(x: float, y: float) -> list[Shape]:
    """A bar of 50 mm, which shows whether the printer has scaled the page, and what it is."""
    ends = [Line(x + end, y - 1, x + end, y + 1, stroke_width=0.15) for end in (0.0, 50.0)]
    tens = [Line(x + ten, y - 0.5, x + ten, y) for ten in (10.0, 20.0, 30.0, 40.0)]
    bar = Line(x, y, x + 50, y, stroke_width=0.15)
    return [*ends, *tens, bar]
