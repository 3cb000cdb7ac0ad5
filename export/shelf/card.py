"""A model card as the Hugging Face hub reads it: Markdown with YAML front matter.

All of it is what the model file says of itself; nothing of the file is run, and no text of it can
become markup.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from device.files import sha256_of
from device.model.contract import ModelCard
from device.model.summary import read_card
from device.plain_text import one_line
from export.shelf.licences import Terms, Use, hub_identifier, terms_of

_TAGS = ("audio", "music", "lo-fi", "music-generation", "unconditional-audio-generation", "onnx")
_DEEDS = "https://creativecommons.org/licenses/"
_MOST_CREDITS = 400
# What Markdown, HTML in it, and GitHub's additions to it would interpret.
_MARKUP = re.compile(r"([\\`*_\[\]<>&|~#!@$]|:(?=//)|(?<=www)\.|^[-+=]|(?<=^\d)[.)])")
_NOT_YAML = re.compile(r"[\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]")


def card_of(path: Path, use: Use = Use.SHARE, stated: str | None = None) -> str:
    """The card of a model file, for a use that its licences allow.

    Parameters
    ----------
    stated : str or None
        The owner's licence for music whose licence the file does not name.

    Raises
    ------
    ModelNotFound, ModelTooLarge, ModelUnreadable, ForbiddenGraph, ContractError, LicenceRefused
    """
    card = read_card(path)
    terms = terms_of(card, stated)
    terms.check(str(path), use)
    return "\n".join([*_front_matter(card, terms), *_body(card, terms, path)]) + "\n"


def corpus_of(card: ModelCard) -> Mapping[str, Any]:
    """The corpus that a model was trained on last; provenance is any JSON."""
    corpus = card.provenance.get("corpus")
    return corpus if isinstance(corpus, Mapping) else {}


def music_of(card: ModelCard) -> str:
    """One line on that corpus: where it comes from, and how much of it there is."""
    corpus = corpus_of(card)
    parts = [one_line(str(corpus.get("source", "source not recorded")), 80)]
    for key, unit in (("n_loops", "loops"), ("hours", "hours")):
        amount = corpus.get(key)
        if isinstance(amount, (int, float)) and not isinstance(amount, bool):
            parts.append(f"{amount:,} {unit}")
    return ", ".join(parts)


def _front_matter(card: ModelCard, terms: Terms) -> Iterator[str]:
    identifier = hub_identifier(terms)
    yield "---"
    yield f"license: {identifier}"
    if identifier == "other":
        yield from (f"license_name: cc-{terms.code}", f"license_link: {_DEEDS}")
    yield "library_name: lofi-switchboard"
    # No pipeline of the hub makes audio from switch states.
    yield "pipeline_tag: other"
    yield from ("tags:", *(f"- {tag}" for tag in _TAGS))
    # A scalar of YAML, which takes JSON's texts; what it forbids is replaced.
    title = _NOT_YAML.sub("\N{REPLACEMENT CHARACTER}", card.title)
    yield f"model_name: {json.dumps(title, ensure_ascii=False)}"
    yield "---"


def _body(card: ModelCard, terms: Terms, path: Path) -> Iterator[str]:
    digest = sha256_of(path)
    yield from ("", f"# {markdown(card.title)}", "")
    yield (
        f"A model for the Lo-Fi Switchboard: {card.n_switches} switches in, endless lo-fi music "
        f"out, {card.sample_rate:,} Hz mono at {card.tempo_bpm:g} bpm. The file is its own "
        "description: one ONNX graph with metadata, without custom operators or further files."
    )
    yield from (
        "",
        "```sh",
        "switchboard models add FILE.onnx",
        "switchboard play --model FILE.onnx",
    )
    yield from ("```", "", "## Licence", "", markdown(terms.line) + ".")
    if terms.credits:
        yield from ("", "The licences require these to be named:", "")
        yield from (f"- {markdown(credit)}" for credit in terms.credits[:_MOST_CREDITS])
    elif "by" in terms.code.split("-"):
        yield "The licences require the artists to be named, and the file does not name them."
    yield from ("", "## Training music", "", markdown(music_of(card)) + ".")
    yield from ("", "## Switches", "")
    rows = [(number, label) for number, label in enumerate(card.switch_labels, 1)]
    yield from _table(("switch", "measured effect or label"), rows)
    yield from ("", "## Scores", "")
    if card.scores:
        yield "On music that was held out, and as it plays; each name ends with its unit."
        yield from ("", "| score | value |", "|---|---|")
        # The contract's names: lower case, digits and underscores.
        yield from (f"| `{name}` | {value:g} |" for name, value in card.scores.items())
    else:
        yield "None are in the file."
    yield from ("", "## Limits", "")
    yield (
        "One key, one metre, loops of "
        f"{card.beats_per_loop} beats; no voices, no lyrics, no text input. A switch's effect "
        "depends on the other switches."
    )
    yield from ("", "## File", "")
    facts = {"SHA-256": digest, "bytes": path.stat().st_size, **_facts(card)}
    yield from _table(("entry", "value"), list(facts.items()))


def _facts(card: ModelCard) -> dict[str, object]:
    return {
        "contract version": card.contract_version,
        "STFT": f"{card.n_fft} samples, hop {card.hop_length}, window {card.window}",
        "bins with phase advance": card.n_guided,
        "commit": card.provenance.get("commit") or "not recorded",
        "trained on": card.provenance.get("trained_on") or "not recorded",
    }


def _table(head: tuple[str, str], rows: Sequence[tuple[object, object]]) -> Iterator[str]:
    yield f"| {head[0]} | {head[1]} |"
    yield "|---|---|"
    yield from (f"| {markdown(str(name))} | {markdown(str(value))} |" for name, value in rows)


def markdown(text: str) -> str:
    """Text from a file as Markdown that shows it and does nothing else."""
    return _MARKUP.sub(r"\\\1", one_line(text))
