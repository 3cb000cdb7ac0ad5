"""Bands: the frequency resolution of the network, each band given by its centre in bins.

*Linear* bands are the bins. *Mel* bands are evenly spaced on the mel scale. *Warped* bands are
single bins in the range of chords, and widen above. For all of them, the map from bins to bands and
back is the same: triangles between neighbouring centres.
"""

import numpy as np
from numpy.typing import NDArray

from training.metrics.mel import hertz_to_mel, mel_to_hertz

KINDS = ("warped", "mel", "linear")


def warped_centres(n_bands: int, n_linear: int, n_bins: int) -> NDArray[np.float64]:
    """`n_linear` single bins, then widths that grow by a constant factor to the last bin."""
    n_wide = n_bands - n_linear
    growth = _growth(n_wide, n_bins - n_linear)
    wide = n_linear - 1 + np.cumsum(growth ** np.arange(1, n_wide + 1))
    return np.concatenate([np.arange(n_linear, dtype=np.float64), wide])


def mel_centres(n_bands: int, n_bins: int, sample_rate: int) -> NDArray[np.float64]:
    """Evenly spaced in mel, from 0 to the last bin."""
    nyquist = sample_rate / 2
    mel = np.linspace(0, hertz_to_mel(nyquist), n_bands)
    return mel_to_hertz(mel) / nyquist * (n_bins - 1)


def most_mel_bands(n_bins: int, sample_rate: int) -> int:
    """How many mel bands there can be before the lowest are narrower than a bin."""
    hertz_per_bin = sample_rate / 2 / (n_bins - 1)
    return 1 + int(hertz_to_mel(sample_rate / 2) / hertz_to_mel(hertz_per_bin))


def _growth(n_wide: int, n_bins: int) -> float:
    """Find the ratio r for which r + r² + … + r^n_wide = n_bins, by bisection."""
    low, high = 1.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        if float(np.sum(middle ** np.arange(1, n_wide + 1))) < n_bins:
            low = middle
        else:
            high = middle
    return low
