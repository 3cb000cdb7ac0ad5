"""The box behind the faceplate: five parts with finger joints, to cut from one sheet.

The bottom and four walls are as wide and high as the faceplate, which closes the box: it lies on
the walls, and four standoffs between it and the bottom hold it. Where two parts meet, one has
material where the other has none: the bottom owns its corners, front and back the upright ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from training.drawings.faceplate import MARGIN, NOTE_HEIGHT, SCREW_DIAMETER, SCREW_INSET, DoesNotFit
from training.drawings.letters import Box as Room
from training.drawings.letters import fit
from training.drawings.shapes import (
    CUT,
    MUTED,
    Circle,
    Drawing,
    Layer,
    Polygon,
    Rectangle,
    Shape,
    Text,
    moved,
    scale_bar,
)

# About the width of a finger, and the least of one in thicknesses of the sheet.
_FINGER, _LEAST_FINGER = 12.0, 1.5
_GAP = 5.0
# For the cables: a slot in the back, above the bottom.
_SLOT_WIDTH, _SLOT_HEIGHT, _SLOT_RADIUS, _SLOT_ABOVE = 40.0, 14.0, 3.0, 4.0
# Boards that the bottom has holes for (Raspberry Pi 3 to 5; Zero): width, height, and the distances
# of the M2.5 holes, the first of which are so far from two edges.
_BOARDS = ((85.0, 56.0, 58.0, 49.0), (65.0, 30.0, 58.0, 23.0))
_BOARD_HOLE, _BOARD_INSET = 2.7, 3.5

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its size, its outline and its holes, from its own top left corner."""

    name: str
    width: float
    height: float
    outline: Polygon
    holes: tuple[Shape, ...] = ()


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of a part, clockwise: where it is cut, and how deep.

    Attributes
    ----------
    ends : tuple of float
        Where each segment ends, from the edge's first corner; the last is the edge's length.
    depths : tuple of float
        Of each segment, 0 for a finger.
    """

    ends: tuple[float, ...]
    depths: tuple[float, ...]


def build(width: float, height: float, depth: float, thickness: float) -> Drawing:
    """The page with all parts; layers ``cut`` and ``note``.

    Parameters
    ----------
    width, height : float
        Of the faceplate, in mm.
    depth : float
        From the bottom to the faceplate, in mm: the length of the standoffs.
    thickness : float
        Of the sheet, in mm; 3 at most leave a standoff room beside the wall.

    Raises
    ------
    DoesNotFit
    """
    placed = list(_placed(parts(width, height, depth, thickness)))
    right = max(x + part.width for part, x, _ in placed)
    below = max(y + part.height for part, _, y in placed)
    cut: list[Shape] = []
    notes: list[Shape] = []
    for part, x, y in placed:
        cut += [moved(shape, x, y) for shape in (part.outline, *part.holes)]
        notes.append(Text(x + part.width / 2, y + part.height / 2, 4.0, part.name, fill=MUTED))
    words = (
        f"{thickness:g} mm sheet; the bar is 50 mm long. Drawn without kerf: offset the outlines "
        f"by half of your cutter's. Glue the fingers; four M3 standoffs of {depth:g} mm hold the "
        "panel."
    )
    notes += scale_bar(MARGIN, below + 6)
    size, lines = fit(words, Room(right - MARGIN, 9.0, 2.8, 1.2), bold=False)
    for number, line in enumerate(lines, 1):
        y = below + 7.5 + 1.15 * size * number
        notes.append(Text(MARGIN, y, size, line, "start", fill=MUTED))
    return Drawing(
        title="Box of the faceplate",
        width=right + MARGIN,
        height=below + MARGIN + NOTE_HEIGHT,
        layers=(Layer("cut", tuple(cut)), Layer("note", tuple(notes))),
    )


def parts(width: float, height: float, depth: float, thickness: float) -> tuple[Part, ...]:
    """Bottom, front, back, left and right, seen from outside."""
    tall = depth + thickness
    across, along = (_jointed(size, thickness, owned=True) for size in (width, height))
    under_long, under_short = (_jointed(size, thickness, owned=False) for size in (width, height))
    bottom = _part(
        "bottom", (across, along, across, along), _bottom_holes(width, height, thickness)
    )
    walls = []
    for name, size, under, owned, holes in (
        ("front", width, under_long, True, ()),
        ("back", width, under_long, True, _slot(width, tall, thickness)),
        ("left", height, under_short, False, ()),
        ("right", height, under_short, False, ()),
    ):
        upright = _jointed(depth, thickness, owned=owned)
        # From the top down; the last part, beside the bottom, is the bottom's.
        upright = Edge((*upright.ends[:-1], tall), upright.depths)
        walls.append(_part(name, (Edge((size,), (0.0,)), upright, under, None), holes))
    return bottom, *walls


def _jointed(length: float, thickness: float, *, owned: bool) -> Edge:
    """An odd number of fingers and gaps of one width; an owned edge begins and ends with fingers.

    Raises
    ------
    DoesNotFit
    """
    n = max(3, 2 * round((length / _FINGER - 1) / 2) + 1)
    if length / n < _LEAST_FINGER * thickness:
        least = n * _LEAST_FINGER * thickness
        raise DoesNotFit(
            f"an edge of the box: found {length:g} mm, expected {least:g} mm or more for fingers "
            f"in a sheet of {thickness:g} mm; choose a larger panel or --depth, or a thinner sheet"
        )
    ends = tuple(length * (i + 1) / n for i in range(n))
    return Edge(ends, tuple(0.0 if (i % 2 == 0) == owned else thickness for i in range(n)))


def _part(name: str, edges: Sequence[Edge | None], holes: tuple[Shape, ...]) -> Part:
    """A part from its edges, clockwise from the top; the last may be the second one mirrored."""
    top, right, below, left = edges
    assert top is not None
    assert right is not None
    assert below is not None
    width, height = top.ends[-1], right.ends[-1]
    # The same joints from the bottom up.
    starts = (0.0, *right.ends[:-1])
    rising = left or Edge(tuple(height - x for x in starts[::-1]), right.depths[::-1])
    points = _outline((top, right, below, rising), width, height)
    return Part(name, width, height, Polygon(points, stroke=CUT), holes)


def _outline(edges: Sequence[Edge], width: float, height: float) -> tuple[Point, ...]:
    """The corners of a part: where the line of one segment meets the line of the next."""
    points: list[Point] = []
    for side, edge in enumerate(edges):
        before = edges[side - 1].depths[-1]
        points.append(_on_side(side, before, edge.depths[0], width, height))
        steps = zip(edge.ends[:-1], edge.depths[:-1], edge.depths[1:], strict=True)
        for end, depth, after in steps:
            points += [_on_side(side, end, deep, width, height) for deep in (depth, after)]
    return tuple(points)


def _on_side(side: int, along: float, depth: float, width: float, height: float) -> Point:
    """A point so far along a side, clockwise, and so deep in the part."""
    return (
        (along, depth),
        (width - depth, along),
        (width - along, height - depth),
        (depth, height - along),
    )[side]


def _bottom_holes(width: float, height: float, thickness: float) -> tuple[Shape, ...]:
    """For the standoffs, and for the largest board that fits between them."""
    columns, rows = (SCREW_INSET, width - SCREW_INSET), (SCREW_INSET, height - SCREW_INSET)
    holes = [Circle(x, y, SCREW_DIAMETER, stroke=CUT) for x in columns for y in rows]
    wide, high = (size - 2 * (thickness + 1) for size in (width, height))
    # Beside a standoff, in one direction at least.
    free_wide, free_high = (size - 4 * SCREW_INSET for size in (width, height))
    for board_width, board_height, apart, down in _BOARDS:
        inside = board_width <= wide and board_height <= high
        if inside and (board_width <= free_wide or board_height <= free_high):
            x, y = (
                (width - board_width) / 2 + _BOARD_INSET,
                (height - board_height) / 2 + _BOARD_INSET,
            )
            places = [(x + right, y + below) for right in (0, apart) for below in (0, down)]
            return *holes, *(Circle(*place, _BOARD_HOLE, stroke=CUT) for place in places)
    return tuple(holes)


def _slot(width: float, tall: float, thickness: float) -> tuple[Shape, ...]:
    """The cables' way out, as large as the back allows."""
    wide = min(_SLOT_WIDTH, width - 2 * (_FINGER + thickness))
    high = min(_SLOT_HEIGHT, tall - 2 * (thickness + _SLOT_ABOVE))
    if wide <= 0 or high <= 0:
        return ()
    x, y = (width - wide) / 2, tall - thickness - _SLOT_ABOVE - high
    radius = min(_SLOT_RADIUS, wide / 2, high / 2)
    return (Rectangle(x, y, wide, high, radius, stroke=CUT),)


def _placed(all_parts: Sequence[Part]) -> Iterator[tuple[Part, float, float]]:
    """Parts and their places: one below the other, the two short walls side by side."""
    y = MARGIN
    *long, left, right = all_parts
    for part in long:
        yield part, MARGIN, y
        y += part.height + _GAP
    yield left, MARGIN, y
    yield right, MARGIN + left.width + _GAP, y
