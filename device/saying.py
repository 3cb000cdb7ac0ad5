"""Lines for the player: a broken terminal or log costs the line, and nothing more."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

# SystemExit because rich raises it where the reader of a pipe has gone.
_COSTS_THE_LINE = (Exception, SystemExit)


class Steady:
    """A text stream whose writing never raises: what cannot be written is lost.

    Everything else is the stream's own, its encoding and whether it is a terminal among it. What
    the encoding does not have is written as an escape.

    Parameters
    ----------
    stream : text stream or None
        None, as where a process was started without one, takes everything.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write or lose a text; its length either way."""
        with suppress(*_COSTS_THE_LINE):
            self._write(text)
        return len(text)

    def flush(self) -> None:
        """Bring what was written on its way, if that can be done."""
        with suppress(*_COSTS_THE_LINE):
            if self._stream is not None:
                self._stream.flush()

    def isatty(self) -> bool:
        """Whether it is a terminal; what is closed is none."""
        try:
            return self._stream is not None and bool(self._stream.isatty())
        except ValueError:
            return False

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
        except UnicodeEncodeError as error:
            known = text.encode(error.encoding, "backslashreplace").decode(error.encoding)
            self._stream.write(known)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def say(line: str) -> None:
    """Print a line to standard error; never raises."""
    # Looked up each time: who replaces it wants the line there.
    stream = Steady(sys.stderr)
    stream.write(line + "\n")
    stream.flush()


def unfailing(report: Callable[[str], object]) -> Callable[[str], None]:
    """The same report, whose failure costs its line and not the caller's work."""

    def attempt(line: str) -> None:
        with suppress(*_COSTS_THE_LINE):
            report(line)

    return attempt
