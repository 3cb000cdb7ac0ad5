"""Slaney's mel scale and its filter bank, for every analysis that uses mel bands.

Slaney's scale (Auditory Toolbox, 1998) is linear up to 1 kHz and logarithmic above.
"""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_HERTZ_PER_MEL = 200 / 3
_LINEAR_HERTZ = 1_000.0
_MELS_PER_NEPER = 27 / math.log(6.4)


def hertz_to_mel(hertz: float) -> float:
    """Convert one frequency in Hz to mel."""
    linear = min(hertz, _LINEAR_HERTZ) / _HERTZ_PER_MEL
    return linear + _MELS_PER_NEPER * math.log(max(hertz / _LINEAR_HERTZ, 1.0))


def mel_to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Convert mel to frequencies in Hz, elementwise."""
    bend = _LINEAR_HERTZ / _HERTZ_PER_MEL
    above = np.maximum(mel - bend, 0) / _MELS_PER_NEPER
    hertz: NDArray[np.float64] = np.minimum(mel, bend) * _HERTZ_PER_MEL * np.exp(above)
    return hertz


@lru_cache
def mel_filter_bank(sample_rate: int, n_fft: int, n_mels: int) -> NDArray[np.float32]:
    """Triangular filters from STFT bins to mel bands, each of the same area.

    Returns
    -------
    (n_mels, n_fft // 2 + 1), read-only. Rows of bands narrower than a bin may be all zero.
    """
    import librosa

    with empty_bands_ignored():
        bank = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels)
    bands: NDArray[np.float32] = np.asarray(bank, dtype=np.float32)
    # All callers share the cached array.
    bands.flags.writeable = False
    return bands


@contextmanager
def empty_bands_ignored() -> Iterator[None]:
    """Silence librosa's warning about bands that contain no bin: small windows have such bands."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Empty filters detected", UserWarning)
        yield
