"""Licences as short codes: archives spell the same licence in a dozen ways.

A licence gets a code only if all of its text was recognised, to the last word. An unknown word may
be a condition, so a text with one is "other": never freer than the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

CODES = ("by", "by-sa", "by-nc", "by-nc-sa", "by-nd", "by-nc-nd", "cc0", "public-domain", "other")

_VERSION = r"[1-4](?:\.[0-9])?"
_PORTS = (
    "ar|at|au|az|be|bg|br|ca|ch|cl|cn|co|cr|cz|de|dk|ec|ee|eg|es|fi|fr|ge|gr|gt|hk|hr|hu|ie|"
    "igo|il|in|it|jp|kr|lu|mk|mt|mx|my|nl|no|nz|pe|ph|pl|pr|pt|ro|rs|scotland|se|sg|si|th|tw|"
    "ug|uk|us|ve|vn|za"
)
"""Jurisdictions that licences were adapted to, as in addresses."""
_COUNTRIES = (
    "argentina|armenia|australia|austria|azerbaijan|belgium|brazil|bulgaria|canada|chile|"
    "china(?: mainland)?|colombia|costa rica|croatia|czech republic|denmark|ecuador|egypt|"
    "(?:uk )?england (?:and )?wales|(?:uk )?scotland|estonia|finland|france|georgia|germany|"
    "greece|guatemala|hong kong|hungary|iceland|igo|india|ireland|israel|italy|japan|"
    "(?:south )?korea|luxembourg|macedonia|malaysia|malta|mexico|netherlands|new zealand|norway|"
    "peru|philippines|poland|portugal|puerto rico|romania|serbia|singapore|slovenia|south africa|"
    "spain|sweden|switzerland|taiwan|thailand|uganda|united kingdom|united states|venezuela|vietnam"
)
_ADDRESS = re.compile(
    r"(?:https?://)?(?:www\.)?creativecommons\.org/"
    r"(?:licenses/(?P<code>by(?:-(?:nc|nd|sa))*)|publicdomain/(?P<public>zero|mark)"
    r"|licenses/(?P<old>publicdomain))"
    rf"(?:/{_VERSION})?(?:/(?:{_PORTS}))?(?:/(?:deed|legalcode)(?:\.[a-z_-]+)?)?/?"
)
# The parts of a name: the conditions in it, named by their group, and words without effect.
_PART = re.compile(
    r"(?:"
    r"(?P<by>attribution)|(?P<nc>non ?commercial|nc)|(?P<sa>share ?alike|sa)"
    r"|(?P<nd>no ?deriv(?:s|atives?(?: works)?)?|nd)|(?P<sharing>(?:aka )?music ?sharing)"
    r"|(?P<short>(?:cc ?)?by(?: ?(?:nc|nd|sa))*)"
    r"|(?P<zero>cc ?0|(?:cc|creative ?commons) zero)|(?P<public>public ?domain)"
    r"|(?P<cc>creative ?commons|cc)"
    rf"|v?{_VERSION}(?: (?:{_PORTS}))?"
    rf"|{_COUNTRIES}"
    r"|international|unported|generic|universal|licen[cs]e|dedication|mark"
    r"|(?:this work is )?licen[cs]ed under(?: an?| the)?"
    r")(?: |$)"
)
_SPELT = {
    "by": {"by"},
    "nc": {"nc"},
    "sa": {"sa"},
    "nd": {"nd"},
    "sharing": {"by", "nc", "nd"},  # the Free Music Archive's name for by-nc-nd
    "zero": {"cc0"},
    "public": {"public-domain"},
    "cc": {"cc"},
}


def licence_code(licence: str | None) -> str:
    """Return the code of a licence: a Creative Commons licence without its version, or "other".

    Reads names ("Attribution-Noncommercial-Share Alike 3.0 United States"), abbreviations
    ("CC BY-NC-SA 4.0") and addresses (".../licenses/by-nc-sa/3.0/"), in English, each to its end.
    """
    text = "".join(map(_plain, unicodedata.normalize("NFKC", licence or ""))).casefold().strip()
    address = _ADDRESS.fullmatch(text)
    if address is not None:
        conditions = set((address["code"] or "").split("-")) - {""}
        if address["public"] or address["old"]:
            conditions = {"cc0" if address["public"] == "zero" else "public-domain"}
        return _code(conditions)
    named = _conditions(" ".join(re.sub(r"[-()\[\],:;/&_]", " ", text).split()).rstrip("."))
    return "other" if named is None else _code(named)


def _plain(character: str) -> str:
    """Return a character in its plain form: any dash as "-", none for invisible ones."""
    category = unicodedata.category(character)
    return (
        "-" if category == "Pd" or character == "\u2212" else "" if category == "Cf" else character
    )


def _conditions(words: str) -> set[str] | None:
    """Return the conditions that a name spells out; None if it holds other words."""
    conditions: set[str] = set()
    position = 0
    while position < len(words):
        part = _PART.match(words, position)
        if part is None:
            return None
        if part.lastgroup == "short":
            conditions |= set(re.findall("cc|by|nc|nd|sa", part["short"]))
        elif part.lastgroup:
            conditions |= _SPELT[part.lastgroup]
            conditions |= {"cc"} if part.lastgroup in {"by", "sharing"} else set()
        position = part.end()
    # "by" alone is a word like any other.
    return conditions - {"cc"} if "cc" in conditions or "by" not in conditions else None


def _code(conditions: set[str]) -> str:
    if "cc0" in conditions:
        conditions = conditions - {"public-domain"}  # it is "public domain dedication" in full
    code = "-".join(c for c in ("by", "nc", "nd", "sa", "cc0", "public-domain") if c in conditions)
    return code if code in CODES else "other"


def is_allowed(licence: str | None, allowed: Collection[str]) -> bool:
    """Return whether a licence is among those allowed, by its code or by its exact name."""
    return licence_code(licence) in allowed or (licence or "").strip() in allowed
