"""The protocol of switch sources, and the one that needs no hardware.

Switches are read as levels, not as events: a read returns the present states, so that no edge can
be missed. Pins are in `device.switches.gpio`, the terminal is in
`device.switches.keyboard`.
"""

from typing import Protocol, Self

from device.closeable import Closeable
from device.switches.bits import Bits


class Switches(Protocol):
    """A source of switch states: hardware, or a simulation of it."""

    @property
    def n_switches(self) -> int:
        """Number of switches."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the player has quit."""
        ...

    @property
    def chattering(self) -> Bits:
        """Which switches are held because they chatter."""
        ...

    def read(self, seconds: float) -> Bits:
        """The present states, `seconds` of music after the start."""
        ...

    def fit(self, n_switches: int) -> None:
        """Change the number of switches, where that is possible."""
        ...

    def close(self) -> None:
        """Release the hardware; may be called again."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: object, error: object, trace: object, /) -> None: ...


class SwitchesBase(Closeable):
    """Defaults of switch sources: never finished, of fixed size, without resources."""

    @property
    def finished(self) -> bool:
        """Whether the player has quit."""
        return False

    @property
    def chattering(self) -> Bits:
        """Which switches are held because they chatter; none without hardware."""
        return ()

    def fit(self, n_switches: int) -> None:
        """Do nothing: the number of switches is fixed."""


class FixedSwitches(SwitchesBase):
    """A constant state, for rendering."""

    def __init__(self, bits: Bits) -> None:
        self.n_switches = len(bits)
        self._bits = bits

    def read(self, seconds: float) -> Bits:
        """Return the state."""
        return self._bits
