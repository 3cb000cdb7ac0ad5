"""Licences as short codes: archives spell the same licence in a dozen ways."""

from __future__ import annotations

import re
from collections.abc import Collection

CODES = ("by", "by-sa", "by-nc", "by-nc-sa", "by-nd", "by-nc-nd", "cc0", "public-domain", "other")

_SHORT = re.compile(r"\b(by(?:-nc)?(?:-sa|-nd)?)\b")  # in "CC BY-NC 4.0" and in addresses


def licence_code(licence: str | None) -> str:
    """Return the code of a licence: a Creative Commons licence without its version, or "other".

    Reads names ("Attribution-Noncommercial-Share Alike 3.0 United States"), abbreviations
    ("CC BY-NC-SA 4.0") and addresses (".../licenses/by-nc-sa/3.0/").
    """
    text = (licence or "").casefold()
    letters = re.sub("[^a-z0-9]", "", text)
    if "cc0" in letters or "publicdomain/zero" in text:
        return "cc0"
    if "publicdomain" in letters:
        return "public-domain"
    if "sampling" in letters:
        return "other"
    if "attribution" in letters or letters == "musicsharing":
        return _spelt_out(letters)
    short = _SHORT.search(text) if "cc" in letters or "creativecommons" in letters else None
    return short[1] if short else "other"


def _spelt_out(letters: str) -> str:
    sharing = "musicsharing" in letters  # the Free Music Archive's name for by-nc-nd
    code = "by"
    code += "-nc" if sharing or "noncommercial" in letters else ""
    code += "-nd" if sharing or "noderiv" in letters else ""
    code += "-sa" if "sharealike" in letters else ""
    return code if code in CODES else "other"


def is_allowed(licence: str | None, allowed: Collection[str]) -> bool:
    """Say whether a licence is among those allowed, by its code or by its very name."""
    return licence_code(licence) in allowed or (licence or "").strip() in allowed
