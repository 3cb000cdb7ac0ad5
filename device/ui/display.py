"""Progress on the terminal while the instrument plays: the live view, or plain lines."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Protocol

from device.closeable import Closeable
from device.console import say
from device.playback.share_code import describe
from device.playback.state import InstrumentState
from device.system.threads import SupervisedThread

MOST_LINES = 100
WAIT_SECONDS = 5.0
CLOSE_SECONDS = 0.25


class Display(Protocol):
    """Where the state of the instrument and messages are printed."""

    def update(self, state: InstrumentState) -> None:
        """Keep the state; returns at once."""
        ...

    def print_line(self, line: str) -> None:
        """Print a line."""
        ...

    def close(self) -> None:
        """Restore the terminal; may be called again."""
        ...


class Lines(Closeable):
    """A display that prints lines alone."""

    def update(self, state: InstrumentState) -> None:
        """Lines have no place for a state."""

    def print_line(self, line: str) -> None:
        """Print a line; never raises."""
        say(line, err=True)


class QueuedDisplay(Closeable):
    """A display whose lines are printed by a helper thread: the audio loop waits for no terminal.

    A terminal that is paused, or a log that is not read, takes no more text after a while. Then up
    to `MOST_LINES` lines wait, and those after them are lost.
    """

    def __init__(self, display: Display) -> None:
        self._display = display
        self._state: InstrumentState | None = None
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._helper = SupervisedThread("messages", self._print_next)

    def update(self, state: InstrumentState) -> None:
        """Keep the state; returns at once."""
        self._state = state
        self._display.update(state)

    def print_line(self, line: str) -> None:
        """Have a line printed; returns at once."""
        if self._lines.qsize() < MOST_LINES:
            self._lines.put(line)

    def print_share_code(self) -> None:
        """Have the switch states and the share code of the current position printed."""
        if self._state is not None:
            self.print_line(describe(self._state))

    def close(self) -> None:
        """Print what waits, as far as it is taken, and close the display; idempotent."""
        self._lines.put(None)
        self._helper.join(CLOSE_SECONDS)
        self._helper.end()
        self._display.close()

    def _print_next(self) -> None:
        try:
            line = self._lines.get(timeout=WAIT_SECONDS)
        except Empty:
            return
        if line is None:
            self._helper.end()
        else:
            self._display.print_line(line)


@contextmanager
def open_display(switches: str, *, as_json: bool) -> Iterator[QueuedDisplay]:
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

        with TerminalDisplay() as terminal, QueuedDisplay(terminal) as display:
            yield display
    else:
        with QueuedDisplay(Lines()) as display:
            yield display
