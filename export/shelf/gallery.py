"""One HTML page that plays several models."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from device.files import sha256_of
from device.model.bundled import BUNDLED_MODELS
from device.model.network import Network
from device.updates.validation import validate
from export.shelf.card import music_of
from export.shelf.licences import Terms, Use, terms_of
from export.shelf.sample import sample
from training.reporting import html

_MOST_CREDITS = 40


@dataclass(frozen=True)
class Exhibit:
    """One model of the page.

    Attributes
    ----------
    sound : Sound
    terms : Terms
    music : str
        What it was trained on, one line.
    switch_labels : tuple of str
    sha256 : str
    """

    sound: html.Sound
    terms: Terms
    music: str
    switch_labels: tuple[str, ...]
    sha256: str

    @property
    def credits(self) -> tuple[str, ...]:
        """Those that are shown."""
        return self.terms.credits[:_MOST_CREDITS]


def exhibit(path: Path, seconds: float, use: Use, stated: str | None = None) -> Exhibit:
    """Validate a model, check its licences and play it.

    Raises
    ------
    SwitchboardError
        The refusal of the validation.
    LicenceRefused
    """
    if path not in BUNDLED_MODELS.values():
        validate(path).check_accepted(str(path))
    network = Network.open(path)
    card = network.card
    terms = terms_of(card, stated)
    terms.check(str(path), use)
    note = f"{card.n_switches} switches, {card.tempo_bpm:g} bpm, {card.sample_rate:,} Hz"
    sound = html.sound(card.title, sample(network, seconds), card.sample_rate, note=note)
    return Exhibit(sound, terms, music_of(card), card.switch_labels, sha256_of(path))


def build(title: str, exhibits: Sequence[Exhibit], seconds: float) -> str:
    """The page; it loads nothing from anywhere."""
    return html.render(
        "gallery.html",
        title=title,
        exhibits=exhibits,
        sounds=[item.sound for item in exhibits],
        seconds=f"{seconds:g}",
    )
