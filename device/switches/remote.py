"""One rule for many hands: a remote flip is an offset to the panel, and the panel is the patch.

What MIDI or another remote hand flips is kept as a difference to the real switch. Moving the real
switch drops the difference: then the switch says what is heard, as without remote hands.
"""

from collections.abc import Callable

from device.switches.base import Switches
from device.switches.bits import Bits, fit, moved

# As many as any panel or model has.
MOST_SWITCHES = 64
PANEL = "panel"


class RemoteSwitches:
    """The panel's switches with the offsets of remote hands on top.

    Parameters
    ----------
    panel : Switches
        The real switches; they remain their owner's to close.

    Attributes
    ----------
    on_move : callable
        Takes the panel's states before and after a real switch was moved; not the first ones read.
    """

    def __init__(self, panel: Switches) -> None:
        self.on_move: Callable[[Bits, Bits], object] = lambda before, after: None
        self._panel = panel
        self._at_panel: Bits = ()
        # Switch → who flipped it; a switch without an entry is as on the panel.
        self._offsets: dict[int, str] = {}

    def read(self, seconds: float) -> Bits:
        """The present states, `seconds` of music after the start.

        Switches beyond the panel's are returned too, off, up to the last one flipped by remote.
        """
        at_panel = self._panel.read(seconds)
        if at_panel != self._at_panel:
            before, self._at_panel = self._at_panel, at_panel
            for index in moved(fit(before, len(at_panel)), at_panel):
                self._offsets.pop(index, None)
            if before:
                self.on_move(before, at_panel)
        return self._with_offsets() if self._offsets else at_panel

    @property
    def holders(self) -> dict[int, str]:
        """Switch, counted from 0 → who holds it, for every switch that is not as on the panel."""
        return dict(self._offsets)

    def flip(self, index: int, source: str) -> None:
        """Flip a switch; where that brings it back to the panel's state, it has no holder."""
        if not 0 <= index < MOST_SWITCHES:
            return
        if index in self._offsets:
            del self._offsets[index]
        else:
            self._offsets[index] = source

    def set(self, index: int, on: bool, source: str) -> None:
        """Bring a switch to a state; one that has it already keeps its holder."""
        if fit(self._with_offsets(), MOST_SWITCHES)[index : index + 1] == (not on,):
            self.flip(index, source)

    def set_all(self, bits: Bits, source: str) -> None:
        """Bring the first switches to these states."""
        for index, on in enumerate(bits):
            self.set(index, on, source)

    def release(self, source: str) -> None:
        """Bring every switch that this hand holds back to the panel's state."""
        self._offsets = {i: holder for i, holder in self._offsets.items() if holder != source}

    def _with_offsets(self) -> Bits:
        length = max(len(self._at_panel), *(index + 1 for index in self._offsets), 0)
        states = fit(self._at_panel, length)
        return tuple(state != (index in self._offsets) for index, state in enumerate(states))
