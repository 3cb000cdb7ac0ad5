"""Metrics of notes and chords: which pitches are heard, how surely, and how well they agree."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.metrics.partials import pitch_wander
from training.metrics.pitch_salience import (
    FRAMES_PER_SECOND,
    N_FFT,
    PITCHES,
    Salience,
)
from training.metrics.spectra import SAMPLE_RATE, TINY

Doubles = NDArray[np.float64]

_MAJOR = np.array([1, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 1])
# Intervals of the chords that half a second is compared with: triads, and chords of the seventh.
_CHORDS = (
    (0, 4, 7),
    (0, 3, 7),
    (0, 3, 6),
    (0, 4, 7, 11),
    (0, 3, 7, 10),
    (0, 4, 7, 10),
    (0, 3, 6, 10),
)
# Weights of the intervals of 1 to 11 semitones: those of a semitone weigh most, consonances little.
_DISSONANCE = (1.0, 0.5, 0.15, 0.1, 0.05, 0.6, 0.0, 0.1, 0.1, 0.35, 0.8)
# Half-heard notes lie this far below the clip's loud frames, in dB.
_HALF_HEARD_DB, _WELL_HEARD_DB = (-40.0, -26.0), -22.0
# Where no note is heard, the middle of the keyboard and no opinion.
_MIDDLE_KEY, _NO_OPINION = 60.0, 0.5


def notes(salience: Salience) -> Mapping[str, float]:
    """Figures of `GROUPS` from the pitches of a recording."""
    heard, sure = salience.is_heard, salience.certainty
    n_heard = heard.sum()
    wander = pitch_wander(salience.magnitude, SAMPLE_RATE / N_FFT)
    return {
        "polyphony": float(heard.sum(axis=1).mean()),
        "pitch_mean": float((heard @ PITCHES).sum() / n_heard) if n_heard else _MIDDLE_KEY,
        "note_certainty": float(sure.max(axis=1).mean()),
        "note_ambiguity": _ambiguity(salience),
        "note_instability": float(np.abs(np.diff(sure, axis=0)).sum() / (sure.sum() + TINY)),
        "pitch_wander": wander,
        **_harmony(salience),
    }


def _ambiguity(salience: Salience) -> float:
    """Half-heard notes for each heard one."""
    low, high = _HALF_HEARD_DB
    half = (salience.level_db > low) & (salience.level_db < high)
    well = salience.level_db > _WELL_HEARD_DB
    return float(half.sum(axis=1).mean() / (well.sum(axis=1).mean() + 0.5))


def _harmony(salience: Salience) -> Mapping[str, float]:
    """Scale, chords and intervals of every half second."""
    # Sums by pitch class.
    chroma = np.where(salience.certainty > 0.35, salience.certainty, 0) @ np.eye(12)[PITCHES % 12]
    n = round(FRAMES_PER_SECOND / 2)
    n_halves = len(chroma) // n
    halves = chroma[: n_halves * n].reshape(n_halves, n, 12).mean(axis=1) if n_halves else chroma
    halves = halves[halves.sum(axis=1) > 1e-3]
    if len(halves) < 2:
        return {
            "in_scale": _NO_OPINION, "chord_fit": _NO_OPINION, "chord_change": 0.0, "roughness": 0.0
        }  # fmt: skip
    unit = halves / np.linalg.norm(halves, axis=1, keepdims=True)
    total = chroma.sum(axis=0)
    scales = np.array([np.roll(_MAJOR, root) for root in range(12)])
    return {
        "in_scale": float((scales @ total).max() / total.sum()),
        "chord_fit": float((unit @ _chord_shapes().T).max(axis=1).mean()),
        "chord_change": float(np.mean(1 - (unit[1:] * unit[:-1]).sum(axis=1))),
        "roughness": _roughness(halves / halves.sum(axis=1, keepdims=True)),
    }


def _chord_shapes() -> Doubles:
    """Unit chroma of every chord on every root: (n_chords, 12)."""
    shapes = np.zeros((len(_CHORDS), 12))
    for shape, intervals in zip(shapes, _CHORDS, strict=True):
        shape[list(intervals)] = 1 / np.sqrt(len(intervals))
    return np.concatenate([np.roll(shapes, root, axis=1) for root in range(12)])


def _roughness(shares: Doubles) -> float:
    """Dissonance of two pitch classes drawn at random from the same half second."""
    by_interval = [
        weight * (shares * np.roll(shares, -interval, axis=1)).sum(axis=1)
        for interval, weight in enumerate(_DISSONANCE, 1)
    ]
    return float(np.sum(by_interval, axis=0).mean())
