"""The last minutes of what was played, as 16-bit samples in memory."""

import numpy as np
from numpy.typing import NDArray

from device.audio.wav_file import to_pcm

# What is read must not be overwritten meanwhile: so much longer than what can be read the ring is.
MARGIN_SECONDS = 15.0
# Of the margin, what the loop may be writing at the moment.
_UNSETTLED_SECONDS = 1.0
# Converted together: converting some blocks takes hardly less time than so many.
_SETTLE_SECONDS = 0.5


class Overwritten(Exception):
    """Samples that are no longer there."""


class SampleRing:
    """Written by the audio loop, read by one other thread while it is written to.

    Its memory is used as it is written: nothing before the music has played for so long.

    Parameters
    ----------
    sample_rate : int
        Hz.
    seconds : float
        How much can be read.

    Attributes
    ----------
    n_written : int
        Samples since the start that can be read; `settle` adds those of the last half second.
    """

    def __init__(self, sample_rate: int, seconds: float) -> None:
        self.sample_rate = sample_rate
        self.n_written = 0
        self._n_readable = round(seconds * sample_rate)
        self._n_unsettled = round(_UNSETTLED_SECONDS * sample_rate)
        self._pending: list[NDArray[np.float32]] = []
        self._n_pending = 0
        self._most_pending = round(_SETTLE_SECONDS * sample_rate)
        self._pcm = np.zeros(self._n_readable + round(MARGIN_SECONDS * sample_rate), "<i2")

    def write(self, samples: NDArray[np.float32]) -> None:
        """Add (n,) samples, which must not change afterwards."""
        self._pending.append(samples)
        self._n_pending += len(samples)
        if self._n_pending >= self._most_pending:
            self.settle()

    def settle(self) -> int:
        """Hold all samples as a WAV file would → `n_written`; for the thread that writes."""
        if not self._pending:
            return self.n_written
        pcm, size = to_pcm(np.concatenate(self._pending)), len(self._pcm)
        self._pending, self._n_pending = [], 0
        at = self.n_written % size
        n_before_end = min(size - at, len(pcm))
        self._pcm[at : at + n_before_end] = pcm[:n_before_end]
        self._pcm[: len(pcm) - n_before_end] = pcm[n_before_end:]
        self.n_written += len(pcm)
        return self.n_written

    def first_of(self, end: int) -> int:
        """The first sample that belongs to the last minutes before `end`."""
        return max(end - self._n_readable, 0)

    def read(self, first: int, end: int) -> NDArray[np.int16]:
        """Samples `first` to `end`, (end - first,), int16.

        Raises
        ------
        Overwritten
        """
        size = len(self._pcm)
        at, n = first % size, end - first
        pcm = np.concatenate([self._pcm[at : at + n], self._pcm[: max(at + n - size, 0)]])
        # Afterwards: what has been overwritten since is found, too.
        if first < self.n_written + self._n_unsettled - size:
            raise Overwritten(f"samples {first} to {end}")
        return pcm
