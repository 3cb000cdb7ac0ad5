"""The width of text, and the largest letters in which it fits into a box.

Widths are those of DejaVu Sans, which matplotlib brings. The sans-serif fonts that a viewer may
take in its place (Helvetica, Arial, Liberation Sans) are narrower.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

FONT = "DejaVu Sans"
# Of the em square: what letters cover above and below the baseline, and from line to line.
ASCENT, DESCENT, LINE_HEIGHT = 0.8, 0.24, 1.15

# Characters of other fonts: an ideograph has 1 em, an emoji up to 1.3. A mark above or below a
# letter has none, yet where no font has it a viewer draws a box.
_FOREIGN_EM = 1.3
_STEP_MM = 0.1
# Larger letters than this are preferred to a word that is broken.
_UNBROKEN_MM = 1.8
# A line may end behind a space, and behind every ideograph and kana.
_WIDE = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_PIECES = re.compile(rf"\s*(?:[{_WIDE}]|[^\s{_WIDE}]+)")


@dataclass(frozen=True, slots=True)
class Box:
    """Room for text, in millimetres, and the largest and smallest letters for it."""

    width: float
    height: float
    largest: float
    smallest: float

    @property
    def sizes(self) -> list[float]:
        """The sizes to try, the largest first."""
        n_steps = max(0, int((self.largest - self.smallest) / _STEP_MM + 1e-9))
        return [*(round(self.largest - n * _STEP_MM, 2) for n in range(n_steps)), self.smallest]

    def n_lines(self, size: float) -> int:
        """Lines of this size that it has room for."""
        return int(self.height / (size * LINE_HEIGHT) + 1e-9)


def width_em(text: str, *, bold: bool = False) -> float:
    """Width of a line of text, as a multiple of its letters' size."""
    return sum(_advance(character, bold) for character in text)


def has_foreign(text: str) -> bool:
    """Whether a character is of another font than the one that widths are measured in."""
    return any(not is_known(character) for character in text)


@cache
def is_known(character: str) -> bool:
    """Whether the font that widths are measured in has a character, in both its weights."""
    return all(_font(bold).get_char_index(ord(character)) for bold in (False, True))


def fit(text: str, box: Box, *, bold: bool = True) -> tuple[float, list[str]]:
    """Break text into lines, and find the largest letters that fit: millimetres, lines.

    A word is broken where its letters would be hard to read otherwise; text that does not fit in
    the smallest letters is cut, and ends in an ellipsis.
    """
    pieces = _PIECES.findall(text.strip())
    for size in box.sizes:
        lines = _wrapped(pieces, box.width / size, bold)
        is_whole = all(size * width_em(line, bold=bold) <= box.width for line in lines)
        if size >= min(_UNBROKEN_MM, box.largest) and is_whole and len(lines) <= box.n_lines(size):
            return size, lines
    for size in box.sizes:
        lines = _wrapped(_broken(pieces, box.width / size, bold), box.width / size, bold)
        if size <= _UNBROKEN_MM and len(lines) <= box.n_lines(size):
            return size, lines
    return box.smallest, _cut(lines, box, bold)


def _wrapped(pieces: Iterable[str], width: float, bold: bool) -> list[str]:
    """As many pieces in each line as fit; a piece that is wider alone has a line of its own."""
    lines = [""]
    for piece in pieces:
        if lines[-1] and width_em(lines[-1] + piece, bold=bold) > width:
            lines.append("")
        lines[-1] = (lines[-1] + piece).lstrip()
    return lines


def _broken(pieces: Sequence[str], width: float, bold: bool) -> Iterator[str]:
    """The pieces, and letter by letter those that are wider than a line."""
    for piece in pieces:
        if width_em(piece.strip(), bold=bold) <= width:
            yield piece
        else:
            yield from re.findall(r"\s*\S", piece)


def _cut(lines: Sequence[str], box: Box, bold: bool) -> list[str]:
    """The lines that there is room for, the last one with an ellipsis."""
    kept = list(lines[: max(1, box.n_lines(box.smallest))])
    last = kept[-1]
    while last and box.smallest * width_em(last + "…", bold=bold) > box.width:
        last = last[:-1]
    return [*kept[:-1], last + "…"]


@cache
def _advance(character: str, bold: bool) -> float:
    font = _font(bold)
    if not font.get_char_index(ord(character)):
        return _FOREIGN_EM
    return float(font.load_char(ord(character)).linearHoriAdvance) / 65536 / 100


@cache
def _font(bold: bool) -> Any:
    import matplotlib
    from matplotlib.ft2font import FT2Font

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    # An object of its own: those of `get_font` are shared, and what draws changes their size.
    font = FT2Font(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)))
    # 100 pixels an em.
    font.set_size(100, 72)
    return font
