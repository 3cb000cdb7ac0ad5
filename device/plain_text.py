"""Text from outside, made printable: titles, labels, file names, output of another machine.

Such text can contain escape sequences for the terminal, characters that hide or reverse other text
(zero-width and bidirectional), and lone surrogates, which no encoding can write and which stand for
bytes of file names that are not UTF-8. Here it becomes visible, and bounded.
Standard library alone.
"""

import re

MOST_CHARACTERS = 300
# One line of output, an error included: names and values in it may be several.
MOST_IN_LINE = 2_000
_CUT = " … "
# Letters and marks by their category, yet without any width: Hangul fillers, the grapheme joiner,
# inherent vowels and Mongolian selectors. The selectors of emoji stay.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
# Characters that XML 1.0 forbids, or that reverse or hide text; line ends and tabs are allowed.
_NOT_IN_MARKUP = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ud800-\udfff\ufffe\uffff]"
)


def visible(text: str, most: int = MOST_IN_LINE) -> str:
    r"""Text on one line, with an escape such as ``\x1b`` for each invisible character.

    Parameters
    ----------
    most : int
        Characters that are shown; of longer text the beginning and the end.
    """
    if len(text) <= most and text.isprintable() and _INVISIBLE.isdisjoint(text):
        return text
    return _shortened("".join(map(_shown, _shortened(text, most))), most)


def one_line(text: str, most: int = MOST_CHARACTERS) -> str:
    """Like `visible`, for prose: each run of white space, line ends included, is one space."""
    return visible(" ".join(text.split()), most)


def in_markup(text: str) -> str:
    """Markup without the characters that HTML and XML forbid or that reverse text."""
    return _NOT_IN_MARKUP.sub("\N{REPLACEMENT CHARACTER}", text)


def _shown(character: str) -> str:
    if character.isprintable() and character not in _INVISIBLE:
        return character
    code = ord(character)
    # How Python writes a byte of a file name that is not UTF-8.
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def _shortened(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    n_end = (most - len(_CUT)) // 3
    return text[: most - len(_CUT) - n_end] + _CUT + text[len(text) - n_end :]
