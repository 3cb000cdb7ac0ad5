"""What a switch contributes to the sound at each moment, and how much of it another render has.

Two steady renders, without a sound and with it, say what it contributes. A render in which the
switch is flipped is at each moment a mixture of the two; its share of the contribution is found by
least squares over bands, each relative to its power without the sound. The share is known where
the contribution is far above the rest of the music.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.metrics.audio_metrics import at_our_rate
from training.metrics.spectra import SAMPLE_RATE, Floats, Samples, mel_bands, spectrum

Flags = NDArray[np.bool_]

# Power in bands: windows of 23 ms every 3 ms.
_N_FFT, _HOP, _N_BANDS = 512, 64, 24
_FLOOR = 1e-6  # of the loudest band
# Contrast: what a sound adds to the bands, relative to the power without it, root of the sum of
# squares. Power has errors of up to a half, which differ from render to render.
_LEAST_CONTRAST = 10.0
# A change is found where no more than this is unclear, and what is new stays so long.
_UNCLEAR_SECONDS, _STAYS_SECONDS = 0.012, 0.03

MOMENT_SECONDS = _HOP / SAMPLE_RATE
"""From one moment to the next."""


def power(samples: Samples, sample_rate: int) -> Floats:
    """Power in bands at each moment: (n_samples,) → (n_moments, n_bands)."""
    magnitude = np.abs(spectrum(at_our_rate(samples, sample_rate), _N_FFT, _HOP))
    return np.asarray(np.square(magnitude) @ mel_bands(_N_FFT, _N_BANDS))


@dataclass(frozen=True)
class Contribution:
    """A sound, as the difference of two steady renders.

    Attributes
    ----------
    without, complete : (n_moments, n_bands)
        Power without the sound and with it, from `power`.
    """

    without: Floats
    complete: Floats

    @property
    def turned(self) -> "Contribution":
        """The sound that is there where this one is not."""
        return Contribution(self.complete, self.without)

    def is_clear(self, least_share: float) -> Flags:
        """Whether so small a share of the sound can be told, (n_moments,)."""
        least = max(1 / least_share, _LEAST_CONTRAST)
        return np.asarray(self._squares >= least**2)

    def share(self, other: Floats) -> Floats:
        """How much of the sound is in another render: (n_moments, n_bands) → (n_moments,).

        0 without it, 1 if it is complete; without meaning where it is not clear.
        """
        more = np.maximum(other, self._floor) / np.maximum(self.without, self._floor) - 1
        return np.asarray((self._contrast * more).sum(axis=1) / np.maximum(self._squares, 1))

    @cached_property
    def _squares(self) -> Floats:
        return np.asarray(np.square(self._contrast).sum(axis=1))

    @cached_property
    def _contrast(self) -> Floats:
        without, complete = (
            np.maximum(each, self._floor) for each in (self.without, self.complete)
        )
        return np.asarray(np.maximum(complete / without - 1, 0))

    @cached_property
    def _floor(self) -> np.float32:
        loudest = max(self.without.max(initial=0), self.complete.max(initial=0))
        return np.float32(max(_FLOOR * loudest, np.finfo(np.float32).tiny))


def seconds_of_change(is_new: Flags, is_clear: Flags, first: float, last: float) -> float | None:
    """When a render changed, between two times.

    Parameters
    ----------
    is_new : (n_moments,)
        Whether the share is what it is to become.
    is_clear : (n_moments,)
        Whether that can be told.

    Returns
    -------
    Seconds; None where it did not change, or not at a moment that is clear.
    """
    begin = max(round(first / MOMENT_SECONDS), 0)
    at = begin + np.flatnonzero(is_clear[begin : round(last / MOMENT_SECONDS)])
    new = is_new[at]
    for i in 1 + np.flatnonzero(new[1:] & ~new[:-1]):
        stays = new[i : np.searchsorted(at, at[i] + _STAYS_SECONDS / MOMENT_SECONDS)].all()
        if stays and (at[i] - at[i - 1]) * MOMENT_SECONDS <= _UNCLEAR_SECONDS:
            return float(at[i] + at[i - 1]) / 2 * MOMENT_SECONDS
    return None
