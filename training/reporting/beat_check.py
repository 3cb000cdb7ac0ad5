"""Page to hear whether the bars of a corpus are right: loops with clicks, least certain first."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from training.corpus.format import BEATS_PER_LOOP, MARGIN, SAMPLE_RATE
from training.corpus.reader import Corpus
from training.reporting.html import data_uri, render

MOST_PIECES = 100
"""Pieces on a page; a loop takes about 0.15 MB."""
_MOST_SKIPPED = 300
_CLICK_SECONDS, _CLICK_PEAK = 0.03, 0.5
_BAR_HZ, _BEAT_HZ = 1760.0, 1175.0
_MUSIC_GAIN = 0.7


class _CheckedPiece(NamedTuple):
    name: str
    labels: Mapping[str, Any]
    uri: str


def build(corpus: Corpus) -> str:
    """Return the page, as HTML: one loop of each piece with a player, and what was left out."""
    firsts: dict[str, int] = {}
    for number, record in enumerate(corpus.records):
        firsts.setdefault(str(record.provenance.get("path", record.id)), number)
    order = sorted(firsts, key=lambda name: _labels(corpus, firsts[name])["metre_certainty"])
    pieces = [
        _CheckedPiece(name, _labels(corpus, firsts[name]), _clicked(corpus, firsts[name]))
        for name in order[:MOST_PIECES]
    ]
    skipped = corpus.header["skipped"]
    return render(
        "beat_check.html",
        title="Beats and bars",
        pieces=pieces,
        n_pieces=len(firsts),
        n_loops=len(corpus.records),
        skipped=skipped[:_MOST_SKIPPED],
        n_skipped=len(skipped),
    )


def _labels(corpus: Corpus, number: int) -> Mapping[str, Any]:
    return corpus.records[number].labels


def _clicked(corpus: Corpus, number: int) -> str:
    """Embed a loop with a click on every beat, higher on the first of four, as MP3."""
    import soundfile

    beats = np.asarray(corpus.records[number].beats)
    audio = _MUSIC_GAIN * corpus.audio(number)[MARGIN:-MARGIN]
    time = np.arange(round(_CLICK_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    for beat in range(BEATS_PER_LOOP):
        tone = np.sin(2.0 * np.pi * (_BEAT_HZ if beat % 4 else _BAR_HZ) * time)
        click = (_CLICK_PEAK * tone * np.exp(-time / 0.006)).astype(np.float32)
        first = round(float(beats[beat]))
        audio[first : first + len(click)] += click[: max(len(audio) - first, 0)]
    file = io.BytesIO()
    soundfile.write(file, np.clip(audio, -1.0, 1.0), SAMPLE_RATE, format="MP3")
    return data_uri("audio/mpeg", file.getvalue())
