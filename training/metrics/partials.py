"""Spectral peaks of tones: their tuning, and how far their pitch moves from frame to frame."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics.spectra import TINY, Floats

# Peaks further below the loudest bin are noise; those further down in frequency lie too close
# for the window.
_RANGE_DB, _LOWEST_HZ = 45.0, 150.0
# A partial continues at the nearest peak of the next frame, at most so many bins away.
_FURTHEST_BINS = 3
_MOST_CENTS = 20.0
# Steps of the tuning per semitone: an eighth of them is within what an atom tolerates.
_STEPS_PER_SEMITONE = 5


@dataclass(frozen=True, slots=True)
class Peaks:
    """Local maxima over frequency.

    Attributes
    ----------
    found : (n_frames, n_bins)
        Whether a bin holds a peak.
    hertz : (n_frames, n_bins)
        Its frequency, interpolated by a parabola over decibels; meaningless elsewhere.
    """

    found: NDArray[np.bool_]
    hertz: Floats


def find_peaks(magnitude: Floats, hertz_per_bin: float) -> Peaks:
    """Peaks of a spectrogram, (n_frames, n_bins + 2) → n_bins, without its first and last bin."""
    level_db = 20 * np.log10(magnitude + TINY)
    below, here, above = level_db[:, :-2], level_db[:, 1:-1], level_db[:, 2:]
    found = (here > below) & (here >= above) & (here > level_db.max(initial=-200.0) - _RANGE_DB)
    found[:, : round(_LOWEST_HZ / hertz_per_bin)] = False
    bend = np.where(found, below - 2 * here + above, -1)
    offset = np.clip(0.5 * (below - above) / bend, -0.5, 0.5)
    hertz = (np.arange(1, level_db.shape[1] - 1) + offset) * hertz_per_bin
    return Peaks(found, hertz.astype(np.float32))


def tuning(magnitude: Floats, hertz_per_bin: float) -> float:
    """How far the tones lie above A = 440 Hz, in semitones from -0.4 to 0.4, in steps of 0.2."""
    peaks = find_peaks(magnitude, hertz_per_bin)
    keys = 12 * np.log2(peaks.hertz[peaks.found] / 440)
    turns = (magnitude[:, 1:-1][peaks.found] * np.exp(2j * np.pi * keys)).sum()
    fraction = float(np.angle(turns)) / (2 * np.pi)
    steps = round(fraction * _STEPS_PER_SEMITONE)
    # Half a semitone above one key is half below the next.
    return float(np.clip(steps, -2, 2) / _STEPS_PER_SEMITONE)


def pitch_wander(magnitude: Floats, hertz_per_bin: float) -> float:
    """Mean movement of a partial from one frame to the next, in cents, each 20 at most."""
    peaks = find_peaks(magnitude, hertz_per_bin)
    now, hertz = peaks.found[:-1], peaks.hertz[:-1]
    nearest = np.full(now.shape, np.inf, np.float32)
    for shift in range(-_FURTHEST_BINS, _FURTHEST_BINS + 1):
        # Bins that come round from the other end hold no peaks within reach.
        there = np.roll(peaks.hertz[1:], shift, axis=1)
        moved = np.where(np.roll(peaks.found[1:], shift, axis=1), np.abs(there / hertz - 1), np.inf)
        nearest = np.minimum(nearest, moved)
    continued = nearest[now & np.isfinite(nearest) & (nearest < 0.1)]
    cents = np.minimum(1200 * np.log2(1 + continued), _MOST_CENTS)
    return float(cents.mean()) if len(cents) else 0.0
