"""The box: its parts fill the shell exactly, fit the faceplate, and the verb writes them."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import tiny_model as tiny
from tests.support.command_output import run_in_subprocess
from training.drawings.box import build, parts
from training.drawings.faceplate import SCREW_DIAMETER, SCREW_INSET, DoesNotFit
from training.drawings.shapes import Circle, Polygon, Rectangle

SVG = "{http://www.w3.org/2000/svg}"
SIZES = st.tuples(st.floats(30, 600), st.floats(30, 600), st.floats(20, 200), st.floats(1, 3))


def area(points):
    turns = pairwise([*points, points[0]])
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in turns)) / 2


@given(SIZES)
def test_the_parts_fill_the_shell_and_do_not_overlap(sizes):
    width, height, depth, thickness = sizes
    whole = width * height * (depth + thickness)
    inside = (width - 2 * thickness) * (height - 2 * thickness) * depth
    volume = thickness * sum(area(part.outline.points) for part in parts(*sizes))
    assert volume == pytest.approx(whole - inside)


@given(SIZES)
def test_every_outline_goes_along_and_across_within_its_part(sizes):
    for part in parts(*sizes):
        points = part.outline.points
        assert all(0 <= x <= part.width and 0 <= y <= part.height for x, y in points)
        for (x1, y1), (x2, y2) in pairwise([*points, points[0]]):
            assert (x1 == pytest.approx(x2)) != (y1 == pytest.approx(y2))


@given(SIZES)
def test_a_finger_of_a_wall_meets_a_gap_of_the_bottom(sizes):
    thickness = sizes[3]
    bottom, front, *_ = parts(*sizes)
    # Where each begins or ends along the front, from the left.
    ends = {round(x, 6) for x, y in bottom.outline.points if y >= bottom.height - thickness - 1e-6}
    fingers = {round(x, 6) for x, y in front.outline.points if y == pytest.approx(front.height)}
    assert fingers <= ends
    assert fingers


def test_standoffs_stand_under_the_screws_of_the_faceplate():
    bottom = parts(184, 78, 50, 3)[0]
    holes = {(hole.x, hole.y) for hole in bottom.holes if hole.diameter == SCREW_DIAMETER}
    assert holes == {
        (x, y) for x in (SCREW_INSET, 184 - SCREW_INSET) for y in (SCREW_INSET, 78 - SCREW_INSET)
    }


@pytest.mark.parametrize(
    ("size", "distances"), [((184, 78), (58, 49)), ((120, 50), (58, 23)), ((60, 60), None)]
)
def test_the_bottom_has_the_holes_of_the_largest_board_that_fits(size, distances):
    holes = [hole for hole in parts(*size, 50, 3)[0].holes if hole.diameter != SCREW_DIAMETER]
    spans = [max(values) - min(values) for values in zip(*((h.x, h.y) for h in holes), strict=True)]
    assert spans == pytest.approx(distances or [])


def test_the_page_has_every_part_apart_from_the_others():
    drawing = build(184, 78, 50, 3)
    cut = next(layer.shapes for layer in drawing.layers if layer.name == "cut")
    outlines = [shape for shape in cut if isinstance(shape, Polygon)]
    assert len(outlines) == 5
    boxes = []
    for outline in outlines:
        xs, ys = zip(*outline.points, strict=True)
        boxes.append((min(xs), min(ys), max(xs), max(ys)))
        assert min(xs) > 0
        assert max(xs) < drawing.width
        assert max(ys) < drawing.height
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3]
    assert sum(isinstance(shape, Circle) for shape in cut) == 8
    assert sum(isinstance(shape, Rectangle) for shape in cut) == 1


def test_an_edge_too_short_for_fingers_is_refused():
    with pytest.raises(DoesNotFit, match=r"found 9 mm, expected 13\.5 mm or more"):
        build(9, 78, 50, 3)


def test_the_verb_writes_a_box_of_the_size_of_its_panel(tmp_path):
    model = tiny.build(tmp_path / "model.onnx")
    out, box = tmp_path / "plate.svg", tmp_path / "box.svg"
    done = run_in_subprocess(f"faceplate {model} --out {out} --box {box} --width 200 --height 90")
    assert done.returncode == 0, done.stderr
    assert "a box of five parts" in done.stdout
    root = ET.fromstring(box.read_text(encoding="utf-8"))
    cut = next(group for group in root.iter(f"{SVG}g") if group.get("id") == "cut")
    numbers = cut.find(f"{SVG}path").get("d").strip("Mz ").split()
    xs, ys = (list(map(float, numbers[start::2])) for start in (0, 1))
    assert max(xs) - min(xs) == pytest.approx(200)
    assert max(ys) - min(ys) == pytest.approx(90)


@pytest.mark.parametrize("box", ["plate.svg", "model.onnx", "box.dxf"])
def test_a_box_that_would_replace_another_file_is_refused(tmp_path, box):
    model = tiny.build(tmp_path / "model.onnx")
    done = run_in_subprocess(
        f"faceplate {model} --out {tmp_path / 'plate.svg'} --box {tmp_path / box}"
    )
    assert done.returncode != 0
    assert "found" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "plate.svg").exists()
