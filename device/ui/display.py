"""Progress on the terminal while the instrument plays: the live view, or plain lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from device.closeable import Closeable
from device.console import say
from device.playback.share_code import describe
from device.playback.state import InstrumentState


class Display(Protocol):
    """Where the state of the instrument and messages are printed."""

    def update(self, state: InstrumentState) -> None:
        """Keep the state; returns at once."""
        ...

    def print_line(self, line: str) -> None:
        """Print a line."""
        ...

    def print_share_code(self) -> None:
        """Print the switch states and the share code of the current position."""
        ...

    def close(self) -> None:
        """Restore the terminal; may be called again."""
        ...


class Lines(Closeable):
    """A display that prints lines alone."""

    def __init__(self) -> None:
        self._state: InstrumentState | None = None

    def update(self, state: InstrumentState) -> None:
        """Keep the state; returns at once."""
        self._state = state

    def print_line(self, line: str) -> None:
        """Print a line; never raises."""
        say(line, err=True)

    def print_share_code(self) -> None:
        """Print the switch states and the share code of the current position."""
        if self._state is not None:
            self.print_line(describe(self._state))


@contextmanager
def open_display(switches: str, *, as_json: bool) -> Iterator[Display]:
    """The live view for the keyboard in a terminal; otherwise plain lines.

    Parameters
    ----------
    switches : str
        Source of the switch states, such as ``keyboard``.
    as_json : bool
        Standard output is JSON, so there is no live view.
    """
    if switches == "keyboard" and sys.stdout.isatty() and not as_json:
        from device.ui.terminal import TerminalDisplay

        with TerminalDisplay() as display:
            yield display
    else:
        yield Lines()
