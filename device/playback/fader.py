"""A slow change of the level of all sound, behind the voices: to silence and back."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


class Fader:
    """Multiplies the sound by a level; at level 1 every sample stays as it is.

    The square root of the level changes along a straight line: half-way to silence the sound is
    12 dB lower, and its end is not heard as an edge. The blocks' lengths change no sample.

    Attributes
    ----------
    is_silent, is_open : bool
        Whether the level is 0, or 1, and stays there.
    """

    def __init__(self) -> None:
        # Square roots of the levels; samples of the fade, and how many are over.
        self._from = self._to = 1.0
        self._n_samples = self._at = 0
        self.is_silent, self.is_open = False, True

    def fade(self, level: float, n_samples: int) -> None:
        """Go to a level, 0 to 1, within so many samples from the next one on."""
        share = self._at / self._n_samples if self._n_samples else 1.0
        self._from += (self._to - self._from) * share
        self._to = float(np.sqrt(level))
        self._n_samples, self._at = n_samples, 0
        self._note_level()

    def process(self, samples: Samples) -> Samples:
        """Samples (n,) at their level, (n,)."""
        if self._at < self._n_samples:
            done = np.minimum(np.arange(self._at, self._at + len(samples)), self._n_samples)
            self._at = min(self._at + len(samples), self._n_samples)
            root = self._from + (self._to - self._from) * (done / self._n_samples)
            # The line ends a rounding away from where it leads.
            root[done == self._n_samples] = self._to
            self._note_level()
            return np.asarray(samples * (root * root).astype(np.float32))
        return samples if self._to == 1.0 else samples * np.float32(self._to * self._to)

    def _note_level(self) -> None:
        """Attributes and not properties: they are read for each block."""
        is_over = self._at == self._n_samples
        self.is_silent, self.is_open = (
            self._to == level and (is_over or self._from == level) for level in (0.0, 1.0)
        )
