"""An open card: mono samples at the instrument's rate, to the card's rate and channels."""

import numpy as np
from numpy.typing import NDArray

from device.audio.card_queue import CardQueue
from device.audio.port_audio import CardStream
from device.audio.resampler import Resampler
from device.audio.speaker import Clock

# Silence before the first block: the second one is computed while it plays.
_FIRST_SECONDS = 0.012


class CardOutput:
    """Writes to an open card, and knows what the card has yet to play.

    Parameters
    ----------
    sample_rate : int
        Of the samples written, in Hz.
    rate, n_channels : int
        Of the card.

    Attributes
    ----------
    delay_seconds : float
        Of the resampler.
    """

    def __init__(
        self, stream: CardStream, sample_rate: int, rate: int, n_channels: int, *, clock: Clock
    ) -> None:
        self._stream = stream
        self._rate = rate
        self._n_channels = n_channels
        self._has_started = False
        self._resampler = Resampler(sample_rate, rate)
        self._queue = CardQueue(rate, clock)
        self.delay_seconds = self._resampler.delay_seconds

    @property
    def queued_seconds(self) -> float:
        """How long what is queued plays."""
        return self._queue.seconds if self._has_started else 0.0

    @property
    def capacity_seconds(self) -> float:
        """All that the card's buffer holds."""
        return self._queue.capacity_seconds if self._has_started else self._stream.latency

    def write(self, samples: NDArray[np.float32]) -> bool:
        """Play; whether the sound had broken off before."""
        samples = self._resampler.process(samples)
        if len(samples) == 0:
            return False
        if not self._has_started:
            self._start()
        return self._write(samples)

    def close(self) -> None:
        """Release the card at once."""
        self._stream.close()

    def _start(self) -> None:
        # Only now: the card would have run dry while the first block was computed.
        self._stream.start()
        self._queue.start(self._stream.write_available, otherwise=self._stream.latency)
        self._has_started = True
        self._write(np.zeros(round(_FIRST_SECONDS * self._rate), np.float32))

    def _write(self, samples: NDArray[np.float32]) -> bool:
        frames = np.repeat(samples[:, np.newaxis], self._n_channels, axis=1)  # (n, n_channels)
        has_broken_off = self._stream.write(frames)
        self._queue.add(len(samples))
        self._queue.correct(self._stream.write_available)
        return has_broken_off
