"""The other end of the control socket, for the bridges: processes of their own."""

import json
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from device.closeable import Closeable
from device.plain_text import one_line

# A state has 80 facts at most, of 400 characters each.
_MOST_LINE = 256 * 1024
_RETRY_SECONDS = 1.0
_SEND_SECONDS = 1.0


class ControlClient(Closeable):
    """A connection that is made again whenever the instrument comes back.

    Parameters
    ----------
    path : Path
        Control socket.
    selector : selectors.BaseSelector
        Watches the connection while there is one; what it finds is `receive`'s to take.
    report : callable
        Takes lines for people; the same line only once in a row.
    clock : callable
        Seconds, monotonic.
    """

    def __init__(
        self,
        path: Path,
        selector: selectors.BaseSelector,
        report: Callable[[str], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._selector, self._report, self._clock = path, selector, report, clock
        self._socket: socket.socket | None = None
        self._pending = b""
        self._state = dict[str, Any]()
        self._reported = ""
        self._retry_at = float("-inf")

    @property
    def is_connected(self) -> bool:
        """Whether the instrument is there."""
        return self._socket is not None

    def say(self, line: str) -> None:
        """Report a line, once in a row: a flood of messages makes no flood of lines."""
        if line != self._reported:
            self._reported = line
            self._report(one_line(line))

    def keep_connected(self) -> None:
        """Connect, if there is no connection and the last attempt is a second old."""
        if self._socket is None and self._clock() >= self._retry_at:
            self.connect()

    def connect(self) -> None:
        """Try to connect now; without an instrument that is said."""
        self._retry_at = self._clock() + _RETRY_SECONDS
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        control.settimeout(_SEND_SECONDS)
        try:
            control.connect(str(self._path))
        except OSError as error:
            control.close()
            reason = error.strerror or str(error)
            self.say(f"{self._path}: {reason}; is it playing, with --control?")
            return
        self._socket, self._pending, self._state = control, b"", {}
        self._selector.register(control, selectors.EVENT_READ)
        self.say(f"{self._path}: connected")

    def send(self, command: dict[str, Any]) -> None:
        """Send a command, if the instrument is there or comes at once."""
        if self._socket is None:
            self.connect()
        if self._socket is not None:
            try:
                self._socket.sendall(json.dumps(command, ensure_ascii=False).encode() + b"\n")
            except OSError:
                self.close()

    def receive(self) -> Iterator[dict[str, Any]]:
        """The states that have come, whole, which are any JSON objects; refusals are reported."""
        if self._socket is None:
            return
        received = b""
        with suppress(OSError):
            received = self._socket.recv(_MOST_LINE)
        *lines, self._pending = (self._pending + received).split(b"\n")
        for line in lines:
            content = None
            with suppress(ValueError, RecursionError):
                content = json.loads(line)
            match content:
                case {"error": str(text)}:
                    self.say(f"refused: {text}")
                case {"state": dict(state)}:
                    self._state = state
                    yield state
                case {"now": dict(place)} if self._state:
                    self._state = self._state | place
                    yield self._state
        if not received or len(self._pending) > _MOST_LINE:
            self.say(f"{self._path}: closed; waiting for the instrument")
            self.close()

    def close(self) -> None:
        """Close the connection; idempotent."""
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
            self._socket = None
