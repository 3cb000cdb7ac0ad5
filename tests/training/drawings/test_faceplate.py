"""The faceplate: true size, holes, outline, labels that do not overlap, and the verb."""

import json
import re
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace
from itertools import combinations, pairwise

import pytest
import segno
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from device.files import sha256_of
from device.model.bundled import BUNDLED_MODEL
from device.model.summary import read_card
from device.plain_text import one_line
from device.playback.share_code import SharedPosition
from tests.support import tiny_model as tiny
from tests.support.command_output import listing, run_in_subprocess
from training.commands.faceplate import faceplate
from training.drawings.card_code import PlateText, read_plate_text
from training.drawings.faceplate import (
    MARGIN,
    SCREW_DIAMETER,
    SCREW_INSET,
    DoesNotFit,
    Sizes,
    build,
)
from training.drawings.pdf import characters_without_font, to_pdf
from training.drawings.shapes import Circle, Line, Rectangle
from training.drawings.svg import to_svg

SVG = "{http://www.w3.org/2000/svg}"
TEXT = read_plate_text(BUNDLED_MODEL)
HOSTILE = ["</text><script>", "&amp; \" '", "日本語のラベル", "مرحبا", "$\\frac{a}{b}$", "x" * 40]


def labelled(*labels):
    return replace(TEXT, labels=labels)


def layer(drawing, name):
    return next(layer.shapes for layer in drawing.layers if layer.name == name)


def circles(drawing):
    return [shape for shape in layer(drawing, "drill") if isinstance(shape, Circle)]


def invoke(*words):
    return CliRunner().invoke(faceplate, [str(word) for word in words])


# -- true size ------------------------------------------------------------------------------


def test_an_svg_has_one_unit_per_millimetre():
    drawing = build(TEXT, Sizes(pitch=18, width=200.5, height=120))
    root = ET.fromstring(to_svg(drawing).encode())
    page = (200.5 + 2 * MARGIN, drawing.height)
    assert root.get("width") == f"{page[0]:g}mm"
    assert root.get("height") == f"{page[1]:g}mm"
    assert root.get("viewBox") == f"0 0 {page[0]:g} {page[1]:g}"


def test_a_pdf_is_as_large_as_the_svg_and_its_scale_bar_has_50_mm():
    drawing = build(TEXT, Sizes(pitch=18))
    content = to_pdf(drawing)
    box = re.search(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", content)
    points = [float(number) for number in box.groups()]
    assert points == pytest.approx([drawing.width * 72 / 25.4, drawing.height * 72 / 25.4])
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.S)
    page = next(text for text in map(inflated, streams) if b" m\n" in text)
    lines = re.findall(rb"(\S+) (\S+) m\n(\S+) (\S+) l\n", page)
    widths = [float(x2) - float(x1) for x1, _, x2, _ in lines]
    assert any(width == pytest.approx(50 * 72 / 25.4, abs=0.01) for width in widths)


def inflated(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_the_same_faceplate_has_the_same_bytes():
    drawing = build(TEXT, Sizes())
    assert to_pdf(drawing) == to_pdf(drawing)
    assert to_svg(drawing) == to_svg(drawing)


# -- what is drilled and cut ----------------------------------------------------------------


def test_switches_leds_knob_and_screws_have_their_holes():
    holes = circles(build(TEXT, Sizes(switch_diameter=6.1, pitch=18)))
    switches = [hole for hole in holes if hole.diameter == 6.1]
    assert [hole.diameter for hole in holes if hole not in switches] == [
        *4 * [SCREW_DIAMETER],
        *3 * [5.0],
        7.0,
    ]
    steps = [b.x - a.x for a, b in pairwise(switches)]
    assert steps == pytest.approx(7 * [18])
    assert len({hole.y for hole in switches}) == 1


def test_every_hole_has_a_cross_at_its_centre():
    drawing = build(TEXT, Sizes())
    lines = [shape for shape in layer(drawing, "drill") if isinstance(shape, Line)]
    crosses = [((line.x1 + line.x2) / 2, (line.y1 + line.y2) / 2) for line in lines]
    centres = [(hole.x, hole.y) for hole in circles(drawing) for _arm in range(2)]
    assert crosses == [pytest.approx(centre) for centre in centres]


def test_the_outline_has_round_corners_and_a_screw_near_each():
    drawing = build(TEXT, Sizes(width=210, height=100))
    (outline,) = layer(drawing, "cut")
    assert (outline.x, outline.y, outline.width, outline.height) == (MARGIN, MARGIN, 210, 100)
    assert outline.radius > 0
    screws = {(hole.x - MARGIN, hole.y - MARGIN) for hole in circles(drawing)[:4]}
    far = (210 - SCREW_INSET, 100 - SCREW_INSET)
    assert screws == {(x, y) for x in (SCREW_INSET, far[0]) for y in (SCREW_INSET, far[1])}


def test_the_scale_bar_is_on_the_paper_that_is_cut_off():
    drawing = build(TEXT, Sizes())
    (outline,) = layer(drawing, "cut")
    bars = [s for s in layer(drawing, "note") if isinstance(s, Line) and s.x2 - s.x1 == 50]
    assert len(bars) == 1
    assert bars[0].y1 > outline.y + outline.height


def test_more_than_eight_switches_have_rows():
    def rows(n_switches, **sizes):
        text = labelled(*(f"label {n}" for n in range(n_switches)))
        holes = [h for h in circles(build(text, Sizes(**sizes))) if h.diameter == 6.5]
        return [sum(hole.y == y for hole in holes) for y in sorted({hole.y for hole in holes})]

    assert rows(8) == [8]
    assert rows(16) == [8, 8]
    assert rows(11) == [6, 5]
    assert rows(8, n_rows=2) == [4, 4]


def test_leds_knob_and_code_can_be_left_out():
    sizes = Sizes(led_diameter=0, knob_diameter=0, with_qr=False)
    drawing = build(TEXT, sizes)
    assert [hole.diameter for hole in circles(drawing)] == [*4 * [SCREW_DIAMETER], *8 * [6.5]]
    assert {"beat", "volume"}.isdisjoint(text.text for text in drawing.texts)
    assert "path" not in to_svg(drawing)


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        (Sizes(switch_diameter=12, pitch=14), "--pitch: found 14 mm, expected 15 mm"),
        (Sizes(width=100), "--width: found 100 mm, expected 184.0 mm"),
        (Sizes(height=40), "--height: found 40 mm, expected 7"),
        (Sizes(n_rows=9), "--rows: found 9, expected 1 to 8"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(sizes, words):
    with pytest.raises(DoesNotFit, match=re.escape(words)):
        build(TEXT, sizes)


# -- text -----------------------------------------------------------------------------------


def overlap(a, b):
    return a[0] < b[2] - 1e-6 and b[0] < a[2] - 1e-6 and a[1] < b[3] - 1e-6 and b[1] < a[3] - 1e-6


def nearest(hole, box):
    """Distance from a hole's centre to a box."""
    x = max(box[0] - hole.x, 0, hole.x - box[2])
    y = max(box[1] - hole.y, 0, hole.y - box[3])
    return (x * x + y * y) ** 0.5


LABELS = st.text(min_size=1, max_size=60).map(lambda text: one_line(text, 40))


@settings(max_examples=40)
@given(
    labels=st.lists(LABELS, min_size=1, max_size=16),
    title=LABELS,
    diameter=st.floats(2, 20),
    room=st.floats(3, 30),
)
def test_text_overlaps_neither_text_nor_holes_nor_the_outline(labels, title, diameter, room):
    text = replace(labelled(*labels), title=title)
    drawing = build(text, Sizes(switch_diameter=diameter, pitch=diameter + room))
    boxes = [line.box for line in drawing.texts]
    assert [pair for pair in combinations(boxes, 2) if overlap(*pair)] == []
    for hole in circles(drawing):
        assert all(nearest(hole, box) >= hole.diameter / 2 - 1e-6 for box in boxes)
    (outline,) = layer(drawing, "cut")
    inside = [s.box for s in layer(drawing, "print") if hasattr(s, "box")]
    assert all(outline.x <= left for left, _, _, _ in inside)
    assert all(right <= outline.x + outline.width for _, _, right, _ in inside)


def test_on_is_above_every_switch_and_off_below():
    drawing = build(TEXT, Sizes())
    switches = [hole for hole in circles(drawing) if hole.diameter == 6.5]
    marks = {word: [t for t in drawing.texts if t.text == word] for word in ("ON", "OFF")}
    for hole, on, off in zip(switches, marks["ON"], marks["OFF"], strict=True):
        assert on.x == off.x == hole.x
        assert on.y < hole.y - hole.diameter / 2 < hole.y + hole.diameter / 2 < off.box[1]


def test_hostile_and_non_latin_labels_are_text_and_nothing_else():
    drawing = build(labelled(*HOSTILE), Sizes(pitch=30))
    root = ET.fromstring(to_svg(drawing).encode())
    texts = [element.text for element in root.iter(f"{SVG}text")]
    shown = "".join("".join(texts).split())
    assert [label for label in HOSTILE if "".join(label.split()) not in shown] == []
    allowed = {"svg", "title", "rect", "g", "text", "line", "circle", "path"}
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed
    # Where the viewer chooses the font, the width is given.
    lengths = {e.text: e.get("textLength") for e in root.iter(f"{SVG}text")}
    assert lengths["ON"] is None
    assert any("日" in text for text in texts)
    assert all(lengths[text] for text in texts if "日" in text)
    assert to_pdf(drawing).startswith(b"%PDF")


def test_a_pdf_names_the_characters_that_no_font_has():
    private = "\U0010fffd"
    drawing = build(labelled(f"a{private}"), Sizes())
    assert characters_without_font(drawing) == private
    assert to_pdf(drawing).startswith(b"%PDF")
    assert characters_without_font(build(TEXT, Sizes())) == ""


# -- the model's card -----------------------------------------------------------------------


def test_the_code_holds_title_hash_and_licences():
    digest = sha256_of(BUNDLED_MODEL)
    assert TEXT.card == f"{read_card(BUNDLED_MODEL).title}\nSHA-256 {digest[:12]}\nCC0-1.0"
    drawing = build(TEXT, Sizes())
    squares = next(s for s in layer(drawing, "print") if s.kind == "squares")
    expected = segno.make(TEXT.card, error="m", micro=False, encoding="utf-8").matrix
    assert [list(row) for row in squares.rows] == [list(map(bool, row)) for row in expected]
    area = sum(width for _, _, width in squares.runs) * squares.module
    assert area == pytest.approx(sum(map(sum, expected)) * squares.module**2)
    # White all round, four modules wide.
    quiet = next(
        s for s in layer(drawing, "print") if isinstance(s, Rectangle) and s.fill == "#ffffff"
    )
    assert squares.x - quiet.x == pytest.approx(4 * squares.module)
    assert quiet.width == pytest.approx((len(expected) + 8) * squares.module)


def test_the_share_code_opens_this_model_at_its_start_with_all_switches_off():
    position = SharedPosition.parse(TEXT.share_code)
    assert sha256_of(BUNDLED_MODEL).startswith(position.digest)
    assert (position.bits, position.n_slots) == (8 * (False,), 0)


@pytest.mark.parametrize(
    ("provenance", "licences"),
    [
        ({}, "licence not recorded"),
        ({"corpus": "mine"}, "licence not recorded"),
        ({"corpus": {"licences": [1]}}, "licence not recorded"),
        ({"corpus": {"licences": "CC0-1.0"}}, "CC0-1.0"),
        ({"corpus": {"licences": ["CC BY 4.0", "CC0-1.0"]}}, "CC BY 4.0, CC0-1.0"),
    ],
)
def test_licences_are_those_of_the_corpus(build_model, provenance, licences):
    path = build_model(metadata={"provenance": json.dumps(provenance)})
    text = read_plate_text(path, title="Mine \x1b[2J")
    assert text.licences == licences
    assert text.title == r"Mine \x1b[2J"
    assert isinstance(text, PlateText)


# -- the verb -------------------------------------------------------------------------------


def test_the_defaults_draw_the_bundled_model(command_folder):
    done = run_in_subprocess("faceplate bundled")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "faceplate.svg: 8 switches, page 204 x 113 mm\n"
    root = ET.fromstring((command_folder / "faceplate.svg").read_bytes())
    assert (root.get("width"), root.get("height")) == ("204mm", "113mm")
    assert [g.get("id") for g in root.findall(f"{SVG}g")] == ["print", "drill", "cut", "note"]
    words = " ".join(e.text for e in root.iter(f"{SVG}text"))
    assert all(label in words for label in TEXT.labels)
    assert TEXT.share_code in words


def test_the_suffix_decides_between_svg_and_pdf(command_folder):
    model = tiny.build(command_folder / "tiny.onnx")
    for name, start in (("a.pdf", b"%PDF"), ("A.PDF", b"%PDF"), ("a.svg", b"<?xml")):
        assert invoke(model, "--out", name).exit_code == 0
        assert (command_folder / name).read_bytes().startswith(start)
    before = listing(command_folder)
    result = invoke(model, "--out", "a.png")
    assert result.exit_code == 2
    assert "found the suffix '.png', expected .svg or .pdf" in result.output
    assert listing(command_folder) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--width 30", "--width: found 30 mm"),
        ("--pitch 8", "--pitch: found 8 mm"),
        ("--rows 4", "--rows: found 4, expected 1 to 3"),
        ("--pitch nan", "not a finite number"),
    ],
)
def test_options_that_do_not_fit_are_explained_and_nothing_is_written(
    command_folder, options, words
):
    model = tiny.build(command_folder / "tiny.onnx")
    before = listing(command_folder)
    result = invoke(model, *options.split())
    assert result.exit_code == 2
    assert words in result.output
    assert listing(command_folder) == before


def test_a_character_without_a_font_is_reported(command_folder):
    model = tiny.build(command_folder / "tiny.onnx")
    # Khitan, which few machines have a font of.
    result = invoke(model, "--out", "a.pdf", "--title", "a \U00016fe4 b")
    assert result.exit_code == 0
    assert (command_folder / "a.pdf").read_bytes().startswith(b"%PDF")
    has_font = "found no installed font" not in result.output
    drawing = build(read_plate_text(model, "a \U00016fe4 b"), Sizes())
    assert has_font == (characters_without_font(drawing) == "")
