"""What the verbs print: the one way to standard output and standard error, besides rich's pictures.

A broken terminal or log costs the line, and nothing more. Whatever rich draws of names and files
goes through `device.plain_text` where it is drawn.
"""

import io
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click

from device.plain_text import visible

# SystemExit because rich raises it where the reader of a pipe has gone.
_COSTS_THE_LINE = (Exception, SystemExit)


class SafeStream:
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


def say(*lines: str, err: bool = False) -> None:
    """Print lines; what a terminal would obey, or could not show, is made visible.

    Parameters
    ----------
    err : bool
        On standard error, where a line that cannot be written is lost, and nothing is raised.

    Raises
    ------
    OSError
        If standard output cannot be written.
    """
    for line in lines:
        if err:
            # Looked up each time: who replaces it wants the line there.
            stream = SafeStream(sys.stderr)
            stream.write(visible(line) + "\n")
            stream.flush()
        else:
            click.echo(visible(line))


def say_json(content: Any) -> None:
    """Print one line of JSON, in ASCII."""
    click.echo(json.dumps(content))


def take_any_text() -> None:
    """Let the standard streams write what their encoding lacks as escapes instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def without_errors(report: Callable[[str], object]) -> Callable[[str], None]:
    """The same report, whose failure costs its line and not the caller's work."""

    def attempt(line: str) -> None:
        with suppress(*_COSTS_THE_LINE):
            report(line)

    return attempt
