"""Text from outside is shown on one line, bounded, without escape sequences."""

import unicodedata
import xml.etree.ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from device.plain_text import MOST_CHARACTERS, MOST_IN_LINE, in_markup, one_line, visible

# Lone surrogates included, which hypothesis leaves out of `text`.
CHARACTERS = st.characters() | st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp", "Co"))
TEXTS = st.text(CHARACTERS, max_size=40) | st.text(st.characters(categories=("Cs", "Cc")))


@given(TEXTS)
@example("\x1b]0;owned\x07\x9b2J\u202e\u2066\u200b\ufeff\x7f\r\n\udce9")
def test_shown_text_is_printable_and_can_be_encoded(text):
    for shown in (visible(text), one_line(text)):
        assert shown.isprintable()
        assert {unicodedata.category(c) for c in shown} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set()
        shown.encode("utf-8")


@given(st.text(CHARACTERS, max_size=3), st.integers(0, 10**6), st.integers(30, 500))
def test_shown_text_is_bounded_and_keeps_both_ends(text, n, most):
    long = "begin " + text * (n // (len(text) + 1)) + " end"
    shown = visible(long, most)
    assert len(shown) <= most
    assert shown.startswith("begin ")
    assert shown.endswith(" end")


@given(st.text(st.characters(categories=("L", "N", "P", "S")), max_size=MOST_CHARACTERS))
@example("Café ❤\ufe0f 日本 [red]not a colour[/]")
def test_ordinary_text_stays_as_it_is(text):
    ordinary = "".join(c for c in text if visible(c) == c)
    assert len(ordinary) >= len(text) - sum(c in "\u115f\u1160\u3164\uffa0" for c in text)
    assert visible(ordinary) == ordinary


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b2J", r"\x9b2J"),
        ("B\udce9la.flac", r"B\xe9la.flac"),
        ("\ud800", r"\ud800"),
        ("a\u202eb\u2069", r"a\u202eb\u2069"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("\U000e0041", r"\U000e0041"),
        ("two\nlines\tand a tab", r"two\nlines\tand a tab"),
        ("two  spaces", "two  spaces"),
    ],
)
def test_an_invisible_character_becomes_an_escape(text, shown):
    assert visible(text) == shown


def test_white_space_of_prose_becomes_single_spaces():
    assert one_line("  two\r\n lines,\ta tab ") == "two lines, a tab"
    assert len(one_line("9" * 200_000)) == MOST_CHARACTERS
    assert len(visible("9" * 200_000)) == MOST_IN_LINE


@given(TEXTS)
def test_markup_stays_valid(text):
    kept = text.replace("&", "").replace("<", "").replace("\r", "")
    assert ET.fromstring(f"<t>{in_markup(kept)}</t>") is not None
