"""Simulated switches, whose positions outlive every process on the device."""

import mmap
import time
from collections.abc import Sequence
from pathlib import Path

from device.closeable import Closeable
from device.switches.bits import Bits

N_PINS = 28


class SimulatedSwitches(Closeable):
    """A file of pin levels, one byte a pin by its BCM number; a closed switch is low.

    Parameters
    ----------
    pins : sequence of int
        The switches' pins, first switch first.
    """

    def __init__(self, path: Path, pins: Sequence[int]) -> None:
        self._pins = tuple(pins)
        path.write_bytes(bytes([1]) * N_PINS)
        path.chmod(0o644)
        with path.open("r+b") as file:
            self._levels = mmap.mmap(file.fileno(), 0)

    def set(self, bits: Bits) -> None:
        """Put every switch into its position, without bounce."""
        for pin, closed in zip(self._pins, bits, strict=True):
            self._levels[pin] = not closed

    def chatter(self, switch: int, *, seconds: float, hertz: float = 1000.0) -> None:
        """Open and close one contact repeatedly; it ends as it began."""
        pin = self._pins[switch]
        level = self._levels[pin]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._levels[pin] ^= 1
            time.sleep(0.5 / hertz)
        self._levels[pin] = level

    def close(self) -> None:
        """Close the file; may be called again."""
        self._levels.close()
