"""What the player is shown while it plays: the live panel, or plain lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from device.closeable import Closeable
from device.console import say
from device.playback.share_code import describe
from device.playback.state import InstrumentState


class Display(Protocol):
    """Where the player sees how it goes."""

    def show(self, state: InstrumentState) -> None:
        """Keep the state; returns at once."""
        ...

    def say(self, line: str) -> None:
        """Print a line."""
        ...

    def tell(self) -> None:
        """Print how the switches stand and where in the music we are."""
        ...

    def close(self) -> None:
        """Give the terminal back; may be called again."""
        ...


class Lines(Closeable):
    """A display of nothing but lines."""

    def __init__(self) -> None:
        self._state: InstrumentState | None = None

    def show(self, state: InstrumentState) -> None:
        """Keep the state; returns at once."""
        self._state = state

    def say(self, line: str) -> None:
        """Print a line; never raises."""
        say(line, err=True)

    def tell(self) -> None:
        """Print how the switches stand and where in the music we are."""
        if self._state is not None:
            self.say(describe(self._state))


@contextmanager
def open_display(switches: str, *, as_json: bool) -> Iterator[Display]:
    """The live panel where somebody can see it; otherwise plain lines."""
    if switches == "keyboard" and sys.stdout.isatty() and not as_json:
        from device.ui.terminal import TerminalDisplay

        with TerminalDisplay() as panel:
            yield panel
    else:
        yield Lines()
