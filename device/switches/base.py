"""Where the panel comes from: the port, and the switches that need no hardware.

The panel is a level, not a stream of events: whoever is asked says how the switches stand now, so
that a missed edge cannot exist. Pins are in `device.switches.gpio`, the terminal is in
`device.switches.keyboard`.
"""

from typing import Protocol, Self

from device.closeable import Closeable
from device.switches.bits import Bits


class Switches(Protocol):
    """A panel of switches: hardware, or its twin."""

    @property
    def n_switches(self) -> int:
        """How many switches the panel has."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the player asked to end."""
        ...

    @property
    def chattering(self) -> Bits:
        """Which switches are held because they chatter."""
        ...

    def read(self, seconds: float) -> Bits:
        """How the panel stands now, `seconds` of music after the start."""
        ...

    def fit(self, n_switches: int) -> None:
        """Have so many switches from now on, if that is possible."""
        ...

    def close(self) -> None:
        """Let go of the hardware; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: object, trace: object, /) -> None: ...


class SwitchesBase(Closeable):
    """What is the same for every panel: never finished, of one size, holding nothing."""

    @property
    def finished(self) -> bool:
        """Whether the player asked to end."""
        return False

    @property
    def chattering(self) -> Bits:
        """Which switches are held because they chatter; none, where there are no wires."""
        return ()

    def fit(self, n_switches: int) -> None:
        """Stay as it is: hardware has the switches it has."""


class FixedSwitches(SwitchesBase):
    """One state for ever, to render it."""

    def __init__(self, bits: Bits) -> None:
        self.n_switches = len(bits)
        self._bits = bits

    def read(self, seconds: float) -> Bits:
        """Return the one state."""
        return self._bits
