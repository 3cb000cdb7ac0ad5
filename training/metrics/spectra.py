"""Spectra that all metrics share: complex spectra, mel bands, onset levels."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from training.metrics.mel import mel_filter_bank

SAMPLE_RATE = 22_050
"""Hz; recordings of any other rate are resampled, or their figures would not compare."""

Samples = NDArray[np.float32]
Floats = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

TINY = 1e-10
# The rhythm's frames: fine in time, coarse in frequency.
ONSET_HOP = 128
_ONSET_N_FFT, _ONSET_MELS = 1024, 64


def as_recorded(samples: Samples) -> Samples:
    """Round to 16 bits, as corpora, files and sound cards have it: even silence has that floor."""
    return np.asarray(np.round(np.clip(samples, -1, 1) * 32_767) / 32_767, dtype=np.float32)


def spectrum(samples: Samples, n_fft: int, hop_length: int) -> Spectrum:
    """Periodic Hann frames, the first centred on sample 0: (n_frames, n_fft // 2 + 1)."""
    from scipy.signal import get_window

    padded = np.pad(samples, n_fft // 2)
    padded = np.pad(padded, (0, max(0, n_fft - len(padded))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    window = get_window("hann", n_fft).astype(np.float32)
    return np.fft.rfft(frames * window, axis=1).astype(np.complex64, copy=False)


@lru_cache
def mel_bands(n_fft: int, n_mels: int) -> Floats:
    """Slaney's bands of power, transposed: (n_fft // 2 + 1, n_mels)."""
    return np.ascontiguousarray(mel_filter_bank(SAMPLE_RATE, n_fft, n_mels).T)


def onset_levels(samples: Samples) -> Floats:
    """Level in dB of 64 mel bands every 6 ms, down to 70 dB: (n_frames, n_mels)."""
    power = np.abs(spectrum(samples, _ONSET_N_FFT, ONSET_HOP)) ** 2
    return to_db(power @ mel_bands(_ONSET_N_FFT, _ONSET_MELS), range_db=70.0)


def to_db(power: Floats, *, range_db: float) -> Floats:
    """Decibels, none further than `range_db` below the loudest."""
    floor = power.max(initial=0.0) * 10 ** (-range_db / 10) + 1e-12
    return np.asarray(10 * np.log10(np.maximum(power, floor)), dtype=np.float32)


def share_db(part: float, whole: float, *, least: float = 1e-7) -> float:
    """A part of a power as decibels, never of less than `least`."""
    return float(10 * np.log10(part / (whole + TINY) + least))
