"""The key of a recording, and its transposition to another.

A major key and its relative minor share their notes, and lo-fi often alternates between the two:
what is transposed is therefore the *signature*, the same for C major and A minor. The pitch classes
of spectral peaks, in the bass and above it, are compared with weights that were fitted to music of
known key (tests/benchmarks/metre.py --fit). Of the two keys of a signature, the name is the one
whose profile (Temperley, "Music and Probability", 2007, table 6.1) correlates best, Krumhansl's
method ("Cognitive Foundations of Musical Pitch", 1990).

A recording is transposed like a tape: a resampler plays it faster or slower. Pitch and tempo change
together, and since frames are taken at positions in beats, the change of tempo has no effect. No
phase vocoder is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import SAMPLE_RATE, Audio
from training.corpus.generator.harmony import PITCH_NAMES
from training.corpus.recordings.fitted import fitted_weights

_OTHER_NAMES = {"Db": 1, "D#": 3, "Gb": 6, "G#": 8, "A#": 10}
SIGNATURES = dict(zip(PITCH_NAMES, range(12), strict=True)) | _OTHER_NAMES
"""Names of major keys, and their tonics in semitones above C."""

HOP = 1024
"""Samples from one column of chroma to the next."""

_N_FFT = 8192
_BLOCK = 1024  # columns at a time, to bound memory
_LOWEST_HZ, _HIGHEST_HZ = 65.0, 2000.0
_BASS_BELOW = 55.35  # semitones: 200 Hz
_TUNING_BLOCKS = 8
_SOFT_PERCENTILE = 10.0
_MAJOR = (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400)
_MINOR = (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330)
_TO_RELATIVE_MAJOR = 3

Chroma = NDArray[np.float32]


class _Peaks(NamedTuple):
    """Spectral peaks of a block: pitch [semitones, A = 440 Hz is 69], magnitude, column."""

    pitches: NDArray[np.float64]
    strengths: Chroma
    columns: NDArray[np.int64]
    n_columns: int


@dataclass(frozen=True, slots=True)
class Key:
    """A key and how much it stands out.

    Attributes
    ----------
    tonic
        Semitones above C.
    mode
        "major" or "minor".
    margin
        By how much the probability of its signature exceeds that of the next, 0 to 1, by the
        fitted weights.
    """

    tonic: int
    mode: str
    margin: float

    @property
    def name(self) -> str:
        """How musicians write it."""
        return f"{PITCH_NAMES[self.tonic]} {self.mode}"

    @property
    def signature(self) -> int:
        """Tonic of the major key with the same notes, in semitones above C."""
        return (self.tonic + (_TO_RELATIVE_MAJOR if self.mode == "minor" else 0)) % 12

    def semitones_to(self, signature: int) -> int:
        """Return the shortest way to another signature, -6 to 5."""
        return (signature - self.signature + 6) % 12 - 6


def find_chroma(audio: Audio) -> Chroma:
    """Return the magnitude of spectral peaks by pitch class, (2, 12, n_columns), C first.

    The first of the two is the bass, below 200 Hz. Pitch classes are those of the recording's own
    tuning, at most half a semitone from A = 440 Hz.
    """
    n_columns = 1 + len(audio) // HOP
    padded = np.pad(audio, _N_FFT // 2)
    starts = list(range(0, n_columns, _BLOCK))
    few = starts[:: max(1, len(starts) // _TUNING_BLOCKS)]
    sampled = [_peaks(padded, first, n_columns) for first in few]
    turns = sum(complex(np.sum(p.strengths * np.exp(2j * np.pi * p.pitches))) for p in sampled)
    tuning = float(np.angle(turns) / (2.0 * np.pi))
    return np.concatenate(
        [_folded(_peaks(padded, first, n_columns), tuning) for first in starts], axis=2
    )


def _peaks(padded: Audio, first: int, n_columns: int) -> _Peaks:
    import librosa

    last = min(first + _BLOCK, n_columns)
    stretch = padded[first * HOP : (last - 1) * HOP + _N_FFT]
    spectrum = np.abs(librosa.stft(stretch, n_fft=_N_FFT, hop_length=HOP, center=False))
    low, high = (round(hertz * _N_FFT / SAMPLE_RATE) for hertz in (_LOWEST_HZ, _HIGHEST_HZ))
    band = spectrum[low:high]
    is_peak = (band > spectrum[low - 1 : high - 1]) & (band >= spectrum[low + 1 : high + 1])
    rows, columns = np.nonzero(is_peak)
    below, peak, above = (spectrum[rows + low + step, columns] for step in (-1, 0, 1))
    offset = 0.5 * (below - above) / np.minimum(below - 2.0 * peak + above, -1e-12)
    hertz = (rows + low + offset) * (SAMPLE_RATE / _N_FFT)
    return _Peaks(69.0 + 12.0 * np.log2(hertz / 440.0), peak, columns, last - first)


def _folded(peaks: _Peaks, tuning: float) -> Chroma:
    classes = np.rint(peaks.pitches - tuning).astype(np.int64) % 12
    rows = np.where(peaks.pitches < _BASS_BELOW, 0, 12) + classes
    chroma = np.bincount(
        rows * peaks.n_columns + peaks.columns,
        weights=peaks.strengths,
        minlength=24 * peaks.n_columns,
    )
    return chroma.reshape(2, 12, -1).astype(np.float32)


def find_key(chroma: Chroma) -> Key:
    """Return the most probable key of a recording, from its chroma, (2, 12, n_columns)."""
    scores = np.tensordot(turned(pitch_class_shares(chroma)), fitted_weights()["key"], axes=2)
    odds = np.exp(scores - scores.max())
    second, first = np.sort(odds / odds.sum())[-2:]
    signature = int(np.argmax(odds))
    minor = (signature - _TO_RELATIVE_MAJOR) % 12
    mean = chroma.sum(axis=0).mean(axis=1)
    is_minor = _correlation(np.roll(_MINOR, minor), mean) > _correlation(
        np.roll(_MAJOR, signature), mean
    )
    tonic, mode = (minor, "minor") if is_minor else (signature, "major")
    return Key(tonic, mode, margin=float(first - second))


def pitch_class_shares(chroma: Chroma) -> NDArray[np.float64]:
    """Return how much of each column a pitch class has, (2, 12), the mean of all but the softest.

    Columns of length one: a loud chord counts no more than a soft one.
    """
    lengths = np.linalg.norm(chroma, axis=1)
    total = lengths.sum(axis=0)
    loud = total > np.percentile(total, _SOFT_PERCENTILE)
    shares = (chroma / np.maximum(lengths, 1e-9)[:, None])[:, :, loud | (total >= total.max())]
    return np.asarray(shares.mean(axis=2), dtype=np.float64)


def turned(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shares as counted from each tonic, (12, 2, 12)."""
    return np.stack([np.roll(shares, -tonic, axis=1) for tonic in range(12)])


def _correlation(profile: NDArray[np.float64], chroma: Chroma) -> float:
    centred, other = profile - profile.mean(), chroma - chroma.mean()
    scale = float(np.linalg.norm(centred) * np.linalg.norm(other))
    return float(centred @ other) / max(scale, 1e-9)


def transpose(audio: Audio, semitones: int) -> Audio:
    """Play audio faster (up) or slower (down), (n_samples,) → (n_samples / 2^(semitones/12),)."""
    import soxr

    if semitones == 0:
        return audio
    moved: Audio = soxr.resample(audio, SAMPLE_RATE * 2.0 ** (semitones / 12.0), SAMPLE_RATE)
    return moved
