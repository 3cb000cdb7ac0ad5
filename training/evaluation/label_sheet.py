"""The label sheet: an SVG in real millimetres, to print, cut out and glue beside the switches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from device.plain_text import visible
from training.reporting.html import render

# A4, and what most printers leave white.
_WIDTH_MM, _HEIGHT_MM = 210.0, 297.0
_MARGIN_MM = 12.0
_STRIP_HEIGHT_MM, _STRIP_GAP_MM = 16.0, 9.0
_FIRST_STRIP_MM = 44.0
# Sans-serif letters are about half as wide as high, lines 1.15 times as far apart.
_LETTER_WIDTH, _LINE_HEIGHT = 0.54, 1.15
_LARGEST_MM, _SMALLEST_MM = 3.6, 1.4
_INSET_MM = 1.0
_NUMBER_ROOM_MM = 5.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; `y` is its baseline, in millimetres."""

    text: str
    y: float


@dataclass(frozen=True, slots=True)
class Label:
    """The label beside one switch, in millimetres from the left of its strip.

    Attributes
    ----------
    left, centre : float
    size : float
        Of the letters.
    """

    number: int
    left: float
    centre: float
    size: float
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """Labels that are cut out in one piece."""

    x: float
    y: float
    width: float
    height: float
    labels: tuple[Label, ...]

    @property
    def cuts(self) -> list[tuple[float, float, float, float]]:
        """Marks outside its corners, where to cut: x, y, x, y."""
        return [
            mark
            for x, out in ((self.x, -1), (self.x + self.width, 1))
            for y, up in ((self.y, -1), (self.y + self.height, 1))
            for mark in ((x + out, y, x + 4 * out, y), (x, y + up, x, y + 4 * up))
        ]


def build(title: str, names: Sequence[str], *, pitch_mm: float) -> str:
    """The sheet, as SVG.

    Parameters
    ----------
    names : sequence of str
        One per switch.
    pitch_mm : float
        From the middle of one switch to the middle of the next.
    """
    strips = list(_strips([visible(name) for name in names], pitch_mm))
    return render(
        "labels.svg",
        title=title,
        strips=strips,
        pitch=pitch_mm,
        width=_WIDTH_MM,
        height=_HEIGHT_MM,
        margin=_MARGIN_MM,
    )


def widest_pitch_mm() -> float:
    """Largest pitch at which one label fits on the paper."""
    return _WIDTH_MM - 2 * _MARGIN_MM


def _strips(names: Sequence[str], pitch_mm: float) -> Iterator[Strip]:
    """As many switches side by side as the paper is wide; the rest below."""
    per_strip = max(1, int(widest_pitch_mm() / pitch_mm + 1e-9))
    for row, first in enumerate(range(0, len(names), per_strip)):
        some = names[first : first + per_strip]
        yield Strip(
            x=_MARGIN_MM,
            y=_FIRST_STRIP_MM + row * (_STRIP_HEIGHT_MM + _STRIP_GAP_MM),
            width=len(some) * pitch_mm,
            height=_STRIP_HEIGHT_MM,
            labels=tuple(
                _label(first + place, place * pitch_mm, name, pitch_mm)
                for place, name in enumerate(some)
            ),
        )


def _label(index: int, left: float, name: str, pitch_mm: float) -> Label:
    room = _STRIP_HEIGHT_MM - _NUMBER_ROOM_MM - _INSET_MM
    size, lines = fit(name, pitch_mm - 2 * _INSET_MM, room)
    foot = _NUMBER_ROOM_MM + (room - len(lines) * size * _LINE_HEIGHT) / 2
    placed = tuple(
        Line(text, round(foot + (n + 0.8) * size * _LINE_HEIGHT, 2)) for n, text in enumerate(lines)
    )
    return Label(index + 1, left, left + pitch_mm / 2, round(size, 2), placed)


def fit(name: str, width_mm: float, height_mm: float) -> tuple[float, list[str]]:
    """Break a name into lines, and find the largest letters that fit: millimetres, lines."""
    candidates = (
        wrap(name, n_letters, break_long_words=False, break_on_hyphens=False)
        for n_letters in range(1, len(name) + 1)
    )
    sized = [(_largest(lines, width_mm, height_mm), lines) for lines in candidates]
    # Of equal sizes the one with the fewest lines.
    size, lines = max(sized, key=lambda fitted: (fitted[0], -len(fitted[1])))
    return max(size, _SMALLEST_MM), lines


def _largest(lines: Sequence[str], width_mm: float, height_mm: float) -> float:
    longest = max(len(line) for line in lines)
    return min(
        _LARGEST_MM,
        width_mm / (longest * _LETTER_WIDTH),
        height_mm / (len(lines) * _LINE_HEIGHT),
    )
