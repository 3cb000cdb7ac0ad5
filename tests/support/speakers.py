"""Speakers that keep what is played."""

import numpy as np

from device.audio.speaker import SilentSpeaker
from device.closeable import Closeable
from tests.support.simulated_audio import RATE, SimulatedClock


class RecordingSpeaker(Closeable):
    """Not in real time, like a file; `on_write` is called with the number of blocks so far."""

    name = "recording"
    is_live = False
    queued_seconds = 0.0
    latency_seconds = 0.0
    n_underruns = 0

    def __init__(self, on_write=lambda n_blocks: None):
        self.blocks = []
        self._on_write = on_write

    def wait(self, queued_seconds):
        raise AssertionError("only what plays in real time is waited for")

    def write(self, samples):
        self.blocks.append(samples.copy())
        self._on_write(len(self.blocks))

    @property
    def samples(self):
        return np.concatenate(self.blocks) if self.blocks else np.zeros(0, np.float32)


class SimulatedCard(SilentSpeaker):
    """Plays in simulated real time; `log` has (seconds by the clock, seconds queued) per block.

    Parameters
    ----------
    oversleeps : float
        Seconds by which every sleep is too long.
    """

    def __init__(self, time=None, oversleeps=0.0, **options):
        self.time = time or SimulatedClock()
        self.oversleeps = oversleeps
        self.log = []
        super().__init__(RATE, clock=self.time.clock, sleep=self._sleep, **options)

    def _sleep(self, seconds):
        self.time.sleep(seconds + self.oversleeps)

    def write(self, samples):
        self.log.append((self.time.now, self.queued_seconds))
        super().write(samples)
