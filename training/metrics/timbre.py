"""Metrics of timbre, and of the sharpness of the spectrogram."""

from collections.abc import Mapping

import numpy as np

from training.metrics.spectra import (
    SAMPLE_RATE,
    TINY,
    Floats,
    Samples,
    Spectrum,
    mel_bands,
    share_db,
    spectrum,
    to_db,
)

_N_FFT, _HOP = 2048, 256
_N_MELS = 128
_BANDS = {
    "band_sub": (20, 60),
    "band_low": (60, 250),
    "band_mid": (250, 2_000),
    "band_hi": (2_000, 6_000),
    "band_air": (6_000, SAMPLE_RATE // 2),
}
_MEDIAN = 17
# Peaks further below the loudest bin of their frame are noise.
_PEAK_RANGE_DB = 50.0
# From this wave on, over the 128 mel bands, relief is single partials and not the shape of all.
_FIRST_FINE_WAVE = 16


def timbre(samples: Samples) -> Mapping[str, float]:
    """Figures of `GROUPS` from one STFT of 2048; the level should be -20 LUFS."""
    complex_frames = spectrum(samples, _N_FFT, _HOP)
    magnitude = np.abs(complex_frames)
    power = magnitude**2
    return {
        **_colour(power),
        "perc_db": _percussive_db(magnitude[::2]),
        **_peaks(complex_frames, magnitude),
        **_relief(power[::2]),
    }


def _colour(power: Floats) -> Mapping[str, float]:
    hertz = np.fft.rfftfreq(_N_FFT, 1 / SAMPLE_RATE)
    total = power.sum(axis=1)
    sounding = power[total > total.max() * 1e-6]
    frames = sounding if len(sounding) >= 4 else power
    level = frames.sum(axis=1) + TINY
    below = frames.cumsum(axis=1) / level[:, None]
    mean = frames.mean(axis=0)
    log_power = np.log10(frames + 1e-9)
    high = np.percentile(power[:, hertz > 5_000].mean(axis=1), 10)
    rolloff = np.minimum((below < 0.95).sum(axis=1), len(hertz) - 1)
    return {
        "centroid": float(np.median((frames * hertz).sum(axis=1) / level)),
        "rolloff95": float(np.median(hertz[rolloff])),
        "flatness_db": float(
            np.median(10 * (log_power.mean(axis=1) - np.log10(frames.mean(axis=1) + 1e-9)))
        ),
        "spec_sparsity": float(
            np.median(frames.sum(axis=1) ** 2 / (np.square(frames).sum(axis=1) + TINY))
        ),
        "hf_floor_db": share_db(float(high), float(total.mean()) / power.shape[1], least=1e-9),
        **{
            name: share_db(mean[(hertz >= low) & (hertz < high)].sum(), mean.sum())
            for name, (low, high) in _BANDS.items()
        },
    }


def _percussive_db(magnitude: Floats) -> float:
    """Share of what is short and wide: medians over time against medians over frequency."""
    harmonic = _running_median(magnitude.T).T ** 2
    percussive = _running_median(magnitude) ** 2
    mask = harmonic / (harmonic + percussive + TINY)
    power = magnitude**2
    return share_db(float(((1 - mask) * power).sum()), float(power.sum()), least=1e-5)


def _running_median(rows: Floats) -> Floats:
    """Medians along the last axis, mirrored at both ends.

    All rows in a line, for scipy is six times as fast in one dimension as in two.
    """
    from scipy.ndimage import median_filter

    beyond = _MEDIAN // 2
    line = np.pad(rows, ((0, 0), (beyond, beyond)), mode="symmetric").ravel()
    medians: Floats = median_filter(line, _MEDIAN).reshape(len(rows), -1)
    return medians[:, beyond:-beyond]


def _peaks(complex_frames: Spectrum, magnitude: Floats) -> Mapping[str, float]:
    """How steadily the phase of spectral peaks advances, and how far they stand out."""
    level_db = 20 * np.log10(magnitude + 1e-7)
    centre, inner = magnitude[:, 2:-2], level_db[:, 2:-2]
    is_peak = (centre > magnitude[:, 1:-3]) & (centre >= magnitude[:, 3:-1])
    is_peak &= inner > level_db.max(axis=1, keepdims=True) - _PEAK_RANGE_DB
    phase = np.angle(complex_frames[:, 2:-2])
    bend = phase[2:] - 2 * phase[1:-1] + phase[:-2]
    unsteady = np.abs((bend + np.pi) % (2 * np.pi) - np.pi)
    weight = centre[1:-1] * is_peak[1:-1]
    prominence = np.minimum(inner - level_db[:, :-4], inner - level_db[:, 4:])
    return {
        "phase_dev": float((unsteady * weight).sum() / (weight.sum() + TINY)),
        "peak_sharp_db": float((prominence * is_peak).sum() / max(is_peak.sum(), 1)),
    }


def _relief(power: Floats) -> Mapping[str, float]:
    """Edges of the mel spectrogram: partials across frequency, changes along both axes."""
    log_mel = to_db(power @ mel_bands(_N_FFT, _N_MELS), range_db=70.0)
    centred = (log_mel - log_mel.mean(axis=1, keepdims=True)) * np.hanning(_N_MELS)
    waves = (np.abs(np.fft.rfft(centred, axis=1)) ** 2).mean(axis=0)
    return {
        "quef_hi": share_db(waves[_FIRST_FINE_WAVE:].sum(), waves[1:].sum()),
        "melgrad_t": float(np.abs(np.diff(log_mel, axis=0)).mean()),
        "melgrad_f": float(np.abs(np.diff(log_mel, axis=1)).mean()),
    }
