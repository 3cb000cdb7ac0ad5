"""Flips without a hand: one switch every few bars, until a hand comes."""

import numpy as np

from device.switches.remote import RemoteSwitches
from device.synthesis.transport import BEATS_PER_BAR

SOURCE = "wander"


class Wanderer:
    """Flips a random switch at a bar line, as a remote hand, and takes all of that back at the end.

    Switches that another remote hand holds are left alone. Equal seeds give equal flips.
    """

    def __init__(self, remote: RemoteSwitches, seed: int) -> None:
        self._remote = remote
        # The constant tells it from other uses of the seed.
        self._rng = np.random.default_rng([seed, 78])
        self._next_bar: int | None = None

    @property
    def is_wandering(self) -> bool:
        """Whether it has begun."""
        return self._next_bar is not None

    def update(self, beat: float, every_bars: int, n_switches: int) -> None:
        """Begin, or go on: flip where the beat has come to the bar of the next flip."""
        bar = int(beat // BEATS_PER_BAR)
        if self._next_bar is None:
            self._next_bar = bar + 1
        if bar < self._next_bar:
            return
        self._next_bar = bar + every_bars
        holders = self._remote.holders
        free = [i for i in range(n_switches) if holders.get(i, SOURCE) == SOURCE]
        if free:
            self._remote.flip(free[self._rng.integers(len(free))], SOURCE)

    def stop(self) -> None:
        """End: all switches are as on the panel, or as other hands left them."""
        if self._next_bar is not None:
            self._next_bar = None
            self._remote.release(SOURCE)
