"""Metrics over time: onsets, grid, pulse, modulation of levels, repetition of bars."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from training.metrics.spectra import (
    ONSET_HOP,
    SAMPLE_RATE,
    TINY,
    Floats,
    Samples,
    onset_levels,
    share_db,
)

Doubles = NDArray[np.float64]

_FRAMES_PER_SECOND = SAMPLE_RATE / ONSET_HOP
_MODULATION = {"mod_4_12": (4, 12), "mod_12_30": (12, 30), "mod_30_80": (30, 80)}
# An onset rises over so many frames.
_RISE = 4
# Of a pattern of onsets: 52 ms.
_STEP_FRAMES = 9
# The grid of 16th notes that holds most of the onsets: tempos of an octave, straight to triplets.
_GRID_BPM = 60 * 2 ** np.arange(0, 1.0, 0.006)
_SWINGS = (0.5, 0.54, 0.58, 0.62, 0.667)
_GRID_STEPS = 96
_GRID_TOLERANCE_SECONDS = 0.025
_FEWEST_ONSETS = 6
# Beats lie this far apart, and those near 85 BPM are the likelier.
_BEAT_SECONDS, _LIKELY_BPM, _OCTAVES = (0.3, 1.2), 85.0, 0.6
_BAR_SECONDS, _BAR_FRAMES = (1.5, 8.0), 16


def rhythm(samples: Samples) -> Mapping[str, float]:
    """Figures of `GROUPS` from onsets; the level should be -20 LUFS."""
    level_db = onset_levels(samples)
    onsets = _novelty(level_db)
    return {
        **_modulation(level_db),
        "onset_kurt": _kurtosis(onsets),
        **_onset_times(onsets, len(samples) / SAMPLE_RATE),
        **_pulse(onsets),
        "loop_repeat": _repetition(level_db),
    }


def onset_pattern(samples: Samples) -> Floats:
    """Strength of onsets in steps of 52 ms: (n_steps,); the level should be -20 LUFS."""
    novelty = _novelty(onset_levels(samples)).astype(np.float32)
    n_whole = len(novelty) // _STEP_FRAMES
    pattern: Floats = novelty[: n_whole * _STEP_FRAMES].reshape(n_whole, -1).sum(axis=1)
    return pattern


def _novelty(level_db: Floats) -> Doubles:
    """Rise of the level beyond the mean rise around it: (n_frames,)."""
    from scipy.ndimage import uniform_filter1d

    rise = np.maximum(level_db[_RISE:] - level_db[:-_RISE], 0).mean(axis=1)
    envelope = np.pad(rise, _RISE // 2).astype(np.float64)
    around = uniform_filter1d(envelope, int(0.3 * _FRAMES_PER_SECOND))
    return np.asarray(np.maximum(envelope - around, 0))


def _modulation(level_db: Floats) -> Mapping[str, float]:
    """Shares of the modulation of levels by its rate, in Hz."""
    tapered = (level_db - level_db.mean(axis=0)) * np.hanning(len(level_db))[:, None]
    power = np.abs(np.fft.rfft(tapered, axis=0)) ** 2
    hertz = np.fft.rfftfreq(len(level_db), 1 / _FRAMES_PER_SECOND)
    whole = power[hertz > 0.3].sum()
    return {
        name: share_db(power[(hertz >= low) & (hertz < high)].sum(), whole)
        for name, (low, high) in _MODULATION.items()
    }


def _kurtosis(onsets: Doubles) -> float:
    """High where a few onsets stand alone."""
    fourth = ((onsets - onsets.mean()) ** 4).mean()
    return float(np.log(fourth / (onsets.var() ** 2 + TINY) + 1e-3))


def _onset_times(onsets: Doubles, seconds: float) -> Mapping[str, float]:
    from scipy.signal import find_peaks

    least = max(0.8, 0.12 * np.percentile(onsets, 99.5))
    peaks, _ = find_peaks(onsets, height=least, distance=int(0.045 * _FRAMES_PER_SECOND))
    strength = onsets[peaks]
    if len(peaks):
        strength = np.minimum(strength, np.percentile(strength, 95))
    share = _grid_share(peaks / _FRAMES_PER_SECOND, strength)
    return {
        "onset_rate": len(peaks) / seconds,
        "grid_excess": share - _share_by_chance(strength, seconds),
    }


def _share_by_chance(strength: Doubles, seconds: float) -> float:
    """Share of onsets of the same strength on their best grid when they fall at random."""
    rng = np.random.default_rng(0)
    times = (np.sort(rng.uniform(0, seconds, len(strength))) for _ in range(2))
    return float(np.mean([_grid_share(t, strength) for t in times]))


def _grid_share(seconds: Doubles, strength: Doubles) -> float:
    """Share of onset strength near the best grid of 16th notes, corrected for its coverage."""
    if len(seconds) < _FEWEST_ONSETS:
        return 0.0
    best = -1.0
    for period in 30.0 / _GRID_BPM:
        place = (seconds / period % 1 * _GRID_STEPS).astype(int) % _GRID_STEPS
        histogram = np.bincount(place, strength, _GRID_STEPS)
        width = round(2 * _GRID_TOLERANCE_SECONDS / period * _GRID_STEPS)
        running = np.cumsum(np.concatenate([[0.0], histogram, histogram[:width]]))
        near = running[width : width + _GRID_STEPS] - running[:_GRID_STEPS]
        covered = 2 * width / _GRID_STEPS
        for swing in _SWINGS:
            share = (near + np.roll(near, -round(swing * _GRID_STEPS))).max() / strength.sum()
            best = max(best, (share - covered) / (1 - covered))
    return float(best)


def _pulse(onsets: Doubles) -> Mapping[str, float]:
    """How regularly onsets return, and the likeliest tempo."""
    correlation = _autocorrelation(onsets - onsets.mean())
    first, last = (int(seconds * _FRAMES_PER_SECOND) for seconds in _BEAT_SECONDS)
    last = min(last, len(correlation) - 1)
    if last <= first:
        return {"pulse_clarity": 0.0, "tempo_bpm": 0.0}
    lag_seconds = np.arange(first, last) / _FRAMES_PER_SECOND
    octaves = np.log2(60 / lag_seconds / _LIKELY_BPM)
    likely = correlation[first:last] * np.exp(-0.5 * (octaves / _OCTAVES) ** 2)
    return {
        "pulse_clarity": float(correlation[first:last].max()),
        "tempo_bpm": float(60 / lag_seconds[likely.argmax()]),
    }


def _autocorrelation(signal: Doubles) -> Doubles:
    """1 at lag 0; corrected for how little overlaps at long lags."""
    n = len(signal)
    padded = 1 << int(np.ceil(np.log2(2 * n)))
    products = np.fft.irfft(np.abs(np.fft.rfft(signal, padded)) ** 2)[:n]
    return np.asarray(products / (products[0] + TINY) * n / np.maximum(n - np.arange(n), 1))


def _repetition(level_db: Floats) -> float:
    """Correlation of the music to itself one to several seconds later, at the best lag."""
    n_frames = len(level_db) // _BAR_FRAMES * _BAR_FRAMES
    coarse = level_db[:n_frames].reshape(-1, _BAR_FRAMES, level_db.shape[1]).mean(axis=1)
    coarse = coarse - coarse.mean(axis=0)
    per_second = _FRAMES_PER_SECOND / _BAR_FRAMES
    first, last = (int(seconds * per_second) for seconds in _BAR_SECONDS)
    lags = range(first, min(last, len(coarse) * 2 // 3))
    return max((_correlation(coarse[lag:], coarse[:-lag]) for lag in lags), default=0.0)


def _correlation(one: Floats, other: Floats) -> float:
    norm = np.sqrt(np.square(one).sum() * np.square(other).sum()) + TINY
    return max(0.0, float((one * other).sum() / norm))
