"""What a faceplate says of its model, as text and as a QR code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device.files import sha256_of
from device.model.summary import read_card
from device.plain_text import one_line
from device.playback.share_code import SharedPosition
from device.synthesis.performance import Performance

SHOWN_DIGITS = 12
_MOST_LABEL, _MOST_TITLE, _MOST_LICENCES = 40, 60, 60


@dataclass(frozen=True, slots=True)
class PlateText:
    """What a model's file says of itself, on one line each, without invisible characters.

    Attributes
    ----------
    digest : str
        First digits of the SHA-256 of the file.
    licences : str
        Of the corpus, separated by commas; ``licence not recorded`` where there are none.
    share_code : str
        The model from its first beat, all switches off.
    labels : tuple of str
        One per switch.
    """

    title: str
    digest: str
    licences: str
    share_code: str
    labels: tuple[str, ...]

    @property
    def card(self) -> str:
        """The text of the QR code: title, hash, licences."""
        return f"{self.title}\nSHA-256 {self.digest}\n{self.licences}"


def read_plate_text(path: Path, title: str | None = None) -> PlateText:
    """Read an untrusted model file, of which nothing is run.

    Parameters
    ----------
    title : str or None
        In place of the model's own.

    Raises
    ------
    ModelNotFound, ModelTooLarge, ModelUnreadable, ForbiddenGraph, ContractError
    """
    card, digest = read_card(path), sha256_of(path)
    start = SharedPosition(
        digest=digest,
        bits=(False,) * card.n_switches,
        seed=Performance.seed,
        tempo_bpm=None,
        still=False,
        n_slots=0,
    )
    return PlateText(
        title=one_line(card.title if title is None else title, _MOST_TITLE),
        digest=digest[:SHOWN_DIGITS],
        licences=one_line(_licences(card.provenance), _MOST_LICENCES),
        share_code=start.code,
        labels=tuple(one_line(label, _MOST_LABEL) for label in card.switch_labels),
    )


def qr_modules(text: str) -> tuple[tuple[bool, ...], ...]:
    """The modules of a text's QR code, without its quiet zone; True is dark.

    Error correction of level M or better: 15 % of its codewords may be unreadable.
    """
    import segno

    code = segno.make(text, error="m", micro=False, encoding="utf-8")
    return tuple(tuple(map(bool, row)) for row in code.matrix)


def _licences(provenance: Any) -> str:
    """The corpus's licences; provenance is any JSON."""
    corpus = provenance.get("corpus")
    licences = corpus.get("licences") if isinstance(corpus, dict) else None
    names = [licences] if isinstance(licences, str) else licences
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        names = []
    return ", ".join(names) or "licence not recorded"
