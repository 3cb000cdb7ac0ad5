"""The key of a recording, and its transposition to another.

Pitch classes of spectral peaks are compared with the key profiles that Temperley ("Music and
Probability", 2007, table 6.1) counted in the Kostka-Payne corpus, with Krumhansl's method
("Cognitive Foundations of Musical Pitch", 1990). A major key and its relative minor share their
notes, and lo-fi often alternates between the two: what is transposed is therefore the *signature*,
the same for C major and A minor.

A recording is transposed like a tape: a resampler plays it faster or slower. Pitch and tempo change
together, and since frames are taken at positions in beats, the change of tempo has no effect. No
phase vocoder is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.corpus.format import SAMPLE_RATE, Audio
from training.corpus.generator.harmony import PITCH_NAMES

_OTHER_NAMES = {"Db": 1, "D#": 3, "Gb": 6, "G#": 8, "A#": 10}
SIGNATURES = dict(zip(PITCH_NAMES, range(12), strict=True)) | _OTHER_NAMES
"""Names of major keys, and their tonics in semitones above C."""

HOP = 1024
"""Samples from one column of chroma to the next."""

_N_FFT = 8192
_BLOCK = 1024  # columns at a time, to bound memory
_LOWEST_HZ, _HIGHEST_HZ = 65.0, 2000.0
_MAJOR = (0.748, 0.060, 0.488, 0.082, 0.670, 0.460, 0.096, 0.715, 0.104, 0.366, 0.057, 0.400)
_MINOR = (0.712, 0.084, 0.474, 0.618, 0.049, 0.460, 0.105, 0.747, 0.404, 0.067, 0.133, 0.330)
_TO_RELATIVE_MAJOR = 3

Chroma = NDArray[np.float32]


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
        By how much its correlation exceeds that of the best key with another signature.
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
        return _signature(self.tonic, self.mode)

    def semitones_to(self, signature: int) -> int:
        """Return the shortest way to another signature, -6 to 5."""
        return (signature - self.signature + 6) % 12 - 6


def _signature(tonic: int, mode: str) -> int:
    return (tonic + (_TO_RELATIVE_MAJOR if mode == "minor" else 0)) % 12


def find_chroma(audio: Audio) -> Chroma:
    """Return the magnitude of spectral peaks by pitch class, (12, n_columns), C first."""
    padded = np.pad(audio, _N_FFT // 2)
    n_columns = 1 + len(audio) // HOP
    blocks = [
        _block_chroma(padded[first * HOP : (min(first + _BLOCK, n_columns) - 1) * HOP + _N_FFT])
        for first in range(0, n_columns, _BLOCK)
    ]
    return np.concatenate(blocks, axis=1)


def _block_chroma(audio: Audio) -> Chroma:
    import librosa

    spectrum = np.abs(librosa.stft(audio, n_fft=_N_FFT, hop_length=HOP, center=False))
    frequencies = np.fft.rfftfreq(_N_FFT, 1.0 / SAMPLE_RATE)
    first, last = np.searchsorted(frequencies, [_LOWEST_HZ, _HIGHEST_HZ])
    band = spectrum[first:last]
    is_peak = (band > spectrum[first - 1 : last - 1]) & (band >= spectrum[first + 1 : last + 1])
    pitches = np.rint(69.0 + 12.0 * np.log2(frequencies[first:last] / 440.0)).astype(np.int64)
    membership = (pitches % 12 == np.arange(12)[:, None]).astype(np.float32)
    chroma: Chroma = membership @ (band * is_peak)
    return chroma


def find_key(chroma: Chroma) -> Key:
    """Return the key whose profile correlates best with the mean chroma, (12, n_columns)."""
    mean = chroma.mean(axis=1)
    scores = {
        (tonic, mode): _correlation(np.roll(profile, tonic), mean)
        for mode, profile in (("major", _MAJOR), ("minor", _MINOR))
        for tonic in range(12)
    }
    best = max(scores, key=lambda key: scores[key])
    others = [score for key, score in scores.items() if _signature(*key) != _signature(*best)]
    return Key(*best, margin=scores[best] - max(others))


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
