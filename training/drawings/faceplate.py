"""The faceplate: what to print, drill and cut for the front of the box, in real millimetres.

The panel has a header (title, share code, status LEDs, volume knob, QR code) above rows of
switches. The page is the panel, a margin round it, and a note with a scale bar below.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from training.drawings.card_code import PlateText, qr_modules
from training.drawings.letters import Box, fit
from training.drawings.shapes import (
    ACCENT,
    CUT,
    INK,
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
    Squares,
    Text,
    moved,
    scale_bar,
)

# The page round the panel; below it the note.
MARGIN, NOTE_HEIGHT = 10.0, 15.0
# M3 screws, their distance from the edges, and the corners.
SCREW_DIAMETER, SCREW_INSET, CORNER_RADIUS = 3.2, 6.0, 4.0
# Between the panel's edge and what is on it; at the sides the heads of the screws.
_SIDE, _TOP, _BOTTOM = 12.0, 8.0, 6.0
_GAP = 6.0
# Panel left between two holes.
_BRIDGE = 3.0
# A cell: a number, a label, ON, the switch with its nut, OFF.
_NUMBER_DIAMETER, _LABEL_HEIGHT, _MARK = 4.0, 9.0, 2.2
_LABEL_INSET, _LARGEST, _SMALLEST = 0.8, 3.2, 1.2
_TITLE_WIDTH, _TITLE_HEIGHT, _NOTE = 44.0, 12.0, 2.6
_LEDS = ("beat", "playing", "fault")
_LED_PITCH, _CAPTION = 12.0, 2.2
_QR_MODULE, _QUIET_MODULES = 0.5, 4
_WIDEST_PER_ROW = 8


class DoesNotFit(ValueError):
    """The sizes of a faceplate contradict each other."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """What an owner chooses, in millimetres.

    Attributes
    ----------
    switch_diameter, led_diameter, knob_diameter : float
        Of the holes; LEDs and the knob are left out where they are 0.
    pitch : float
        From the middle of one switch to the middle of the next.
    width, height : float or None
        Of the panel; None: as small as what is on it allows.
    n_rows : int or None
        Rows of switches; None: eight switches in a row.
    with_qr : bool
    """

    switch_diameter: float = 6.5
    pitch: float = 20.0
    led_diameter: float = 5.0
    knob_diameter: float = 7.0
    width: float | None = None
    height: float | None = None
    n_rows: int | None = None
    with_qr: bool = True

    @property
    def nut_diameter(self) -> float:
        """Room for a switch's nut and washer, which are about twice as wide as its thread."""
        return max(1.9 * self.switch_diameter, self.switch_diameter + 4)

    @property
    def row_height(self) -> float:
        """Of a row of switches, from its numbers to its marks OFF."""
        marks = 2 * (_MARK + 1.0)
        return _NUMBER_DIAMETER + 1 + _LABEL_HEIGHT + marks + self.nut_diameter


@dataclass(frozen=True, slots=True)
class Block:
    """A part of the header: its width, height and shapes, from its own top left corner."""

    width: float
    height: float
    printed: tuple[Shape, ...]
    holes: tuple[Circle, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the panel, its header's blocks and its switches are on the page."""

    width: float
    height: float
    header: float
    lefts: tuple[float, ...]
    switches: tuple[tuple[float, float], ...]

    @property
    def left(self) -> float:
        """Left end of what is on the panel."""
        return MARGIN + _SIDE

    @property
    def inner_width(self) -> float:
        """Width of what is on the panel."""
        return self.width - 2 * _SIDE

    @property
    def top(self) -> float:
        """Top of the header."""
        return MARGIN + _TOP

    @property
    def screws(self) -> list[Circle]:
        """Their holes, one in each corner."""
        columns = MARGIN + SCREW_INSET, MARGIN + self.width - SCREW_INSET
        rows = MARGIN + SCREW_INSET, MARGIN + self.height - SCREW_INSET
        return [Circle(x, y, SCREW_DIAMETER) for x in columns for y in rows]


def build(text: PlateText, sizes: Sizes) -> Drawing:
    """The page with the faceplate.

    Layers, the lowest first: ``print``, ``drill`` (holes and their centres), ``cut`` (the outline),
    ``note`` (the scale bar, outside the panel).

    Raises
    ------
    DoesNotFit
    """
    _check(len(text.labels), sizes)
    blocks = list(_blocks(text, sizes))
    place = _place(len(text.labels), sizes, blocks)
    paper = Rectangle(MARGIN, MARGIN, place.width, place.height, CORNER_RADIUS, fill=PAPER)
    printed, holes = [paper, *_title(text, place, blocks)], list(place.screws)
    for left, block in zip(place.lefts, blocks, strict=True):
        down = place.top + (place.header - block.height) / 2
        printed += [moved(shape, left, down) for shape in block.printed]
        holes += [moved(hole, left, down) for hole in block.holes]
    for number, (centre, label) in enumerate(zip(place.switches, text.labels, strict=True), 1):
        printed += _marks(number, label, centre, sizes)
        holes.append(Circle(*centre, sizes.switch_diameter))
    outline = Rectangle(MARGIN, MARGIN, place.width, place.height, CORNER_RADIUS, stroke=CUT)
    return Drawing(
        title=f"Faceplate of {text.title}",
        width=place.width + 2 * MARGIN,
        height=place.height + 2 * MARGIN + NOTE_HEIGHT,
        layers=(
            Layer("print", tuple(printed)),
            Layer("drill", tuple(shape for hole in holes for shape in _drilled(hole))),
            Layer("cut", (outline,)),
            Layer("note", tuple(_note(place))),
        ),
    )


def panel_size(drawing: Drawing) -> tuple[float, float]:
    """Width and height of the panel on a page of `build`."""
    return drawing.width - 2 * MARGIN, drawing.height - 2 * MARGIN - NOTE_HEIGHT


def _check(n_switches: int, sizes: Sizes) -> None:
    least = sizes.switch_diameter + _BRIDGE
    if sizes.pitch < least:
        raise DoesNotFit(
            f"--pitch: found {sizes.pitch:g} mm, expected {least:g} mm or more for holes of "
            f"{sizes.switch_diameter:g} mm; choose a larger pitch or smaller switches"
        )
    if sizes.n_rows is not None and sizes.n_rows > n_switches:
        raise DoesNotFit(
            f"--rows: found {sizes.n_rows}, expected 1 to {n_switches}, one for each switch of the "
            "model at most; choose fewer rows"
        )


def _place(n_switches: int, sizes: Sizes, blocks: Sequence[Block]) -> Place:
    n_rows = sizes.n_rows or -(-n_switches // _WIDEST_PER_ROW)
    per_row = -(-n_switches // n_rows)
    header = max([_TITLE_HEIGHT + 3 * _NOTE, *(block.height for block in blocks)])
    above = _TOP + header + _GAP
    taken = sum(block.width + _GAP for block in blocks)
    inner = max(per_row * sizes.pitch, _TITLE_WIDTH + taken)
    row, gap = sizes.row_height, _GAP / 2
    needed = above + n_rows * (row + gap) - gap + _BOTTOM
    width = _chosen("--width", sizes.width, inner + 2 * _SIDE)
    height = _chosen("--height", sizes.height, needed)
    rows = [
        range(start, min(start + per_row, n_switches)) for start in range(0, n_switches, per_row)
    ]
    first = MARGIN + width / 2 - (per_row - 1) / 2 * sizes.pitch
    spare = (height - needed) / (len(rows) + 1)
    below = _MARK + 1 + sizes.nut_diameter / 2
    centres = [
        (
            first + column * sizes.pitch,
            MARGIN + above + spare + line * (row + gap + spare) + row - below,
        )
        for line, members in enumerate(rows)
        for column in range(len(members))
    ]
    steps = accumulate(
        (block.width + _GAP for block in blocks),
        initial=MARGIN + width - _SIDE - taken + _GAP,
    )
    return Place(width, height, header, tuple(steps)[: len(blocks)], tuple(centres))


def _chosen(option: str, size: float | None, needed: float) -> float:
    """A size of the panel, the next whole millimetre where none was chosen."""
    if size is not None and size < needed - 1e-9:
        raise DoesNotFit(
            f"{option}: found {size:g} mm, expected {needed:.1f} mm or more for what is on the "
            "panel; choose a larger panel, a smaller --pitch, other --rows, or leave parts out "
            "(--led-diameter 0, --knob-diameter 0, --no-qr)"
        )
    return -(-needed // 1) if size is None else size


def _blocks(text: PlateText, sizes: Sizes) -> Iterator[Block]:
    """The header's parts right of the title."""
    if sizes.led_diameter:
        yield _leds(sizes.led_diameter)
    if sizes.knob_diameter:
        yield _knob(sizes.knob_diameter)
    if sizes.with_qr:
        rows = qr_modules(text.card)
        edge = (len(rows) + 2 * _QUIET_MODULES) * _QR_MODULE
        quiet = _QUIET_MODULES * _QR_MODULE
        paper = Rectangle(0, 0, edge, edge, fill=WHITE)
        yield Block(edge, edge, (paper, Squares(quiet, quiet, _QR_MODULE, rows)))


def _leds(diameter: float) -> Block:
    pitch = max(_LED_PITCH, diameter + _BRIDGE + 2)
    bezel = diameter + 2
    centres = [(index + 0.5) * pitch for index in range(len(_LEDS))]
    return Block(
        width=len(_LEDS) * pitch,
        height=bezel + 1.5 + _CAPTION,
        printed=(
            *(Circle(x, bezel / 2, bezel, stroke=RULE) for x in centres),
            *(
                Text(x, bezel + 1 + _CAPTION, _CAPTION, name, fill=MUTED)
                for x, name in zip(centres, _LEDS, strict=True)
            ),
        ),
        holes=tuple(Circle(x, bezel / 2, diameter) for x in centres),
    )


def _knob(diameter: float) -> Block:
    """A volume knob: its cap is about three times as wide as the thread of its encoder."""
    cap = max(3 * diameter, diameter + 8)
    width, x, y = cap + 8, cap / 2 + 4, cap / 2
    return Block(
        width=width,
        height=cap + 1.5 + _CAPTION,
        printed=(
            Circle(x, y, cap, stroke=RULE),
            Text(2, y + 1.3, 3.6, "−", bold=True, fill=ACCENT),
            Text(width - 2, y + 1.3, 3.6, "+", bold=True, fill=ACCENT),
            Text(x, cap + 1 + _CAPTION, _CAPTION, "volume", fill=MUTED),
        ),
        holes=(Circle(x, y, diameter),),
    )


def _title(text: PlateText, place: Place, blocks: Sequence[Block]) -> Iterator[Shape]:
    """Title, share code, hash and licences left of the blocks; the rule below the header."""
    x, rule = place.left, place.top + place.header + _GAP / 2
    yield Line(x, rule, x + place.inner_width, rule, RULE, 0.25)
    width = place.inner_width - sum(block.width + _GAP for block in blocks)
    size, lines = fit(text.title, Box(width, _TITLE_HEIGHT, 6.5, 2.0))
    notes = [f"share code {text.share_code}", f"SHA-256 {text.digest}", text.licences]
    step = 1.15 * size
    spare = place.header - step * len(lines) - 1.5 * _NOTE * len(notes)
    baseline = place.top + spare / 2 + 0.8 * size
    for line in lines:
        yield Text(x, baseline, size, line, "start", bold=True)
        baseline += step
    baseline += 1.1 * _NOTE - 0.8 * size
    for note in notes:
        small, (line, *_) = fit(note, Box(width, 1.2 * _NOTE, _NOTE, 1.2), bold=False)
        yield Text(x, baseline, small, line, "start", fill=MUTED)
        baseline += 1.45 * _NOTE


def _marks(number: int, label: str, centre: tuple[float, float], sizes: Sizes) -> Iterator[Shape]:
    """What is printed round a switch."""
    x, y = centre
    nut = sizes.nut_diameter / 2
    on = y - nut - 0.7
    foot = on - _MARK
    top = foot - _LABEL_HEIGHT
    box = Box(sizes.pitch - 2 * _LABEL_INSET, _LABEL_HEIGHT, _LARGEST, _SMALLEST)
    size, lines = fit(label, box)
    disc = top - 0.6 - _NUMBER_DIAMETER / 2
    yield Circle(x, disc, _NUMBER_DIAMETER, fill=ACCENT)
    yield Text(x, disc + 0.95, 2.6, str(number), bold=True, fill=WHITE)
    baseline = top + (_LABEL_HEIGHT - 1.15 * size * len(lines)) / 2 + 0.87 * size
    for place, line in enumerate(lines):
        yield Text(x, baseline + 1.15 * size * place, size, line, bold=True)
    yield Circle(x, y, min(2 * nut, sizes.pitch - 1), stroke=RULE)
    yield Text(x, on, _MARK, "ON", bold=True, fill=ACCENT)
    yield Text(x, y + nut + 0.7 + 0.75 * _MARK, _MARK, "OFF", bold=True, fill=MUTED)


def _drilled(hole: Circle) -> Iterator[Shape]:
    """A hole, and a cross at its centre for the punch."""
    arm = min(1.5, 0.4 * hole.diameter)
    yield Circle(hole.x, hole.y, hole.diameter, stroke=INK, fill=WHITE)
    yield Line(hole.x - arm, hole.y, hole.x + arm, hole.y)
    yield Line(hole.x, hole.y - arm, hole.x, hole.y + arm)


def _note(place: Place) -> Iterator[Shape]:
    y = MARGIN + place.height + 6
    yield from scale_bar(MARGIN, y)
    words = (
        f"Print at 100 %: the bar is 50 mm long, the panel {place.width:g} x {place.height:g} mm. "
        "Glue it on, punch the crosses, drill, cut along the red line."
    )
    size, lines = fit(words, Box(place.width, 9.0, 2.8, 1.2), bold=False)
    for number, line in enumerate(lines, 1):
        yield Text(MARGIN, y + 1.5 + 1.15 * size * number, size, line, "start", fill=MUTED)
