"""Figures of the recording of one switch state, and the distance between two."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.audio.loudness import integrated_lufs, true_peak_db

Samples = NDArray[np.float32]

# A coarse spectrogram: about what a listener compares to decide whether two sounds are the same.
_N_FFT = 1024
_WINDOW_SECONDS = 0.1
_N_BANDS = 24
_LOWEST_HERTZ = 60.0
_FLOOR_DB = -60.0


@dataclass(frozen=True)
class AudioMeasurement:
    """Figures of one recording.

    Attributes
    ----------
    lufs : float
        Integrated loudness.
    true_peak_db : float
        dB below full scale.
    silent_share : float
        Part of the time below -60 dB RMS, in windows of 100 ms.
    is_finite : bool
    band_levels : (n_moments, n_bands)
        Level in dB, for `distance_db`.
    """

    lufs: float
    true_peak_db: float
    silent_share: float
    is_finite: bool
    band_levels: NDArray[np.float32]


def measure(samples: Samples, sample_rate: int) -> AudioMeasurement:
    """Measure a recording, (n,)."""
    is_finite = bool(np.isfinite(samples).all())
    clean = samples if is_finite else np.nan_to_num(samples, posinf=0.0, neginf=0.0)
    return AudioMeasurement(
        lufs=integrated_lufs(clean, sample_rate),
        true_peak_db=true_peak_db(clean),
        silent_share=_silent_share(clean, sample_rate),
        is_finite=is_finite,
        band_levels=_band_levels(clean, sample_rate),
    )


def distance_db(one: AudioMeasurement, other: AudioMeasurement) -> float:
    """Mean absolute difference of two spectrograms in dB."""
    n = min(len(one.band_levels), len(other.band_levels))
    return float(np.abs(one.band_levels[:n] - other.band_levels[:n]).mean())


def nearest(measurements: list[AudioMeasurement]) -> list[tuple[int, float]]:
    """For each recording the number of the most similar other one, and their distance in dB."""
    spectrograms = np.stack([s.band_levels for s in measurements])
    neighbours = []
    for i, spectrogram in enumerate(spectrograms):
        distance = np.abs(spectrograms - spectrogram).mean(axis=(1, 2))
        distance[i] = np.inf
        neighbours.append((int(distance.argmin()), float(distance.min())))
    return neighbours


def _silent_share(samples: Samples, sample_rate: int) -> float:
    n = int(_WINDOW_SECONDS * sample_rate)
    windows = samples[: len(samples) // n * n].reshape(-1, n)
    power = (windows**2).mean(axis=1) if len(windows) else np.zeros(1)
    return float((power < 10 ** (_FLOOR_DB / 10)).mean())


def _band_levels(samples: Samples, sample_rate: int) -> NDArray[np.float32]:
    step = int(_WINDOW_SECONDS * sample_rate)
    padded = np.pad(samples, (_N_FFT // 2, _N_FFT + step))
    starts = np.arange(0, max(len(samples), 1), step // 2)
    frames = padded[starts[:, None] + np.arange(_N_FFT)] * np.hanning(_N_FFT).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2 / (_N_FFT / 4) ** 2
    hertz = np.fft.rfftfreq(_N_FFT, 1 / sample_rate)
    edges = np.geomspace(_LOWEST_HERTZ, sample_rate / 2, _N_BANDS)
    bands = np.searchsorted(edges, hertz)
    membership = (bands[None, :] == np.arange(_N_BANDS)[:, None]).astype(np.float32)
    levels = 10 * np.log10(power @ membership.T + 1e-12)
    return np.asarray(np.maximum(levels, _FLOOR_DB), dtype=np.float32)
