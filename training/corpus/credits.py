"""Who has to be named: artists and pieces whose licences require it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from training.corpus.recordings.licences import licence_code

_MOST = 400
_MOST_CHARACTERS = 160


def needs_credit(licence: Any) -> bool:
    """Whether a licence requires that its music is named; one that is not recognised does not."""
    return isinstance(licence, str) and licence_code(licence).startswith("by")


def credits_of(provenances: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return "ARTIST: TITLE (LICENCE)" for each piece of music that requires to be named.

    Its origin is left out where the licence requires no name, or was not recognised: titles of
    private music are nobody's business.

    Parameters
    ----------
    provenances
        Of the loops; several may be of one piece.

    Returns
    -------
    In the order of the alphabet, at most 400, the last of which says how many more there are.
    """
    lines = set()
    for provenance in provenances:
        licence = provenance.get("licence")
        if needs_credit(licence):
            artist, title = (provenance.get(key) or "unknown" for key in ("artist", "title"))
            lines.add(f"{artist}: {title} ({licence})"[:_MOST_CHARACTERS])
    credits = sorted(lines)
    if len(credits) > _MOST:
        credits[_MOST - 1 :] = [f"and {len(credits) - _MOST + 1} more pieces of the corpus"]
    return credits
