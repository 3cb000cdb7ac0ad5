"""A slow change of the level of all sound, behind the voices: to silence and back."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Fader:
    """Multiplies the sound by a level; at level 1 every sample stays as it is.

    The square root of the level changes along a straight line: half-way to silence the sound is
    12 dB lower, and its end is not heard as an edge. The blocks' lengths change no sample.
    """

    def __init__(self) -> None:
        # Square roots of the levels; samples of the fade, and how many are over.
        self._from = self._to = 1.0
        self._n_samples = self._at = 0

    @property
    def is_silent(self) -> bool:
        """Whether the level is 0 and stays there."""
        return self._to == 0.0 and (self._from == 0.0 or self._at == self._n_samples)

    def fade(self, level: float, n_samples: int) -> None:
        """Go to a level, 0 to 1, within so many samples from the next one on."""
        share = self._at / self._n_samples if self._n_samples else 1.0
        self._from += (self._to - self._from) * share
        self._to = float(np.sqrt(level))
        self._n_samples, self._at = n_samples, 0

    def process(self, samples: Samples) -> Samples:
        """Samples (n,) at their level, (n,)."""
        if self._at < self._n_samples:
            done = np.minimum(np.arange(self._at, self._at + len(samples)), self._n_samples)
            self._at = min(self._at + len(samples), self._n_samples)
            root = self._from + (self._to - self._from) * (done / self._n_samples)
            # The line ends a rounding away from where it leads.
            root[done == self._n_samples] = self._to
            return np.asarray(samples * (root * root).astype(np.float32))
        return samples if self._to == 1.0 else samples * np.float32(self._to * self._to)
