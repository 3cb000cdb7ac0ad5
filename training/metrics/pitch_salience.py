"""Which pitches sound when: a spectrogram explained by harmonic tones and by bands of noise.

Non-negative matrix factorisation with fixed atoms (Lee and Seung 2001), harmonic ones for tones
(Raczyński et al. 2007). Nothing here is trained.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.metrics.partials import tuning
from training.metrics.spectra import SAMPLE_RATE, TINY, Floats, Samples, spectrum

N_FFT, HOP = 4096, 512
FRAMES_PER_SECOND = SAMPLE_RATE / HOP
PITCHES = np.arange(28, 97)
"""MIDI keys, E1 to C7."""

# Up to 3.2 kHz: the partials above add little, and cost as much.
_N_BINS = 600
_MOST_PARTIALS = 12
# A partial has this share of the magnitude of the one below it: bright and dull tones.
_DECAYS = (0.9, 0.6)
_NOISE_EDGES = np.geomspace(4, _N_BINS, 14)
# Magnitudes rise with frequency and are compressed, or the bass would hide the melody.
_TILT, _COMPRESSION = 0.8, 0.7
_N_ITERATIONS = 40
# A note this far below the clip's loud frames is as likely heard as not, in dB of compressed
# magnitude; so many dB more make it e times as likely.
HEARD_DB, _SLOPE_DB = -20.0, 3.0
_LOUD_PERCENTILE = 90
_FLOOR_DB = -120.0


@dataclass(frozen=True, slots=True)
class Salience:
    """Pitches of a recording over time.

    Attributes
    ----------
    level_db : (n_frames, n_pitches)
        Of every pitch in `PITCHES`, below the clip's loud frames; -120 at least.
    certainty : (n_frames, n_pitches)
        How likely the pitch is heard, 0 to 1.
    magnitude : (n_frames, n_bins)
        Of the spectrogram, uncompressed.
    """

    level_db: Floats
    certainty: Floats
    magnitude: Floats

    @property
    def is_heard(self) -> NDArray[np.bool_]:
        """Where a pitch is as likely heard as not, or likelier: (n_frames, n_pitches)."""
        return self.level_db > HEARD_DB

    def half_seconds(self) -> Floats:
        """Mean certainty of every half second: (n_half_seconds, n_pitches), one at least."""
        n = round(FRAMES_PER_SECOND / 2)
        n_whole = max(len(self.certainty) // n, 1)
        whole = self.certainty[: n_whole * n]
        means: Floats = whole.reshape(n_whole, -1, len(PITCHES)).mean(axis=1)
        return means


def pitch_salience(samples: Samples) -> Salience:
    """Find the pitches of a recording at `SAMPLE_RATE`; its level does not matter."""
    magnitude = np.abs(spectrum(samples, N_FFT, HOP))[:, : _N_BINS + 2]
    atoms = _atoms(tuning(magnitude, SAMPLE_RATE / N_FFT))
    rise = (np.arange(_N_BINS, dtype=np.float32) + 4) ** _TILT
    activation = _explain((magnitude[:, :_N_BINS] * rise) ** _COMPRESSION, atoms)
    n_tones = len(_DECAYS) * len(PITCHES)
    notes = activation[:, :n_tones].reshape(len(activation), len(_DECAYS), -1).sum(axis=1)
    loud = np.percentile(notes.sum(axis=1), _LOUD_PERCENTILE)
    if loud < TINY:
        notes, loud = np.zeros_like(notes), np.float64(1)
    level_db = 20 * np.log10(np.maximum(notes / loud, 10 ** (_FLOOR_DB / 20)))
    certainty = 1 / (1 + np.exp((HEARD_DB - level_db) / _SLOPE_DB))
    return Salience(level_db.astype(np.float32), certainty.astype(np.float32), magnitude)


def _explain(compressed: Floats, atoms: Floats) -> Floats:
    """Amounts of every atom in every frame, by multiplicative updates for the KL divergence."""
    amounts = np.full((len(compressed), len(atoms)), compressed.mean() + TINY, np.float32)
    for _ in range(_N_ITERATIONS):
        amounts *= (compressed / (amounts @ atoms + TINY)) @ atoms.T
    return amounts


@lru_cache(maxsize=8)
def _atoms(tuning_semitones: float) -> Floats:
    """Spectra of tones and of noise bands, each of sum 1: (n_atoms, n_bins)."""
    bins = np.arange(_N_BINS)
    keys = PITCHES + tuning_semitones
    fundamentals = 440 * 2 ** ((keys - 69) / 12) * N_FFT / SAMPLE_RATE
    tones = [_tone(bins, first, decay) for decay in _DECAYS for first in fundamentals]
    corners = zip(_NOISE_EDGES, _NOISE_EDGES[1:], _NOISE_EDGES[2:], strict=False)
    bands = [np.interp(bins, corner, [0, 1, 0]) for corner in corners]
    atoms = np.array(tones + bands) ** _COMPRESSION
    return np.asarray(atoms / atoms.sum(axis=1, keepdims=True), dtype=np.float32)


def _tone(bins: NDArray[np.int64], first: float, decay: float) -> NDArray[np.float64]:
    """Magnitudes of a harmonic tone whose fundamental is at bin `first`."""
    orders = np.arange(1, min(_MOST_PARTIALS, int(len(bins) / first)) + 1)
    lobes = _main_lobe(bins - orders[:, None] * first)
    return np.asarray((decay ** (orders - 1)) @ lobes)


def _main_lobe(offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Main lobe of the Hann window's transform, 1 at offset 0, in bins."""
    # 0 / 0 at one bin, where it is a half.
    safe = np.where(np.isclose(np.abs(offset), 1), 1 + 1e-4, offset)
    lobe = np.sinc(safe) / (1 - safe**2)
    return np.where(np.abs(offset) < 2, np.abs(lobe), 0)
