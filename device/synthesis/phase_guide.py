"""The first guess of a frame's phases from a drawn phase advance, in the lowest bins.

A magnitude that is wrong by 2 dB between neighbouring bins makes the frequency of a partial wander,
because each projection pulls the phases towards what the magnitudes say. Where a model also draws
how far the phase of a bin moves within one hop, the first guess is the predecessor's phase moved so
far, and the projections hold on to it, the more the surer the advance is.

An advance is a vector for each bin, the deviation from the bin's centre frequency. Its direction is
that of ``S[t] * conj(S[t - 1]) * exp(-2j * pi * k * hop_length / n_fft)``, its length is the
confidence, from 0 to 1.
"""

import numpy as np
from numpy.typing import NDArray

Magnitudes = NDArray[np.float32]
Spectra = NDArray[np.complex64]

# A bin whose target rises by more than this factor, 6 dB, is struck: its new phase is not the
# continuation of the old one.
STRONGEST_RISE = 2.0
# A less sure advance is no better than the overlap of the predecessors.
LEAST_CONFIDENCE = 0.3
# Where the confidence is c, a bin's estimate has the weight HOLD * c² / (MARGIN - c²) in a
# projection beside what the samples have: 0.05 at a half, 0.9 at 0.93, 5 at 1.
HOLD = 0.2
MARGIN = 1.04
_TINY = np.float32(1e-9)


class PhaseGuide:
    """First guesses for the lowest bins of the frames in a queue.

    Parameters
    ----------
    n_guided, n_bins : int
        Guided bins, from bin 0 on, 0 for none; and all bins.
    n_active : int
        Places of the queue.
    turn : float
        Hop length in parts of a window, by which the centre frequency of bin 1 advances.

    Raises
    ------
    ValueError
        If `n_guided` is negative or larger than `n_bins`.

    Attributes
    ----------
    rotation : (n_guided,), complex64
        How far the phase of each bin's centre frequency moves within one hop.
    held : (n_active, n_guided), float32
        Weight of each bin's estimate in a projection; 0 where it is not guided.
    """

    def __init__(self, n_guided: int, n_bins: int, n_active: int, *, turn: float) -> None:
        if not 0 <= n_guided <= n_bins:
            raise ValueError(f"n_guided {n_guided}: expected 0 to {n_bins} bins")
        self.n_guided = n_guided
        self.rotation = np.exp(2j * np.pi * (turn * np.arange(n_guided) % 1)).astype(np.complex64)
        self.held = np.zeros((n_active, n_guided), np.float32)

    def advance(self) -> None:
        """Everything moves up one place."""
        self.held[:-1] = self.held[1:]

    def apply(self, place: int, targets: Magnitudes, estimates: Spectra) -> None:
        """Write the guess into the bins of a frame that are sure of it; the other ones stay.

        Parameters
        ----------
        place : int
            Of the frame in the queue.
        targets : (2 or more, n_bins + 2 * n_guided)
            Of its predecessor, and of the frame.
        estimates : (2 or more, n_bins)
            Of its predecessor, and of the frame.
        """
        n, n_bins = self.n_guided, estimates.shape[1]
        old, new = targets[0, :n], targets[1, :n]
        real, imaginary = targets[1, n_bins : n_bins + n], targets[1, n_bins + n :]
        confidence = np.minimum(real * real + imaginary * imaginary, np.float32(1))  # squared
        is_sure = confidence >= np.float32(LEAST_CONFIDENCE**2)
        is_sure &= new <= np.float32(STRONGEST_RISE) * old
        guess = estimates[0, :n] * (self.rotation * (real + np.complex64(1j) * imaginary))
        guess *= new / (np.abs(guess) + _TINY)
        np.copyto(estimates[1, :n], guess, where=is_sure)
        weight = np.float32(HOLD) * confidence / (np.float32(MARGIN) - confidence)
        self.held[place] = np.where(is_sure, weight, np.float32(0))
