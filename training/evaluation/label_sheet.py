"""The label sheet: an SVG in real millimetres, to print, cut out and glue beside the switches."""

from collections.abc import Iterator, Sequence

from device.plain_text import one_line, visible
from training.drawings.letters import LINE_HEIGHT, Box, fit
from training.drawings.shapes import (
    ACCENT,
    MUTED,
    PAPER,
    RULE,
    WHITE,
    Circle,
    Drawing,
    Layer,
    Line,
    Rectangle,
    Shape,
    Text,
    scale_bar,
)
from training.drawings.svg import to_svg

# A4, and what most printers leave white.
_WIDTH_MM, _HEIGHT_MM = 210.0, 297.0
_MARGIN_MM = 12.0
_STRIP_HEIGHT_MM, _STRIP_GAP_MM = 16.0, 9.0
_FIRST_STRIP_MM = 44.0
_LARGEST_MM, _SMALLEST_MM = 3.6, 1.2
_INSET_MM = 1.0
_NUMBER_ROOM_MM = 5.0
_MOST_LABEL = 40


def build(title: str, names: Sequence[str], *, pitch_mm: float) -> str:
    """The sheet, as SVG.

    Parameters
    ----------
    names : sequence of str
        One per switch.
    pitch_mm : float
        From the middle of one switch to the middle of the next.
    """
    shown = [one_line(name, _MOST_LABEL) for name in names]
    layers = Layer("note", tuple(_head(visible(title), pitch_mm))), *_strips(shown, pitch_mm)
    return to_svg(Drawing(f"Switch labels of {title}", _WIDTH_MM, _HEIGHT_MM, layers))


def widest_pitch_mm() -> float:
    """Largest pitch at which one label fits on the paper."""
    return _WIDTH_MM - 2 * _MARGIN_MM


def _head(title: str, pitch_mm: float) -> Iterator[Shape]:
    size, lines = fit(title, Box(widest_pitch_mm(), 7.0, 6.0, 2.0))
    for number, line in enumerate(lines):
        y = 19 - (len(lines) - 1 - number) * LINE_HEIGHT * size
        yield Text(_MARGIN_MM, y, size, line, "start", bold=True)
    how = (
        "Print at 100 %, cut along the marks, glue beside the switches: "
        f"{pitch_mm:g} mm from one to the next."
    )
    yield Text(_MARGIN_MM, 25, 3.1, how, "start", fill=MUTED)
    yield from scale_bar(_MARGIN_MM, 30)
    check = "this line is 50 mm long, or the printer has scaled the page"
    yield Text(_MARGIN_MM + 52, 31, 3.1, check, "start", fill=MUTED)


def _strips(names: Sequence[str], pitch_mm: float) -> Iterator[Layer]:
    """As many switches side by side as the paper is wide; the rest below."""
    per_strip = max(1, int(widest_pitch_mm() / pitch_mm + 1e-9))
    for row, first in enumerate(range(0, len(names), per_strip)):
        some = names[first : first + per_strip]
        y = _FIRST_STRIP_MM + row * (_STRIP_HEIGHT_MM + _STRIP_GAP_MM)
        strip = Rectangle(_MARGIN_MM, y, len(some) * pitch_mm, _STRIP_HEIGHT_MM, fill=PAPER)
        shapes: list[Shape] = [*_cut_marks(strip), strip]
        for place, name in enumerate(some):
            shapes += _label(first + place, strip, place * pitch_mm, name, pitch_mm)
        yield Layer(f"strip-{row + 1}", tuple(shapes))


def _cut_marks(strip: Rectangle) -> Iterator[Line]:
    """Marks outside its corners, where to cut."""
    for x, out in ((strip.x, -1), (strip.x + strip.width, 1)):
        for y, up in ((strip.y, -1), (strip.y + strip.height, 1)):
            yield Line(x + out, y, x + 4 * out, y)
            yield Line(x, y + up, x, y + 4 * up)


def _label(
    index: int, strip: Rectangle, left: float, name: str, pitch_mm: float
) -> Iterator[Shape]:
    """The number and name of a switch; `left` is from the left end of its strip."""
    x, y = strip.x + left, strip.y
    centre = x + pitch_mm / 2
    if left:
        yield Line(x, y + 1, x, y + _STRIP_HEIGHT_MM - 1, RULE, 0.15, dashed=True)
    yield Circle(centre, y + 3, 4, fill=ACCENT)
    yield Text(centre, y + 3.95, 2.6, str(index + 1), bold=True, fill=WHITE)
    room = _STRIP_HEIGHT_MM - _NUMBER_ROOM_MM - _INSET_MM
    size, lines = fit(name, Box(pitch_mm - 2 * _INSET_MM, room, _LARGEST_MM, _SMALLEST_MM))
    foot = y + _NUMBER_ROOM_MM + (room - len(lines) * size * LINE_HEIGHT) / 2
    for number, line in enumerate(lines):
        yield Text(centre, foot + (number + 0.8) * size * LINE_HEIGHT, size, line, bold=True)
