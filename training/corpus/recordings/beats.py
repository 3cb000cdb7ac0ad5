"""The loops of a recording: sixteen beats from a bar line, and how steady their pulse is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import BEATS_PER_LOOP, SAMPLE_RATE, Audio
from training.corpus.recordings.metre import Metre, find_metre
from training.corpus.recordings.onsets import HOP, Curve, Onsets, find_onsets

BARS_PER_LOOP = 4

_PIECE_SAMPLES = 300 * SAMPLE_RATE  # beats are tracked five minutes at a time, to bound memory
_JUMP = 0.15  # largest departure of an interval from the median of its piece
_SLOW_FRAMES, _LOUD_PERCENTILE = 200, 98.0
# Least movement of the onset envelope of music with a beat, root mean square [dB a frame, mean of
# the bands]. Steady tones, mains hum and held chords move by .02 at most, noise, vibrato and
# beating tones by .05; pads without attack by .06, the studio's loops by .1 or more, drums by .4 or
# more.
_LEAST_MOVEMENT_DB = 0.06


@dataclass(frozen=True, slots=True)
class Segment:
    """Sixteen beats that begin with a bar.

    Attributes
    ----------
    beats
        (BEATS_PER_LOOP + 1,), samples. In 4/4 these are four bars. In 6/8 a beat is three eighths,
        so they are eight bars. In 3/4 they divide four bars into sixteen equal parts.
    metre
        "4/4", "3/4" or "6/8".
    certainty
        Of tempo and metre, see `training.corpus.recordings.metre.Metre`.
    clarity
        See `pulse_clarity`.
    """

    beats: NDArray[np.int64]
    metre: str
    certainty: float
    clarity: float


def find_segments(audio: Audio, harmony: Curve, harmony_hop: int) -> Iterator[Segment]:
    """Yield every loop of sixteen beats that starts with a bar, without overlap.

    Parameters
    ----------
    audio
        (n_samples,) at `SAMPLE_RATE`.
    harmony
        Chroma, (2, 12, n), bass and the rest, one column every `harmony_hop` samples.
    """
    for first in range(0, len(audio), _PIECE_SAMPLES):
        onsets = find_onsets(audio[first : first + _PIECE_SAMPLES])
        metre = find_metre(onsets, harmony[:, :, first // harmony_hop :], harmony_hop)
        if metre is not None:
            for beats in _loops(metre):
                clarity = pulse_clarity(onsets, beats)
                yield Segment(first + beats, metre.name, metre.certainty, clarity)


def _loops(metre: Metre) -> Iterator[NDArray[np.int64]]:
    """Yield the sixteen beats of every loop, (BEATS_PER_LOOP + 1,), samples."""
    n_beats = 3 * BARS_PER_LOOP if metre.name == "3/4" else BEATS_PER_LOOP
    parts = np.linspace(0.0, n_beats, BEATS_PER_LOOP + 1)
    position = 0
    for run in steady_runs(metre.beats):
        downbeat = metre.first_downbeat(position, position + len(run) - 1)
        for number in range(downbeat, len(run) - n_beats, n_beats):
            beats = np.interp(parts, np.arange(n_beats + 1), run[number : number + n_beats + 1])
            yield np.rint(beats).astype(np.int64)
        position += len(run)


def steady_runs(beats: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split a row of beats wherever the tracker jumped."""
    intervals = np.diff(beats)
    if not len(intervals):
        return []
    jumps = np.flatnonzero(np.abs(intervals / np.median(intervals) - 1.0) > _JUMP)
    return np.split(beats, jumps + 1)


def pulse_clarity(onsets: Onsets, beats: NDArray[np.int64]) -> float:
    """Return how much a loop's onsets repeat after one, two or four beats, at most 1.

    The autocorrelation of the onset envelope at the best of these lags, so that swing, rests and
    half-time drums count as steady, and free time, speech and a wrong tempo do not. 0 without
    onsets: the ripple that a steady tone leaves in its frames repeats better than any music.
    """
    envelope = _flattened(onsets.all[beats[0] // HOP : beats[-1] // HOP])
    if not len(envelope) or float(envelope.std()) < _LEAST_MOVEMENT_DB:
        return 0.0
    beat = (beats[-1] - beats[0]) / (HOP * (len(beats) - 1))
    lags = {round(n_beats * beat) + slip for n_beats in (1, 2, 4) for slip in (-2, -1, 0, 1, 2)}
    return max((_autocorrelation(envelope, lag) for lag in lags), default=0.0)


def _flattened(envelope: Curve) -> Curve:
    """Remove single loud onsets, ripple and changes slower than two seconds."""
    from scipy.ndimage import uniform_filter1d

    loud = np.minimum(envelope, np.percentile(envelope, _LOUD_PERCENTILE))
    smooth = uniform_filter1d(loud, 5)
    flattened: Curve = smooth - uniform_filter1d(smooth, _SLOW_FRAMES)
    return flattened


def _autocorrelation(envelope: Curve, lag: int) -> float:
    if not 0 < lag < len(envelope):
        return 0.0
    early, late = envelope[:-lag], envelope[lag:]
    scale = float(np.sqrt(np.sum(early**2) * np.sum(late**2)))
    return float(np.sum(early * late)) / max(scale, 1e-9)


def smooth_beats(beats: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fit a parabola, so that the tempo drifts but does not jitter.

    A tracker is off by a hop or two from beat to beat; the tempo of music changes smoothly.
    """
    numbers = np.arange(len(beats))
    fitted: NDArray[np.float64] = np.polynomial.Polynomial.fit(numbers, beats, deg=2)(numbers)
    return fitted


def tempo_bpm(beats: NDArray[np.float64]) -> float:
    """Return the mean tempo of a row of beats given in samples."""
    return 60.0 * SAMPLE_RATE * (len(beats) - 1) / float(beats[-1] - beats[0])
