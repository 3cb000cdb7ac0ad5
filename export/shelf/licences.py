"""What the licences of a model's music allow.

A model counts as made from all the music it was trained on, that of the runs it was continued from
included, and so does what it plays: the strictest conditions of all apply. A licence that was not
recorded, or not recognised to its last word, allows private use alone.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from device.errors import SwitchboardError
from device.model.contract import ModelCard
from device.plain_text import one_line
from training.corpus.recordings.licences import licence_code

UNKNOWN = "unknown"
_MOST_NAME = 80
_MOST_SHOWN = 8
_MOST_CREDITS = 400
_MOST_CREDIT = 200


class LicenceRefused(SwitchboardError, PermissionError):
    """The licences of a model's music do not allow what was asked for."""

    exit_code = 49


class Use(StrEnum):
    """What a model, or what it plays, is to be used for."""

    PRIVATE = "private"
    SHARE = "share"
    SELL = "sell"


_VERBS = {Use.PRIVATE: "be used in private", Use.SHARE: "be shared", Use.SELL: "be sold"}
_ALLOWED = {1: "for private use alone", 2: "may be shared, not sold", 3: "may be shared and sold"}
_CONDITIONS = {"by": "name the artists", "sa": "pass the licence on"}


@dataclass(frozen=True)
class Terms:
    """The conditions under which a model may be used.

    Attributes
    ----------
    licences : tuple of str
        As the file names them, or as its owner states them; one line each.
    code : str
        The strictest of them, one of `training.corpus.recordings.licences.CODES`.
    credits : tuple of str
        Artists and pieces that the licences require to be named, where the file has them.
    """

    licences: tuple[str, ...]
    code: str
    credits: tuple[str, ...] = ()

    @property
    def uses(self) -> tuple[Use, ...]:
        """What they allow."""
        conditions = self.code.split("-")
        if self.code == "other" or "nd" in conditions:
            return (Use.PRIVATE,)
        return (Use.PRIVATE, Use.SHARE) if "nc" in conditions else tuple(Use)

    @property
    def line(self) -> str:
        """For people: the licences, and what may be done."""
        names = ", ".join(self.licences[:_MOST_SHOWN])
        if len(self.licences) > _MOST_SHOWN:
            names += f" and {len(self.licences) - _MOST_SHOWN} more"
        conditions = [_CONDITIONS[part] for part in self.code.split("-") if part in _CONDITIONS]
        parts = [_ALLOWED[len(self.uses)], *(conditions if Use.SHARE in self.uses else [])]
        return f"{names}: {', '.join(parts)}"

    def check(self, what: str, use: Use) -> None:
        """Check that a use is allowed.

        Parameters
        ----------
        what : str
            Names the model.

        Raises
        ------
        LicenceRefused
        """
        if use not in self.uses:
            remedy = f"leave the model out, or choose --for {self.uses[-1]}"
            if UNKNOWN in self.licences:
                remedy += "; the licence of music of your own is stated with --licence"
            raise LicenceRefused(
                f"{what}: found {self.line}; expected licences by which it may {_VERBS[use]}; "
                f"{remedy}"
            )


def terms_of(card: ModelCard, stated: str | None = None) -> Terms:
    """The terms of a model.

    Parameters
    ----------
    stated : str or None
        The owner's licence for music whose licence the file does not name.
    """
    found = {UNKNOWN: None} if not list(_corpora(card.provenance)) else dict[str, None]()
    credits = dict[str, None]()
    for corpus in _corpora(card.provenance):
        found |= dict.fromkeys(_texts(corpus.get("licences"), _MOST_NAME) or [UNKNOWN])
        credits |= dict.fromkeys(_texts(corpus.get("credits"), _MOST_CREDIT))
    names = {stated if stated and name == UNKNOWN else name: None for name in found}
    return Terms(tuple(names), strictest(names), tuple(credits)[:_MOST_CREDITS])


def strictest(licences: Iterable[str]) -> str:
    """The code of all conditions together; "other" where they contradict or one is unknown."""
    codes = set(map(licence_code, licences)) or {"other"}
    parts = {part for code in codes if code.startswith("by") for part in code.split("-")}
    union = "-".join(part for part in ("by", "nc", "nd", "sa") if part in parts)
    if not union and "other" not in codes:
        return "cc0" if "cc0" in codes else "public-domain"
    # Share alike: under the same conditions, and no others.
    contradicts = any("sa" in code.split("-") and code != union for code in codes)
    return "other" if "other" in codes or contradicts else union


def hub_identifier(terms: Terms) -> str:
    """The licence as the Hugging Face hub spells it: with its version, or "other", or "unknown"."""
    if terms.code in ("other", "cc0"):
        return {"other": UNKNOWN, "cc0": "cc0-1.0"}[terms.code]
    named = [name for name in terms.licences if licence_code(name).startswith("by")]
    versions = {text for name in named for text in re.findall(r"\b[1-4]\.[05]\b", name)}
    return _HUB.get((terms.code, *versions), "other")


_HUB = {
    (code, version): f"cc-{code}-{version}"
    for code, versions in {
        "by": "2.0 2.5 3.0 4.0",
        "by-sa": "3.0 4.0",
        "by-nc": "2.0 3.0 4.0",
        "by-nc-sa": "2.0 3.0 4.0",
        "by-nd": "4.0",
        "by-nc-nd": "3.0 4.0",
    }.items()
    for version in versions.split()
}


def _corpora(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every corpus in a provenance, which is any JSON of limited depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "corpus":
                yield inner if isinstance(inner, Mapping) else {}
            yield from _corpora(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _corpora(inner)


def _texts(value: Any, most: int) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for v in values if isinstance(v, str) and (text := one_line(v, most))]
