"""The width of text, and letters that fit into a box."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.plain_text import one_line
from training.drawings.letters import LINE_HEIGHT, Box, fit, width_em
from training.drawings.pdf import to_pdf
from training.drawings.shapes import Drawing, Layer, Text

LABEL = Box(18, 10, 3.6, 1.2)


def test_letters_are_as_large_as_the_label_allows():
    assert fit("purer", LABEL) == (3.6, ["purer"])
    size, lines = fit("more contrast", LABEL)
    assert lines == ["more", "contrast"]
    assert 3 < size <= 3.6


def test_widths_are_those_of_the_font_whatever_was_drawn_before():
    before = width_em("m", bold=True)
    to_pdf(Drawing("", 50, 50, (Layer("print", (Text(9, 9, 5, "mw", bold=True),)),)))
    assert before == pytest.approx(1.042, abs=1e-3)
    assert width_em("w", bold=True) == pytest.approx(0.924, abs=1e-3)


def test_a_long_word_shrinks_and_is_broken_only_where_it_would_be_hard_to_read():
    size, lines = fit("percussiveness", LABEL)
    assert lines == ["percussiveness"]
    assert 1.8 <= size < 3.6
    size, lines = fit("x" * 40, LABEL)
    assert len(lines) > 1
    assert "".join(lines) == "x" * 40


def test_a_line_may_end_behind_every_ideograph():
    size, lines = fit("雨の日の静かな音楽", LABEL)
    assert len(lines) > 1
    assert "".join(lines) == "雨の日の静かな音楽"
    assert size > 2


def test_what_does_not_fit_in_the_smallest_letters_ends_in_an_ellipsis():
    size, lines = fit("W" * 40, Box(7, 3, 3.6, 1.2))
    assert size == 1.2
    assert lines[-1].endswith("…")


@given(st.text(max_size=60).map(lambda text: one_line(text, 40)), st.floats(5, 40))
def test_text_is_never_wider_or_higher_than_its_box(text, width):
    box = Box(width, 9.0, 3.2, 1.2)
    size, lines = fit(text, box)
    assert 1.2 <= size <= 3.2
    assert max(size * width_em(line, bold=True) for line in lines) <= width + 1e-9
    assert len(lines) * size * LINE_HEIGHT <= box.height + 1e-9
    shown, whole = "".join("".join(lines).split()), "".join(text.split())
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))
