"""The beats and bars of a recording, and how steady they are.

librosa's tracker (Ellis, "Beat Tracking by Dynamic Programming", 2007) with a high tightness: it
weighs onsets against an even tempo, and at its default tightness it jumps wherever a bar is quiet.
Bars are assumed to have four beats. The first of them is where the low frequencies have an onset
(kick, bass) and where the harmony changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import BEATS_PER_LOOP, SAMPLE_RATE, Audio

BEATS_PER_BAR = 4
HOP = 256
"""Samples from one frame of the onset envelope to the next."""

_TRACKER_DELAY = 3 * HOP // 2  # how late librosa's beats fall on clicks, measured
_TIGHTNESS = 1600.0  # librosa's own is 100
_LIKELY_BPM = 90.0  # between an octave too fast and one too slow, prefer what is near
_PIECE_SAMPLES = 300 * SAMPLE_RATE  # beats are tracked five minutes at a time, to bound memory
_JUMP = 0.15  # largest departure of an interval from the median of its piece
_N_MELS, _N_LOW_MELS = 128, 5  # the lowest five reach up to 150 Hz
_N_FFT = 2048
_BLOCK_FRAMES = 4096
_SLOW_FRAMES, _LOUD_PERCENTILE = 200, 98.0
# Least movement of the onset envelope of music with a beat, root mean square [dB a frame, mean of
# the bands]. Steady tones, mains hum and held chords move by .02 at most, noise, vibrato and
# beating tones by .05; pads without attack by .06, the studio's loops by .1 or more, drums by .4 or
# more.
_LEAST_MOVEMENT_DB = 0.06

Curve = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Onsets:
    """Onset strength in every frame of `HOP` samples, over all bands and below 150 Hz."""

    all: Curve  # (n_frames,)
    low: Curve  # (n_frames,)


@dataclass(frozen=True, slots=True)
class Segment:
    """Sixteen beats that begin with a bar.

    Attributes
    ----------
    beats
        (BEATS_PER_LOOP + 1,), samples.
    clarity
        See `pulse_clarity`.
    """

    beats: NDArray[np.int64]
    clarity: float


def find_onsets(audio: Audio) -> Onsets:
    """Return the onset envelopes of a recording, each (n_frames,)."""
    import librosa

    # The mean over the bands, not librosa's median: with few instruments playing, most bands
    # are empty, and their median is 0.
    low, high = librosa.onset.onset_strength_multi(
        S=librosa.power_to_db(_mel_spectrogram(audio)),
        sr=SAMPLE_RATE,
        hop_length=HOP,
        aggregate=np.mean,
        channels=[0, _N_LOW_MELS, _N_MELS],
    )
    share = _N_LOW_MELS / _N_MELS
    return Onsets(all=share * low + (1.0 - share) * high, low=low)


def _mel_spectrogram(audio: Audio) -> Curve:
    """Return librosa's mel power spectrogram, (n_mels, n_frames), in little memory."""
    import librosa

    padded = np.pad(audio, _N_FFT // 2)
    n_frames = 1 + len(audio) // HOP
    blocks = [
        librosa.feature.melspectrogram(
            y=padded[first * HOP : (min(first + _BLOCK_FRAMES, n_frames) - 1) * HOP + _N_FFT],
            sr=SAMPLE_RATE,
            n_fft=_N_FFT,
            hop_length=HOP,
            n_mels=_N_MELS,
            fmax=SAMPLE_RATE / 2,
            center=False,
        )
        for first in range(0, n_frames, _BLOCK_FRAMES)
    ]
    return np.concatenate(blocks, axis=1)


def find_segments(audio: Audio, harmony: Curve, harmony_hop: int) -> Iterator[Segment]:
    """Yield every sixteen beats in a row that start with a bar, without overlap.

    Parameters
    ----------
    audio
        (n_samples,) at `SAMPLE_RATE`.
    harmony
        Chroma, (12, n), one column every `harmony_hop` samples.
    """
    for first in range(0, len(audio), _PIECE_SAMPLES):
        piece = audio[first : first + _PIECE_SAMPLES]
        onsets = find_onsets(piece)
        for run in steady_runs(track_beats(piece, onsets)):
            chroma = beat_chroma(harmony, (run + first) // harmony_hop)
            downbeat = find_downbeat(run, onsets, chroma)
            for number in range(downbeat, len(run) - BEATS_PER_LOOP, BEATS_PER_LOOP):
                beats = run[number : number + BEATS_PER_LOOP + 1]
                yield Segment(first + beats, pulse_clarity(onsets, beats))


def track_beats(audio: Audio, onsets: Onsets) -> NDArray[np.int64]:
    """Return the samples on which the beats fall."""
    import librosa

    if len(audio) < SAMPLE_RATE or not onsets.all.any():
        return np.zeros(0, dtype=np.int64)
    beats = librosa.beat.beat_track(
        onset_envelope=onsets.all,
        sr=SAMPLE_RATE,
        hop_length=HOP,
        start_bpm=_LIKELY_BPM,
        tightness=_TIGHTNESS,
        trim=False,
        units="samples",
    )[1]
    return np.unique(np.maximum(np.asarray(beats, dtype=np.int64) - _TRACKER_DELAY, 0))


def steady_runs(beats: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Split a row of beats wherever the tracker jumped."""
    intervals = np.diff(beats)
    if not len(intervals):
        return []
    jumps = np.flatnonzero(np.abs(intervals / np.median(intervals) - 1.0) > _JUMP)
    return np.split(beats, jumps + 1)


def beat_chroma(harmony: Curve, columns: NDArray[np.int64]) -> Curve:
    """Return the mean chroma from every beat to the next, each of length one, (12, n_beats - 1)."""
    last = harmony.shape[1] - 1
    spans = [(min(a, last), max(min(b, last), min(a, last) + 1)) for a, b in pairwise(columns)]
    means = np.stack([harmony[:, a:b].mean(axis=1) for a, b in spans], axis=1) if spans else None
    if means is None:
        return np.zeros((12, 0), dtype=np.float32)
    lengths = np.maximum(np.linalg.norm(means, axis=0), 1e-9)
    unit: Curve = (means / lengths).astype(np.float32)
    return unit


def find_downbeat(beats: NDArray[np.int64], onsets: Onsets, chroma: Curve) -> int:
    """Return which of the first four beats begins a bar.

    Parameters
    ----------
    beats
        (n_beats,), samples.
    chroma
        (12, n_beats - 1), from `beat_chroma`.
    """
    if len(beats) < 2 * BEATS_PER_BAR:
        return 0
    evidence = _standardised(_low_strokes(beats, onsets)) + _standardised(_chord_changes(chroma))
    return int(np.argmax([evidence[phase::BEATS_PER_BAR].mean() for phase in range(BEATS_PER_BAR)]))


def _low_strokes(beats: NDArray[np.int64], onsets: Onsets) -> Curve:
    """Strength of the low-frequency onset around every beat, (n_beats,)."""
    frames = (beats + _TRACKER_DELAY) // HOP
    around = frames[:, None] + np.arange(-3, 4)
    strokes: Curve = onsets.low[np.clip(around, 0, len(onsets.low) - 1)].max(axis=1)
    return strokes


def _chord_changes(chroma: Curve) -> Curve:
    """How much the two beats from here differ from the two before, (n_beats,), in 0 to 1."""
    changes = np.zeros(chroma.shape[1] + 1, dtype=np.float32)
    pairs = chroma[:, :-1] + chroma[:, 1:]
    pairs = pairs / np.maximum(np.linalg.norm(pairs, axis=0), 1e-9)
    changes[2 : 2 + max(pairs.shape[1] - 2, 0)] = 1.0 - (pairs[:, :-2] * pairs[:, 2:]).sum(axis=0)
    return changes


def _standardised(values: Curve) -> Curve:
    centred: Curve = values - values.mean()
    return centred / max(float(centred.std()), 1e-9)


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
