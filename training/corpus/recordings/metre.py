"""Which tempo and metre a recording has: hypotheses, what speaks for each, and their scores.

A tracker finds some pulse; the beat may be 1/3, 1/2, 2/3, 3/4, 4/3, 3/2, 2 or 3 times as fast, and
fall between. Each hypothesis is a row of beats with a metre: 4/4, 3/4, or 6/8, whose beat is three
eighths. It is described by how the onsets of four bands fall on twelfths of its beats, by what
repeats after how many beats, by how the harmony changes, and by its tempo. Weights for these
figures were fitted to music of known metre (tests/benchmarks/metre.py --fit).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import SAMPLE_RATE
from training.corpus.recordings.fitted import fitted_weights
from training.corpus.recordings.onsets import HOP, Onsets, track_beats

METRES: Mapping[str, int] = {"4/4": 4, "3/4": 3, "6/8": 2}
"""Beats of a bar by metre; the beat of 6/8 is three eighths."""

_RATIOS = (1.0, 1 / 2, 2.0, 1 / 3, 3.0, 2 / 3, 3 / 2, 3 / 4, 4 / 3)
_SLOWEST_BPM, _FASTEST_BPM = 38.0, 176.0  # of the music that the weights were fitted to
_N_PULSES = 4  # of the strongest pulses, the ratios are tried
_SAME_TEMPO = 0.035
_SAME_PLACE = 0.1  # of a beat
_N_PARTS = 12  # of a beat: both sixteenths and triplets fall on some
_LAGS = (1, 2, 3, 4, 6, 8, 12, 16)
_PERIODS = (2, 3, 4, 6, 8)
_ON_GRID = (0, 3, 4, 6, 8, 9)  # twelfths of a beat: sixteenths and triplets
_FEWEST_BEATS = 12
_SPANS = (1, 2, 3, 4)  # beats

Curve = NDArray[np.float32]
Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """Beats that a recording may have.

    Attributes
    ----------
    beats
        (n_beats + 1,), samples.
    description
        (n_figures,), what speaks for it or against it, whatever the metre.
    strokes
        (n_curves, n_beats), what happens on and between the beats, standardised; bars are found
        in it.
    """

    beats: NDArray[np.int64]
    description: Table
    strokes: Table

    @property
    def tempo_bpm(self) -> float:
        """Return the median tempo."""
        return 60.0 * SAMPLE_RATE / float(np.median(np.diff(self.beats)))


@dataclass(frozen=True, slots=True)
class Metre:
    """The beats of a recording, how they are counted, and how sure that is.

    Attributes
    ----------
    name
        One of `METRES`.
    beats
        (n_beats + 1,), samples.
    strokes
        (n_curves, n_beats), see `Hypothesis`.
    certainty
        Probability by the fitted weights, 0 to 1: of this tempo and metre among all hypotheses.
    """

    name: str
    beats: NDArray[np.int64]
    strokes: Table
    certainty: float

    def first_downbeat(self, first: int, last: int) -> int:
        """Return which of the beats from `first` to `last`, counted from there, begins a bar."""
        n_beats = METRES[self.name]
        if last - first < 2 * n_beats:
            return 0
        folded = fold(self.strokes[:, first:last], n_beats)
        return int(np.argmax(np.tensordot(folded, fitted_weights()[f"bars {n_beats}"], axes=2)))


def find_metre(onsets: Onsets, harmony: Curve, harmony_hop: int) -> Metre | None:
    """Return the most probable metre; None where there are too few beats.

    Parameters
    ----------
    harmony
        Chroma, (2, 12, n), bass and the rest, one column every `harmony_hop` samples.
    """
    hypotheses = list(find_hypotheses(onsets, harmony, harmony_hop))
    if not hypotheses:
        return None
    scores = np.stack([tempo_scores(hypothesis) for hypothesis in hypotheses])
    odds = np.exp(scores - scores.max())
    number, metre = np.unravel_index(int(np.argmax(odds)), odds.shape)
    name, best = list(METRES)[metre], hypotheses[number]
    # Tempos that lead the tracker to the same beats are one hypothesis.
    alike = [_share_beats(best, hypothesis) for hypothesis in hypotheses]
    certainty = float(odds[alike, metre].sum() / odds.sum())
    return Metre(name, best.beats, best.strokes, certainty)


def _share_beats(one: Hypothesis, other: Hypothesis) -> bool:
    positions = np.interp(other.beats, one.beats, np.arange(len(one.beats)))
    apart = float(np.median(np.abs(positions - np.rint(positions))))
    ratio = other.tempo_bpm / one.tempo_bpm
    return apart < _SAME_PLACE and abs(ratio - 1.0) < _SAME_TEMPO


def tempo_scores(hypothesis: Hypothesis) -> Table:
    """Return the log odds of a hypothesis in each of `METRES`, (3,)."""
    weights = fitted_weights()
    centred = (hypothesis.description - weights["mean"]) / weights["spread"]
    scores: Table = weights["metres"] @ np.append(centred, 1.0)
    return scores


def fold(strokes: Table, n_beats: int) -> Table:
    """Return the mean of every beat of the bar for every first beat, (n_beats, n_curves, n_beats).

    What row n holds is the bar as it is if beat n is the first.
    """
    bar = np.stack([_bar_means(curve, n_beats) for curve in strokes])
    return np.stack([np.roll(bar, -first, axis=1) for first in range(n_beats)])


def _bar_means(curve: Table, n_beats: int) -> Table:
    return np.array([curve[first::n_beats].mean() for first in range(n_beats)])


# -- hypotheses -----------------------------------------------------------------------------


def find_hypotheses(onsets: Onsets, harmony: Curve, harmony_hop: int) -> Iterator[Hypothesis]:
    """Yield every row of beats that comes into question, at their tempos and between the beats."""
    for tempo in find_tempos(onsets):
        beats = track_beats(onsets, tempo)
        if len(beats) >= _FEWEST_BEATS:
            numbers = np.arange(_N_PARTS * (len(beats) - 1) + 1) / _N_PARTS
            grid: Table = np.interp(numbers, np.arange(len(beats)), beats)
            bands = _sampled(onsets, grid)
            columns = np.clip(np.rint(grid / harmony_hop).astype(int), 0, harmony.shape[2] - 1)
            chroma = harmony.reshape(24, -1)[:, columns].astype(np.float64)
            for shift in (0, _N_PARTS // 2, _N_PARTS // 3, 2 * _N_PARTS // 3):
                yield _described(onsets, grid[shift:], bands[:, shift:], chroma[:, shift:])


def find_tempos(onsets: Onsets) -> list[float]:
    """Return the tempos in question: those of the strongest pulses and at simple ratios to them."""
    similarity = _autocorrelation(onsets.all)
    shortest = int(60.0 * SAMPLE_RATE / HOP / 400.0)
    longest = min(int(60.0 * SAMPLE_RATE / HOP / 30.0), len(similarity) - 1)
    lags = np.arange(shortest, longest)
    is_peak = (similarity[lags] > similarity[lags - 1]) & (similarity[lags] >= similarity[lags + 1])
    peaks = lags[is_peak]
    strongest = peaks[np.argsort(-similarity[peaks])][:_N_PULSES]
    tempos: list[float] = []
    for ratio in _RATIOS:
        for lag in strongest:
            before, peak, after = similarity[lag - 1 : lag + 2].tolist()
            # Where a parabola through a peak and its neighbours is highest.
            period = lag + 0.5 * (before - after) / min(before - 2.0 * peak + after, -1e-9)
            tempo = float(ratio * 60.0 * SAMPLE_RATE / (HOP * period))
            is_new = all(abs(tempo / other - 1.0) > _SAME_TEMPO for other in tempos)
            if _SLOWEST_BPM <= tempo <= _FASTEST_BPM and is_new:
                tempos.append(tempo)
    return tempos


def _autocorrelation(envelope: Curve) -> Curve:
    from scipy.ndimage import uniform_filter1d

    loud = np.minimum(envelope, np.percentile(envelope, 98.0))
    flat = loud - uniform_filter1d(loud, 200)
    spectrum = np.abs(np.fft.rfft(flat, 2 * len(flat))) ** 2
    similarity = np.fft.irfft(spectrum)[: len(flat)]
    overlap = np.maximum(np.arange(len(flat), 0, -1), len(flat) // 4)
    return (similarity / overlap / max(float(similarity[0]) / len(flat), 1e-9)).astype(np.float32)


def _sampled(onsets: Onsets, grid: Table) -> Table:
    """Return the strongest onset within a frame and a half of every part, (n_bands, n_parts)."""
    from scipy.ndimage import maximum_filter1d

    curves = np.concatenate([onsets.bands, onsets.all[None]])
    frames = np.clip(np.rint(grid / HOP).astype(int) + 1, 0, curves.shape[1] - 1)
    strongest: Table = maximum_filter1d(curves, 3, axis=1)[:, frames].astype(np.float64)
    return strongest


# -- what speaks for a hypothesis -----------------------------------------------------------


def _described(onsets: Onsets, grid: Table, bands: Table, chroma: Table) -> Hypothesis:
    n_beats = (len(grid) - 1) // _N_PARTS
    parts = _by_beats(bands, n_beats, 0)
    bass, chords = np.split(_by_beats(chroma, n_beats, 0).mean(axis=2), 2)
    changes = _changes(chords)
    between = _changes(_by_beats(chroma[12:], n_beats - 1, _N_PARTS // 2).mean(axis=2))
    beats = np.rint(grid[: n_beats * _N_PARTS + 1 : _N_PARTS]).astype(np.int64)
    curves = np.stack([*parts[:, :, 0], *parts[:, :, _N_PARTS // 2], *changes, *_changes(bass)])
    centred = curves - curves.mean(axis=1, keepdims=True)
    strokes = centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-9)
    drums = ((0, 1), (0, 2), (0, 3), (1, 2))  # pairs of bands
    description = [
        *_profile(parts).ravel(),
        *(float(_bar_means(curve, period).max()) for curve in strokes for period in _PERIODS),
        *_repetition(parts.transpose(1, 0, 2).reshape(n_beats, -1)),
        *_repetition(_unit(chords).T),
        *(float(np.mean(strokes[a] * strokes[b])) for a, b in drums),
        *np.log((changes + 0.01).mean(axis=1) / (between + 0.01).mean(axis=1)),
        *_pace(onsets, beats),
    ]
    return Hypothesis(beats, np.array(description), strokes)


def _by_beats(rows: Table, n_beats: int, shift: int) -> Table:
    """Return (n_rows, n_beats, parts of a beat) of (n_rows, n_parts), so many parts later."""
    cut = rows[:, shift : shift + n_beats * _N_PARTS]
    return cut.reshape(len(rows), n_beats, _N_PARTS)


def _profile(parts: Table) -> Table:
    """Return how the onsets of every band fall on a beat's sixteenths and triplets."""
    means = parts.mean(axis=1)
    shares = means / np.maximum(means.mean(axis=1, keepdims=True), 1e-9)
    profile: Table = np.log(0.1 + shares[:, list(_ON_GRID)])
    return profile


def _changes(chroma: Table) -> Table:
    """Return how much the next one to four beats differ from as many before, (4, n_beats)."""
    n_beats = chroma.shape[1]
    sums = np.pad(np.cumsum(chroma, axis=1), ((0, 0), (1, 0)))
    changes = []
    for span in _SPANS:
        means = _unit(sums[:, span:] - sums[:, :-span])
        differences = 1.0 - (means[:, span:] * means[:, :-span]).sum(axis=0)
        # Where there are too few beats on either side, nothing is known: the mean.
        change = np.full(n_beats, differences.mean())
        change[span : span + len(differences)] = differences
        changes.append(change[:n_beats])
    return np.stack(changes)


def _unit(vectors: Table) -> Table:
    unit: Table = vectors / np.maximum(np.linalg.norm(vectors, axis=0), 1e-9)
    return unit


def _repetition(rows: Table) -> list[float]:
    """Return how alike beats are that are so many beats apart."""
    centred = rows - rows.mean(axis=0)
    spread = np.maximum(centred.std(axis=0), 1e-6)
    scaled = _unit((centred / spread).T)
    products = (scaled[:, lag:] * scaled[:, :-lag] for lag in _LAGS)
    return [float(each.sum() / max(each.shape[1], 1)) for each in products]


def _pace(onsets: Onsets, beats: NDArray[np.int64]) -> list[float]:
    """Return the tempo and the number of onsets of a beat, each with its square, as logarithms."""
    from scipy.signal import find_peaks

    tempo = np.log2(60.0 * SAMPLE_RATE / float(np.median(np.diff(beats))) / 100.0)
    strong = onsets.all[beats[0] // HOP : beats[-1] // HOP]
    peaks = find_peaks(strong, height=float(strong.mean() + 0.5 * strong.std()), distance=5)[0]
    onset_rate = np.log2(max(len(peaks), 1) / (len(beats) - 1))
    return [tempo, tempo**2, abs(tempo), onset_rate, onset_rate**2]
