"""To twice the sample rate, with a shorter delay than a resampler for any rates can have."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

# Taps of the half-band filter that are not known beforehand; with the zeros between them and the
# middle one it has 95.
N_TAPS = 48
# Of the Kaiser window: 78 dB from 1.11 times the old Nyquist frequency on (Kaiser 1974).
_BETA = 7.86


class RateDoubler:
    """A stream of samples at twice its rate, through a linear-phase half-band filter.

    Every second output is an input, and only those between are computed. Up to 0.89 of the old
    Nyquist frequency the gain is 1 within 0.001; images are 78 dB down from 1.11 of it on.

    Attributes
    ----------
    delay_samples : int
        Of the output.
    """

    delay_samples = N_TAPS - 1

    def __init__(self) -> None:
        # At odd distances from the middle of an ideal low-pass at half of the new Nyquist
        # frequency; twice as large, for the zeros that stand between the inputs.
        distance = np.arange(1 - N_TAPS, N_TAPS, 2)
        ideal = np.sin(np.pi * distance / 2) / (np.pi * distance / 2)
        window = np.kaiser(2 * N_TAPS - 1, _BETA)[::2]
        taps = ideal * window
        self._taps = (taps / taps.sum()).astype(np.float32)
        self._before = np.zeros(N_TAPS - 1, np.float32)

    def process(self, samples: Samples) -> Samples:
        """Samples (n,), n from 0 on → (2 n,)."""
        if len(samples) == 0:
            return samples
        known = np.concatenate([self._before, samples])
        self._before = known[len(samples) :]
        doubled = np.empty(2 * len(samples), np.float32)
        doubled[::2] = np.convolve(known, self._taps, "valid")
        middle = N_TAPS // 2
        doubled[1::2] = known[middle : middle + len(samples)]
        return doubled
